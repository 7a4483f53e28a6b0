"""The rows of the table of members, each rendered once for all who see the same.

Knows no query: it takes the columns that a row may show, in their order.
"""

from __future__ import annotations

from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.utils.translation import get_language

from integrations.models import TeamMember
from integrations.views.kept import KEPT_ROWS_MAX, for_person, rendered

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from django.utils.safestring import SafeString

    from integrations.views.helpers import TeamRequest

TEMPLATE: Final = "integrations/partials/member_row.html"
# What a sync notes at every read, and no row shows. A column that isn't named here counts.
NOT_SHOWN: Final = frozenset(
    {"updated_at", "heard_at", "last_seen_run_id", "last_previewed_run_id", "search_text"}
)
SHOWN: Final = tuple(
    field.attname for field in TeamMember._meta.concrete_fields if field.attname not in NOT_SHOWN
)
GITHUB_ID: Final = SHOWN.index("github_id")
shown_of: Final = attrgetter(*SHOWN)


def member_rows(
    request: TeamRequest,
    members: Iterable[tuple[Any, ...]],
    *,
    team_names: Mapping[int, Sequence[str]],
) -> SafeString:
    """Return the rows of people (their `SHOWN` columns), for this person.

    `team_names` has the names of their teams in the organisation, by GitHub's id.
    """
    seen = (
        request.team.slug,
        request.membership.is_admin,
        settings.GITHUB_URL,
        get_language(),
    )
    return for_person(
        request,
        [
            member_row(shown, tuple(team_names.get(shown[GITHUB_ID], ())), *seen)
            for shown in members
        ],
    )


@lru_cache(maxsize=KEPT_ROWS_MAX)
def member_row(
    shown: tuple[Any, ...],
    team_names: tuple[str, ...],
    team_slug: str,
    can_edit: bool,
    github_url: str,
    _language: str | None,
) -> str:
    """Render one row from what it is kept by."""
    member = TeamMember.from_db(None, SHOWN, shown)
    member.team_names = team_names
    context = {"member": member, "can_edit": can_edit, "github_url": github_url}
    return rendered(TEMPLATE, context, team_slug=team_slug)
