"""What these tests read: the text of a page, a membership, the link in a mail."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from integrations.models import Membership, Team, User

if TYPE_CHECKING:
    from django.core import mail


def text_of(response: Any) -> str:
    text: str = response.content.decode()
    return text


def membership_of(person: User, team: Team) -> Membership:
    return Membership.objects.get(team=team, user=person)


def link_in(message: mail.EmailMessage) -> str:
    """Return the path of the link in a mail."""
    found = re.search(r"https?://[^/]+(/invitations/[\w-]+/)", str(message.body))
    assert found is not None
    return found.group(1)
