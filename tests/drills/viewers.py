"""People who look on during a drill: streams that come back as the browser's do.

A viewer keeps the last id it was sent and goes on from it, whoever answers at the address by then.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Final

import requests
from django.urls import reverse

from integrations.constants import TeamRole
from integrations.live.cards import MemberSyncCard
from integrations.live.fragments import MEMBER_SYNC
from tests.factories import MembershipFactory, UserFactory
from tests.live.sse import SseClient
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from integrations.models import Team, User
    from tests.kills import Site
    from tests.stack import Stack

# A browser waits as long as the server last said (1 to 4 s), or 3 s; this one is quicker, to see
# the streams come back rather than its own patience.
PAUSE_S: Final = 0.25
STATE: Final = re.compile(r'data-state="(\w+)" data-revision="(\d+)"')


def admin_of(team: Team) -> User:
    user: User = UserFactory()
    MembershipFactory(team=team, user=user, role=TeamRole.ADMIN)
    return user


class Viewer:
    """One person on a team's members page, for as long as they are not closed."""

    def __init__(self, stack: Stack, team: Team) -> None:
        team.refresh_from_db()
        self.team_id = team.pk
        self.opened_count = 0
        # What each asking for the stream was answered with.
        self.statuses: list[int] = []
        # (state, revision) of the card that the page shows: at first as it was rendered.
        card = MemberSyncCard.of(team.github)
        self.card = (card.state, card.revision)
        self.went_back_count = 0
        self._url = f"{stack.url}{reverse('live', args=[team.slug])}"
        self._last_id = f"team-{team.pk}:{team.revision}"
        with stack.browser_session(admin_of(team)) as session:
            self._cookies = session.cookies.get_dict()
        self._is_over = threading.Event()
        self._client: SseClient | None = None
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._thread.start()

    @property
    def is_open(self) -> bool:
        client = self._client
        return client is not None and not client.is_over and bool(client.events)

    def close(self) -> None:
        self._is_over.set()
        if self._client is not None:
            self._client.close()
        self._thread.join(timeout=10)

    def _look_on(self) -> None:
        while not self._is_over.is_set():
            try:
                client = SseClient(
                    f"{self._url}?lastEventId={self._last_id}", cookies=self._cookies
                )
            except requests.RequestException:
                client = None
            if client is not None:
                self.statuses.append(client.status)
                self._client = client
                self._follow(client)
            self._is_over.wait(PAUSE_S)

    def _follow(self, client: SseClient) -> None:
        """Take what comes until the stream ends, from either side."""
        taken = 0
        while not (self._is_over.is_set() or (client.is_over and taken == len(client.events))):
            events = client.events[taken:]
            for event in events:
                self._take(event.type, event.data, event.id)
            taken += len(events)
            if not events:
                self._is_over.wait(0.02)
        client.close()

    def _take(self, kind: str, data: str, event_id: str) -> None:
        if kind == "stream-open":
            self.opened_count += 1
        if event_id:
            self._last_id = event_id
        found = STATE.search(data) if kind == MEMBER_SYNC else None
        if found:
            card = (found[1], int(found[2]))
            self.went_back_count += card[1] < self.card[1]
            self.card = card


class Audience:
    """The viewers of several teams."""

    def __init__(self, stack: Stack, sites: Iterable[Site], *, each: int) -> None:
        self.viewers = [Viewer(stack, site.integration.team) for site in sites for _ in range(each)]
        self.wait_open()

    def __len__(self) -> int:
        return len(self.viewers)

    def wait_open(self, *, times: int = 1) -> None:
        """Wait until every stream is open, and has been opened so many times at least."""
        wait_until(
            lambda: all(one.is_open and one.opened_count >= times for one in self.viewers),
            timeout_s=20,
            what=f"every stream being open for the {times}. time",
        )

    def close(self) -> None:
        for viewer in self.viewers:
            viewer._is_over.set()
        for viewer in self.viewers:
            viewer.close()
