"""What every page may show besides its own: the bar at its top."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from integrations.models import Team, User

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest


@dataclass(frozen=True)
class NamedTeam:
    """A team as the bar shows it."""

    pk: int
    name: str
    slug: str


@dataclass(frozen=True)
class NamedPerson:
    """The person who is signed in, as the bar shows them."""

    pk: int
    display_name: str
    email: str
    is_staff: bool


@dataclass(frozen=True)
class TopBar:
    """All that the bar shows: the page's team, the person and their teams, as far as there are."""

    team: NamedTeam | None = None
    teams: tuple[NamedTeam, ...] = ()
    person: NamedPerson | None = None


def bar(request: HttpRequest) -> dict[str, Callable[[], TopBar]]:
    """Return the bar, whose query is asked only by a page that shows it."""
    return {"bar": partial(_bar_of, request)}


def _bar_of(request: HttpRequest) -> TopBar:
    team, user = getattr(request, "team", None), getattr(request, "user", None)
    return TopBar(
        team=team and NamedTeam(team.pk, team.name, team.slug),
        teams=_teams_of(user) if team and isinstance(user, User) else (),
        person=_named(user) if user and user.is_authenticated else None,
    )


def _teams_of(user: User) -> tuple[NamedTeam, ...]:
    rows = Team.objects.for_user(user).values_list("pk", "name", "slug")
    return tuple(NamedTeam(*row) for row in rows)


def _named(user: User) -> NamedPerson:
    return NamedPerson(user.pk, user.display_name, user.email, user.is_staff)
