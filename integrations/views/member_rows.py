"""The rows of the table of members, each made once for all who see the same.

Of a hundred thousand people most differ in their names alone: the template is rendered once for
each look of a row, with marks where the person's own words go, and a row is no more than putting
them there. Knows no query: it takes the columns that a row may show, in their order.
"""

from __future__ import annotations

import secrets
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from django.conf import settings
from django.utils.html import escape
from django.utils.safestring import mark_safe
from django.utils.translation import get_language

from integrations.models import TeamMember
from integrations.templatetags.rollcall import initials, moment, tint
from integrations.views.kept import for_person, form_of, rendered, shelf

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
# A row names three, and says by the fourth that there are more.
TEAM_MARKS: Final = ("team_0", "team_1", "team_2", "team_3")
# What stands in a form for a person's own words; nobody can know it and write it.
MARKS: Final = {
    "id": str(10**17 + secrets.randbelow(9 * 10**17)),
    **{
        name: secrets.token_hex(16)
        for name in ("slug", "name", "login", "email", "tint", "initials", "joined", "left",
                     "page_on_github", *TEAM_MARKS)
    },
}  # fmt: skip


class Look(NamedTuple):
    """What decides how a row looks, beside the person's own words."""

    is_active: bool
    role: str
    two_factor_enabled: bool | None
    has_email: bool
    has_left: bool
    team_count: int
    can_edit: bool


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


@shelf.keeps
def member_row(
    shown: tuple[Any, ...],
    team_names: tuple[str, ...],
    team_slug: str,
    can_edit: bool,
    github_url: str,
    _language: str | None,
) -> str:
    """Make one row from what it is kept by."""
    member = TeamMember.from_db(None, SHOWN, shown)
    look = Look(
        is_active=member.is_active,
        role=member.role,
        two_factor_enabled=member.two_factor_enabled,
        has_email=bool(member.email),
        has_left=member.left_at is not None,
        team_count=min(len(team_names), len(TEAM_MARKS)),
        can_edit=can_edit,
    )
    return row_form(look, get_language()) % _words(member, team_names, team_slug, github_url)


def _words(
    member: TeamMember, team_names: tuple[str, ...], team_slug: str, github_url: str
) -> dict[str, object]:
    """Return what stands in a row in the marks' places, as HTML."""
    name = escape(member.display_name)
    return {
        "id": member.pk,
        "slug": escape(team_slug),
        "name": name,
        "login": escape(member.github_username),
        "email": escape(member.email),
        "tint": tint(member.github_id),
        "initials": escape(initials(member.display_name)),
        "joined": moment(member.joined_at),
        "left": moment(member.left_at),
        "page_on_github": escape(f"{github_url}/{quote(member.github_username, safe='')}"),
        **{mark: escape(team) for mark, team in zip(TEAM_MARKS, team_names, strict=False)},
    }


@lru_cache(maxsize=1_000)
def row_form(look: Look, _language: str | None) -> str:
    """Render the row of all who look the same but for their words."""
    member = TeamMember(
        pk=int(MARKS["id"]),
        name=MARKS["name"],
        github_username=MARKS["login"],
        email=MARKS["email"] if look.has_email else "",
        is_active=look.is_active,
        role=look.role,
        two_factor_enabled=look.two_factor_enabled,
    )
    member.team_names = [MARKS[mark] for mark in TEAM_MARKS[: look.team_count]]
    words = {name: mark_safe(MARKS[name]) for name in ("tint", "initials", "joined")}
    context = {
        **words,
        "member": member,
        "left": mark_safe(MARKS["left"]) if look.has_left else "",
        "page_on_github": MARKS["page_on_github"],
        "can_edit": look.can_edit,
    }
    return form_of(rendered(TEMPLATE, context, team_slug=MARKS["slug"]), MARKS)
