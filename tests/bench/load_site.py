"""A site with a day's teams on it, and what people and GitHub ask of it, as a timetable.

One large organisation and many small ones, all connected by the App and read once; people of each
are signed in. Half of the requests are about the large one.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from integrations.models import GitHubIntegration, MemberChange
from integrations.services import app_connection
from tests.bench.load_generator import Arrival
from tests.bench.viewers import admin_of
from tests.factories import TeamFactory, TrackedRepositoryFactory
from tests.syncing import sync

if TYPE_CHECKING:
    from integrations.models import Team
    from tests.bench.rows import Bench
    from tests.sandbox_control import SandboxOrganization

LARGE_SIZE: Final = 5_000
SMALL_SIZE: Final = 240
SMALL_COUNT: Final = 20
PEOPLE_A_TEAM: Final = 3
REPOSITORIES_A_TEAM: Final = 40
# So many of a hundred requests, and what each is.
SHARES: Final = {
    "members page": 18,
    "members filtered": 10,
    "members searched": 10,
    "table refresh": 20,
    "person": 10,
    "history": 6,
    "changes": 4,
    "repositories": 5,
    "toggle": 5,
    "sync click": 2,
    "webhook": 10,
}
FILTERS: Final = (
    "role=admin&two_factor=off", "active=all&sort=-name", "active=inactive", "sort=-joined",
    "two_factor=unknown", "joined=30&sort=email", "active=all&page=3", "source=github&per_page=100",
)  # fmt: skip
SEARCHES: Final = ("ada", "a", "nobody-of-that-name", "son", "10", "grace", "er", "@m")
TOKEN: Final = "t" * 32
# One person in two reads German.
LANGUAGES: Final = ("de,en-US;q=0.7,en;q=0.3", "en-US,en;q=0.5")
HOST: Final = (
    "Host: 127.0.0.1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
)


@dataclass
class Place:
    """One team, with what its people can ask about."""

    team: Team
    organization: SandboxOrganization
    session_keys: list[str]
    member_keys: list[int]
    deliveries: deque[dict[str, Any]] = field(default_factory=deque)
    # Who was switched off by the timetable so far: each toggle is a change.
    switched_off: set[int] = field(default_factory=set)


class Site:
    """The teams, and requests to them by chance that is the same each time."""

    def __init__(self, bench: Bench) -> None:
        sizes = [LARGE_SIZE] + [SMALL_SIZE] * SMALL_COUNT
        self.places = [_place(bench, size) for size in sizes]
        self._chance = random.Random(7)

    def timetable(self, rate: float, seconds: float) -> list[Arrival]:
        """Return the arrivals: independent of each other, so many a second on average."""
        due_s, times = 0.0, []
        while (due_s := due_s + self._chance.expovariate(rate)) < seconds:
            times.append(due_s)
        kinds = self._chance.choices(list(SHARES), weights=list(SHARES.values()), k=len(times))
        self._have_deliveries(kinds.count("webhook"))
        return [self._arrival(*each) for each in zip(times, kinds, strict=True)]

    def streams(self, count: int) -> list[list[str]]:
        """Return a crowd's requests for streams: half of the large team's, and what each awaits."""
        wanted = []
        for place in (self._any_place() for _ in range(count)):
            place.team.refresh_from_db(fields=["revision"])
            path = reverse("live", args=[place.team.slug])
            last_id = f"team-{place.team.pk}:{place.team.revision}"
            line = f"GET {path}?lastEventId={last_id} HTTP/1.1\r\n"
            wanted.append([f"{line}{HOST}{self._cookies(place)}\r\n", "stream-open"])
        return wanted

    def _have_deliveries(self, count: int) -> None:
        """Have people join and leave at GitHub, as many as are going to be told of."""
        for place in self.places:
            place.deliveries.clear()
        for _ in range(count):
            place = self._any_place()
            place.deliveries.append({})
        for place in self.places:
            for _ in range(len(place.deliveries)):
                place.organization.add()
            if place.deliveries:
                place.deliveries = deque(place.organization.deliveries()[-len(place.deliveries) :])

    def _any_place(self) -> Place:
        return self.places[0] if self._chance.random() < 0.5 else self._any_small()

    def _any_small(self) -> Place:
        return self._chance.choice(self.places[1:])

    def _arrival(self, due_s: float, kind: str) -> Arrival:
        if kind == "webhook":
            told = self._chance.choice([place for place in self.places if place.deliveries])
            return Arrival(due_s, kind, _delivery(told.deliveries.popleft()), 202)
        # A click reads a whole organisation; people click on all of them alike.
        place = self._chance.choice(self.places) if kind == "sync click" else self._any_place()
        if kind in {"toggle", "sync click"}:
            return Arrival(due_s, kind, self._click(kind, place), 200)
        headers = HOST + self._cookies(place)
        if kind in {"table refresh", "members searched"}:
            headers += "HX-Request: true\r\n"
        path = self._path(kind, place)
        return Arrival(due_s, kind, f"GET {path} HTTP/1.1\r\n{headers}\r\n", 200)

    def _path(self, kind: str, place: Place) -> str:
        slug = place.team.slug
        if kind == "person":
            return reverse("github_member", args=[slug, self._chance.choice(place.member_keys)])
        name, query = {
            "members page": ("github_members", ""),
            "members filtered": ("github_members", self._chance.choice(FILTERS)),
            "members searched": ("github_members", f"q={self._chance.choice(SEARCHES)}"),
            "table refresh": ("github_members_table", ""),
            "history": ("github_history", ""),
            "changes": ("github_history", "show=changes"),
            "repositories": ("github_repos", ""),
        }[kind]
        return reverse(name, args=[slug]) + (f"?{query}" if query else "")

    def _click(self, kind: str, place: Place) -> str:
        if kind == "sync click":
            path, body = reverse("github_members_sync", args=[place.team.slug]), ""
        else:
            key = self._chance.choice(place.member_keys)
            path = reverse("github_member_toggle", args=[place.team.slug, key])
            body = f"active={'true' if key in place.switched_off else 'false'}"
            place.switched_off ^= {key}
        headers = (
            f"{HOST}{self._cookies(place)}X-CSRFToken: {TOKEN}\r\nHX-Request: true\r\n"
            "Origin: http://127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        )
        return f"POST {path} HTTP/1.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}"

    def _cookies(self, place: Place) -> str:
        number = self._chance.randrange(len(place.session_keys))
        return (
            f"Accept-Language: {LANGUAGES[number % len(LANGUAGES)]}\r\n"
            f"Cookie: {settings.CSRF_COOKIE_NAME}={TOKEN}; "
            f"{settings.SESSION_COOKIE_NAME}={place.session_keys[number]}\r\n"
        )


def _place(bench: Bench, size: int) -> Place:
    """Connect a team of its own to an organisation of this size, and read it once."""
    organization = bench.sandbox.organization(size=size)
    integration = app_connection.connect(
        TeamFactory(), person=admin_of(TeamFactory()), installation_id=organization.install()
    )
    sync(integration)
    assert integration.team.members.count() == size
    assert MemberChange.objects.filter(team=integration.team).count() == size
    TrackedRepositoryFactory.create_batch(
        REPOSITORIES_A_TEAM, integration=integration, is_tracked=True
    )
    GitHubIntegration.objects.filter(pk=integration.pk).update(onboarded_at=timezone.now())
    return Place(
        team=integration.team,
        organization=organization,
        session_keys=[_session_of(integration.team) for _ in range(PEOPLE_A_TEAM)],
        member_keys=list(integration.team.members.values_list("pk", flat=True)),
    )


def _session_of(team: Team) -> str:
    """Sign an admin of the team in."""
    client = Client()
    client.force_login(admin_of(team))
    return client.session.session_key or ""


def _delivery(delivery: dict[str, Any]) -> str:
    """Return GitHub's request, with the signature that it came with."""
    body = delivery["body"]
    path = reverse("github_webhooks_receive")
    headers = "".join(f"{name}: {value}\r\n" for name, value in delivery["headers"].items())
    length = f"Content-Length: {len(body.encode())}\r\n"
    return f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}{length}\r\n{body}"
