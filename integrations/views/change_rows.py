"""The rows of tables of changes, each rendered once for all who see the same.

A change that is written down stays as it is, so that only the newest are rendered. Knows no query.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import get_language

from integrations.constants import MemberChangeKind
from integrations.models import MemberChange
from integrations.templatetags.rollcall import moves
from integrations.views.kept import for_person, rendered, shelf

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.utils.safestring import SafeString

    from integrations.models import PlannedChange
    from integrations.views.helpers import TeamRequest

TEMPLATE: Final = "integrations/partials/change_row.html"
KIND_WORDS: Final = dict(MemberChangeKind.choices)


@dataclass(frozen=True)
class ShownChange:
    """All that a row shows of a change: one that happened, or one that is planned."""

    github_username: str
    kind: str
    # Of each field its label, and what it was and is, in words.
    moves: tuple[tuple[str, str, str], ...]
    at: datetime | None = None
    person: str = ""
    webhook_event: str = ""
    run_id: int | None = None

    @classmethod
    def of(cls, change: MemberChange | PlannedChange) -> ShownChange:
        moved = tuple(moves(change.fields))
        if not isinstance(change, MemberChange):
            return cls(change.github_username, change.kind, moved)
        return cls(
            github_username=change.github_username,
            kind=change.kind,
            moves=moved,
            at=change.at,
            person=change.person.display_name if change.person else "",
            webhook_event=change.webhook_event,
            run_id=change.run_id,
        )

    @property
    def kind_words(self) -> str:
        return str(KIND_WORDS.get(self.kind, self.kind))


def change_rows(
    request: TeamRequest,
    changes: Iterable[tuple[Any, int | None]],
    *,
    one_person: bool = False,
    of_run: bool = False,
) -> SafeString:
    """Return the rows of changes, each with the key of its person's row where there is one.

    `one_person`: all are of one person. `of_run`: all are of one run.
    """
    seen = (one_person, of_run, request.team.slug, get_language())
    return for_person(
        request,
        [change_row(ShownChange.of(change), member_id, *seen) for change, member_id in changes],
    )


@shelf.keeps
def change_row(
    change: ShownChange,
    member_id: int | None,
    one_person: bool,
    of_run: bool,
    team_slug: str,
    _language: str | None,
) -> str:
    """Render one row from what it is kept by."""
    context = {
        "change": change,
        "member_id": member_id,
        "one_person": one_person,
        "of_run": of_run,
    }
    return rendered(TEMPLATE, context, team_slug=team_slug)
