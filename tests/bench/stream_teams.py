"""Two thousand teams of five for a measurement of streams, all of them signed in; and a large one.

Written in bulk: what is measured is the reading.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import Final

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.urls import reverse
from django.utils import timezone

from integrations.models import GitHubIntegration, Membership, Team, User

# The revision at which every team stands: its roster moved once.
REVISION: Final = 1


@dataclass(frozen=True)
class Seat:
    """One person of one team, with a session."""

    team: Team
    session_key: str

    def request(self, *, after_id: int) -> str:
        """Return the bytes of a request for the team's stream."""
        return self._request(f"?lastEventId=team-{self.team.pk}:{after_id}")

    def plain_request(self) -> str:
        """Return a request that asks for nothing that was before."""
        return self._request("")

    def _request(self, query: str) -> str:
        path = reverse("live", args=[self.team.slug])
        return (
            f"GET {path}{query} HTTP/1.1\r\n"
            "Host: 127.0.0.1\r\n"
            "Accept: text/event-stream\r\n"
            "Accept-Language: de,en-US;q=0.7,en;q=0.3\r\n"
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
            f"Referer: http://127.0.0.1/t/{self.team.slug}/github/members/\r\n"
            f"Cookie: csrftoken={'t' * 32}; {settings.SESSION_COOKIE_NAME}={self.session_key}\r\n"
            "\r\n"
        )

    def wanted(self, *, after_id: int) -> list[str]:
        """Return the request, and the words that show that nothing was lost."""
        moved = f"id: team-{self.team.pk}:{REVISION}\n"
        return [self.request(after_id=after_id), moved if after_id < REVISION else "stream-open"]


@dataclass(frozen=True)
class Teams:
    """Everybody who may be seated."""

    # So many a team, one after the other.
    seats: list[Seat]
    # The same people, in the one large team.
    large: list[Seat]


def make_teams(*, team_count: int, people_count: int, large_count: int) -> Teams:
    users = User.objects.bulk_create(
        [User(email=f"viewer-{n}@example.com", password=f"!{n}") for n in range(people_count)],
        batch_size=2_000,
    )
    teams = Team.objects.bulk_create(
        [
            Team(name=f"Team {n}", slug=f"measured-{n}", revision=REVISION)
            for n in range(team_count + 1)
        ]
    )
    GitHubIntegration.objects.bulk_create(
        [GitHubIntegration(team=team, roster_revision=REVISION) for team in teams]
    )
    *small, large = teams
    per_team = people_count // team_count
    members = [(small[n // per_team], user) for n, user in enumerate(users)]
    in_large = [(large, user) for user in users[:large_count]]
    Membership.objects.bulk_create(
        [Membership(team=team, user=user) for team, user in members + in_large], batch_size=2_000
    )
    keys = _sign_in(users)
    return Teams(
        [Seat(team, keys[user.pk]) for team, user in members],
        [Seat(team, keys[user.pk]) for team, user in in_large],
    )


def _sign_in(users: list[User]) -> dict[int, str]:
    """Give each a session as signing in does; return its key by the person's id."""
    store = import_module(settings.SESSION_ENGINE).SessionStore()
    keys = {user.pk: secrets.token_hex(16) for user in users}
    Session.objects.bulk_create(
        [
            Session(
                session_key=keys[user.pk],
                session_data=store.encode(
                    {
                        SESSION_KEY: str(user.pk),
                        BACKEND_SESSION_KEY: settings.AUTHENTICATION_BACKENDS[0],
                        HASH_SESSION_KEY: user.get_session_auth_hash(),
                    }
                ),
                expire_date=timezone.now() + timedelta(days=1),
            )
            for user in users
        ],
        batch_size=2_000,
    )
    return keys
