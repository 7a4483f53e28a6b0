"""What the members page is asked for: search, filters, order and page, read from the address."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.expressions import OrderBy
from django.db.models.functions import Lower

from integrations.constants import MemberRole
from integrations.models import OrganizationTeamMember
from integrations.services.organization_people import READERS, may_see

if TYPE_CHECKING:
    from collections.abc import Collection

    from django.db.models import QuerySet
    from django.http import QueryDict

    from integrations.models import (
        GitHubIntegration,
        OrganizationInvitation,
        OutsideCollaborator,
        Team,
        TeamMember,
    )
    from integrations.models.members import TeamMemberQuerySet
    from integrations.views.helpers import TeamRequest

PER_PAGE_CHOICES: Final = (50, 100, 200)
SORTABLE: Final = ("login", "name", "role", "joined")
ACTIVE_CHOICES: Final = ("active", "inactive", "all")
# Not of the roster, but shown beside it where the connection may see them.
OTHERS: Final = ("invited", "outside")
TWO_FACTOR_CHOICES: Final = ("on", "off", "unknown")
SEARCH_LENGTH_MAX: Final = 100


@dataclass(frozen=True)
class MemberQuery:
    """The state of the members page; whatever makes no sense falls back to its default."""

    q: str = ""
    active: str = "active"
    role: str = ""
    two_factor: str = ""
    # The slug of a team of the organisation.
    team: str = ""
    sort: str = "login"
    per_page: int = 50
    page: int = 1

    @classmethod
    def from_querydict(cls, given: QueryDict) -> MemberQuery:
        default = cls()
        return cls(
            q=given.get("q", "").replace("\0", "").strip()[:SEARCH_LENGTH_MAX],
            active=_one_of(given.get("active"), (*ACTIVE_CHOICES, *OTHERS), default.active),
            role=_one_of(given.get("role"), MemberRole.values, ""),
            two_factor=_one_of(given.get("two_factor"), TWO_FACTOR_CHOICES, ""),
            team=given.get("team", "").replace("\0", "")[:SEARCH_LENGTH_MAX],
            sort=_one_of(
                given.get("sort"), (*SORTABLE, *(f"-{name}" for name in SORTABLE)), default.sort
            ),
            per_page=_number(given.get("per_page"), PER_PAGE_CHOICES, default.per_page),
            page=_page_number(given.get("page")),
        )

    def apply(self, members: TeamMemberQuerySet) -> TeamMemberQuerySet:
        """Narrow and order the roster."""
        if self.shows_others:
            return members.none()
        members = members.matching(self.q)
        if self.active != "all":
            members = members.filter(is_active=self.active == "active")
        if self.role:
            members = members.filter(role=self.role)
        if self.two_factor:
            wanted = {"on": True, "off": False, "unknown": None}[self.two_factor]
            members = members.filter(two_factor_enabled=wanted)
        if self.team:
            in_team = OrganizationTeamMember.objects.filter(
                organization_team__slug=self.team,
                organization_team__team=OuterRef("team"),
                github_id=OuterRef("github_id"),
            )
            members = members.filter(Exists(in_team))
        return members.order_by(self._order(), "pk")

    @property
    def shows_others(self) -> bool:
        """Say whether people are asked for who are not on the roster."""
        return self.active in OTHERS

    def others(self, team: Team) -> QuerySet[OrganizationInvitation | OutsideCollaborator]:
        """Return the invited, or the outside collaborators, that match the search."""
        login = self.q.removeprefix("@")
        rows: Any
        if self.active == "invited":
            found = Q(github_username__icontains=login) | Q(email__icontains=self.q)
            rows = team.invitations.filter(found)
        else:
            rows = team.outside_collaborators.filter(github_username__icontains=login)
        return rows  # type: ignore[no-any-return]

    @property
    def is_filtered(self) -> bool:
        return bool(self.q or self.role or self.two_factor or self.team or self.active != "active")

    def querystring(self, **changes: Any) -> str:
        """Return the address's query part for this state with some of it changed.

        Defaults are left out, and any change but the page's own goes back to page 1.
        """
        if changes and "page" not in changes:
            changes["page"] = 1
        wanted, default = replace(self, **changes), MemberQuery()
        return urlencode(
            {name: value for name, value in vars(wanted).items() if value != getattr(default, name)}
        )

    def _order(self) -> OrderBy:
        column = self.sort.removeprefix("-")
        expressions: dict[str, F | Lower] = {
            "login": Lower("github_username"),
            "name": Lower("name"),
            "role": Lower("role"),
            "joined": F("joined_at"),
        }
        return OrderBy(expressions[column], descending=self.sort.startswith("-"))


def member_table(request: TeamRequest, integration: GitHubIntegration) -> dict[str, object]:
    """Return what the table of members shows for the address that was asked."""
    query = MemberQuery.from_querydict(request.GET)
    members = request.team.members.all()
    rows: QuerySet[Any] = query.others(request.team) if query.shows_others else query.apply(members)
    page = Paginator(rows, query.per_page).get_page(query.page)
    sees = {kind: may_see(integration, kind) for kind in READERS}
    if not query.shows_others:
        page.object_list = with_teams(request.team, list(page.object_list))
    return {
        "query": query,
        "page": page,
        "total_count": members.count(),
        "active_count": members.active().count(),
        "can_edit": request.membership.is_admin,
        "sees": sees,
        "organization_teams": list(request.team.organization_teams.all()) if sees["teams"] else [],
    }


def with_teams(team: Team, members: list[TeamMember]) -> list[TeamMember]:
    """Give each person the names of their teams in the organisation: one query for all of them."""
    rows = OrganizationTeamMember.objects.filter(
        organization_team__team=team, github_id__in=[member.github_id for member in members]
    ).values_list("github_id", "organization_team__name")
    names: dict[int, list[str]] = {}
    for github_id, name in rows.order_by("organization_team__name"):
        names.setdefault(github_id, []).append(name)
    for member in members:
        member.team_names = names.get(member.github_id, [])
    return members


def _one_of(given: str | None, choices: Collection[str], default: str) -> str:
    return given if given is not None and given in choices else default


def _number(given: str | None, choices: tuple[int, ...], default: int) -> int:
    return int(given) if given in {str(choice) for choice in choices} else default


def _page_number(given: str | None) -> int:
    return int(given) if given and given.isascii() and given.isdigit() and len(given) < 7 else 1
