"""Who belongs to a team: changes that open streams have to hear of."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.db import transaction

from integrations.live import publish
from integrations.models import Membership

if TYPE_CHECKING:
    from integrations.models import Team, User


def remove_person(team: Team, user: User) -> bool:
    """Take a person out of a team and close their streams of it; return whether they were in it."""
    with transaction.atomic():
        removed_count, _ = Membership.objects.filter(team=team, user=user).delete()
        if removed_count:
            transaction.on_commit(partial(publish.publish_recheck, team.pk), robust=True)
    return bool(removed_count)
