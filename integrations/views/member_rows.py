"""The rows of the table of members, each rendered once for all who see the same.

A row is half a hundred tags, a table fifty rows; and when a roster moves, every open page of its
team asks for its table at one moment, whose rows are nearly all as they were. Knows no query.
"""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.middleware.csrf import get_token
from django.template.loader import render_to_string
from django.utils.safestring import mark_safe
from django.utils.translation import get_language

from integrations.models import TeamMember

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.utils.safestring import SafeString

    from integrations.views.helpers import TeamRequest

TEMPLATE: Final = "integrations/partials/member_row.html"
# Three kilobytes each. Twenty teams of 240 people in two languages are ten thousand rows; a
# simulation of the mixture of tests/bench/load.py finds three in five of its rows among 2,000 kept,
# and after a while all but one in a hundred among 10,000.
KEPT_ROWS_MAX: Final = 10_000
# What a sync notes at every read, and no row shows. A column that isn't named here counts.
NOT_SHOWN: Final = frozenset(
    {"updated_at", "heard_at", "last_seen_run_id", "last_previewed_run_id", "search_text"}
)
SHOWN: Final = tuple(
    field.attname for field in TeamMember._meta.concrete_fields if field.attname not in NOT_SHOWN
)
# Stands for the form's token, which is each person's own; nobody can know it and write it.
TOKEN_MARK: Final = secrets.token_hex(16)


class _Kept:
    """Rows by all that they were rendered from; the oldest goes first."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Any, ...], str] = {}
        # Pages are rendered in threads.
        self._lock = threading.Lock()

    def row(self, member: TeamMember, context: dict[str, Any]) -> str:
        key = (
            *(getattr(member, name) for name in SHOWN),
            tuple(member.team_names),
            context["request"]["team"].slug,
            context["can_edit"],
            context["github_url"],
            get_language(),
        )
        row = self._rows.get(key)
        if row is None:
            row = render_to_string(TEMPLATE, {**context, "member": member})
            with self._lock:
                self._rows[key] = row
                if len(self._rows) > KEPT_ROWS_MAX:
                    del self._rows[next(iter(self._rows))]
        return row


_kept: Final = _Kept()


def member_rows(request: TeamRequest, members: Iterable[TeamMember]) -> SafeString:
    """Return the rows of people who know their teams (`with_teams`), for this person."""
    context = {
        # All of a request that a row may know: the rest differs from one to the next.
        "request": {"team": request.team},
        "can_edit": request.membership.is_admin,
        "github_url": settings.GITHUB_URL,
        "csrf_token": TOKEN_MARK,
    }
    html = "".join(_kept.row(member, context) for member in members)
    return mark_safe(html.replace(TOKEN_MARK, get_token(request)))
