"""What the members page is asked for: search, filters, order and page, read from the address."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.expressions import OrderBy
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from integrations.constants import DeactivatedBy, MemberRole
from integrations.models import HeldDeparture, OrganizationTeamMember, RepositoryAccess
from integrations.numbers import whole_number
from integrations.views.member_rows import GITHUB_ID, SHOWN, member_rows
from integrations.views.roster_pages import RosterPaginator

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from django.db.models import QuerySet
    from django.http import QueryDict

    from integrations.models import (
        OrganizationInvitation,
        OutsideCollaborator,
        Team,
    )
    from integrations.models.members import TeamMemberQuerySet
    from integrations.views.helpers import TeamRequest

PER_PAGE_CHOICES: Final = (50, 100, 200)
# A column to sort by, and what it sorts by; the key makes each order a total one.
SORTABLE: Final[dict[str, tuple[str | Lower, ...]]] = {
    "login": (Lower("github_username"),),
    "name": (Lower("name"),),
    "email": (Lower("email"),),
    "role": ("role", Lower("github_username")),
    "two_factor": ("two_factor_enabled", Lower("github_username")),
    "joined": ("joined_at",),
    "active": ("is_active", Lower("github_username")),
}
ACTIVE_CHOICES: Final = ("active", "inactive", "all")
# Not of the roster, but shown beside it where the connection may see them.
OTHERS: Final = ("invited", "outside")
TWO_FACTOR_CHOICES: Final = ("on", "off", "unknown")
ORDERS: Final = (
    ("login", _("Login")),
    ("name", _("Name")),
    ("email", _("E-mail")),
    ("role", _("Role")),
    ("two_factor", _("2FA off first")),
    ("-joined", _("Joined last")),
    ("joined", _("Joined first")),
    ("active", _("Not active first")),
)
# Where a row's present state comes from.
SOURCES: Final[dict[str, Q]] = {
    "github": Q(kept_at=None)
    & ~Q(deactivated_by=DeactivatedBy.PERSON)
    & ~Q(pk__in=HeldDeparture.objects.order_by().values("member")),
    "hand": Q(deactivated_by=DeactivatedBy.PERSON) | Q(kept_at__isnull=False),
    "held": Q(held_departure__isnull=False),
}
DAYS: Final = ("7", "30", "90", "365")
SEARCH_LENGTH_MAX: Final = 100
# Times the rows of a page it has to fit a column.
NUMBER_DIGITS_MAX: Final = 11
QUERYSTRING_LENGTH_MAX: Final = 1_000


@dataclass(frozen=True)
class MemberQuery:
    """The state of the members page; whatever makes no sense falls back to its default."""

    q: str = ""
    active: str = "active"
    role: str = ""
    two_factor: str = ""
    # The slug of a team of the organisation.
    team: str = ""
    # The key of a tracked repository: who can reach it.
    repository: str = ""
    source: str = ""
    # Within so many days.
    joined: str = ""
    left: str = ""
    sort: str = "login"
    per_page: int = 50
    page: int = 1

    @classmethod
    def from_querydict(cls, given: QueryDict) -> MemberQuery:
        default = cls()
        orders = {*SORTABLE, *(f"-{name}" for name in SORTABLE)}
        left = _one_of(given.get("left"), DAYS, "")
        active = _one_of(given.get("active"), (*ACTIVE_CHOICES, *OTHERS), default.active)
        return cls(
            q=_text(given.get("q")),
            # Nobody who left is active: asked for alone, they are shown.
            active="all" if left and active == default.active else active,
            role=_one_of(given.get("role"), MemberRole.values, ""),
            two_factor=_one_of(given.get("two_factor"), TWO_FACTOR_CHOICES, ""),
            team=_text(given.get("team")),
            repository=_digits(given.get("repository")),
            source=_one_of(given.get("source"), SOURCES, ""),
            joined=_one_of(given.get("joined"), DAYS, ""),
            left=left,
            sort=_one_of(given.get("sort"), orders, default.sort),
            per_page=_number(given.get("per_page"), PER_PAGE_CHOICES, default.per_page),
            page=int(_digits(given.get("page")) or 1),
        )

    def apply(self, members: TeamMemberQuerySet) -> TeamMemberQuerySet:
        """Narrow and order the roster."""
        if self.shows_others:
            return members.none()
        if self.asks_for_state_alone:
            members = members.in_state(is_active=self.active == "active")
        else:
            members = members.matching(self.q).filter(self._conditions())
        if self.team:
            members = members.filter(Exists(_in_team(self.team)))
        if self.repository:
            members = members.filter(Exists(_reaching(self.repository)))
        return members.order_by(*self._order())

    def _conditions(self) -> Q:
        found = Q()
        if self.active != "all":
            found &= Q(is_active=self.active == "active")
        if self.role:
            found &= Q(role=self.role)
        if self.two_factor:
            found &= Q(
                two_factor_enabled={"on": True, "off": False, "unknown": None}[self.two_factor]
            )
        if self.source:
            found &= SOURCES[self.source]
        if self.joined:
            found &= Q(joined_at__gte=_days_ago(self.joined))
        if self.left:
            found &= Q(left_at__gte=_days_ago(self.left))
        return found

    @property
    def asks_for_state_alone(self) -> bool:
        """Say whether one index holds all that is asked for, in its order."""
        alone = MemberQuery(
            active=self.active, sort=self.sort, per_page=self.per_page, page=self.page
        )
        is_sorted_by_login = self.sort in {"login", "-login"}
        return self == alone and is_sorted_by_login and self.active in {"active", "inactive"}

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
        return self.active != "active" or bool(self.q or self.role or self.two_factor or self.more)

    @property
    def orders(self) -> list[tuple[str, str]]:
        """What the page offers to sort by: a sort's value and its words."""
        return [(value, str(label)) for value, label in ORDERS]

    @property
    def more(self) -> list[str]:
        """The filters that are chosen among those behind "More filters"."""
        folded = (self.team, self.repository, self.source, self.joined, self.left)
        return [chosen for chosen in folded if chosen]

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

    def _order(self) -> list[OrderBy]:
        descending = self.sort.startswith("-")
        columns = (*SORTABLE[self.sort.removeprefix("-")], "pk")
        return [
            OrderBy(F(column) if isinstance(column, str) else column, descending=descending)
            for column in columns
        ]


def member_table(request: TeamRequest) -> dict[str, object]:
    """Return what the table of members shows for the address that was asked."""
    query = MemberQuery.from_querydict(request.GET)
    members = request.team.members.all()
    context = {
        "query": query,
        "can_edit": request.membership.is_admin,
    }
    if query.shows_others:
        others = Paginator(query.others(request.team), query.per_page)
        return context | {"page": others.get_page(query.page)}
    counts = {} if query.is_filtered else members.counts()
    found = query.apply(members).values_list(*SHOWN, named=True)
    pages = RosterPaginator(found, query.per_page, known_count=counts.get("active"))
    page = pages.get_page(query.page)
    team_names = team_names_of(request.team, [shown[GITHUB_ID] for shown in page.object_list])
    return context | {
        "page": page,
        "counts": counts,
        "rows": member_rows(request, page.object_list, team_names=team_names),
    }


def _in_team(slug: str) -> QuerySet[OrganizationTeamMember]:
    return OrganizationTeamMember.objects.filter(
        organization_team__slug=slug,
        organization_team__team=OuterRef("team"),
        github_id=OuterRef("github_id"),
    )


def _reaching(key: str) -> QuerySet[RepositoryAccess]:
    return RepositoryAccess.objects.filter(
        repository=int(key),
        repository__integration__team=OuterRef("team"),
        github_id=OuterRef("github_id"),
    )


def _days_ago(days: str) -> datetime:
    return timezone.now() - timedelta(days=int(days))


def team_names_of(team: Team, github_ids: Collection[int]) -> dict[int, list[str]]:
    """Return the names of these people's teams in the organisation: one query for all of them."""
    rows = OrganizationTeamMember.objects.filter(
        organization_team__team=team, github_id__in=github_ids
    ).values_list("github_id", "organization_team__name")
    names: dict[int, list[str]] = {}
    for github_id, name in rows.order_by("organization_team__name"):
        names.setdefault(github_id, []).append(name)
    return names


def _one_of(given: str | None, choices: Collection[str], default: str) -> str:
    return given if given is not None and given in choices else default


def _number(given: str | None, choices: tuple[int, ...], default: int) -> int:
    return int(given) if given in {str(choice) for choice in choices} else default


def _text(given: str | None) -> str:
    return (given or "").replace("\0", "").strip()[:SEARCH_LENGTH_MAX]


def _digits(given: str | None) -> str:
    """Return a number as it stands in an address; nothing for what is none, or beyond reason."""
    number = whole_number(given or "", digits_max=NUMBER_DIGITS_MAX)
    return "" if number is None else str(number)
