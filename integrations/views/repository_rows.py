"""The rows of the table of repositories, each rendered once for all who see the same.

Knows no query: it takes repositories with their live lines.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import get_language

from integrations.models import TrackedRepository
from integrations.views.kept import for_person, rendered, shelf

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.utils.safestring import SafeString

    from integrations.live.repository_cards import RepositorySyncCard
    from integrations.views.helpers import TeamRequest

TEMPLATE: Final = "integrations/partials/repository_row.html"
# What a reading notes, and no row shows; the live line shows the sync. A column that isn't named
# here counts.
NOT_SHOWN: Final = frozenset({"pushed_at", "heard_at", "sync_started_at", "sync_result"})
SHOWN: Final = tuple(
    field.attname
    for field in TrackedRepository._meta.concrete_fields
    if field.attname not in NOT_SHOWN
)
_shown_of: Final = attrgetter(*SHOWN)


def repository_rows(
    request: TeamRequest, cards: Iterable[tuple[TrackedRepository, RepositorySyncCard]]
) -> SafeString:
    """Return the rows of repositories, for this person."""
    seen = (request.team.slug, request.membership.is_admin, get_language())
    return for_person(
        request,
        [repository_row(_shown_of(repository), card, *seen) for repository, card in cards],
    )


@shelf.keeps
def repository_row(
    shown: tuple[Any, ...],
    card: RepositorySyncCard,
    team_slug: str,
    can_edit: bool,
    _language: str | None,
) -> str:
    """Render one row from what it is kept by."""
    repository = TrackedRepository.from_db(None, SHOWN, shown)
    context = {"repository": repository, "card": card, "can_edit": can_edit}
    return rendered(TEMPLATE, context, team_slug=team_slug)
