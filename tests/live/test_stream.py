"""Open streams in a real uvicorn: what they hold, what they survive, how they end."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psutil
import pytest
import redis
from django.conf import settings
from django.db import connection
from django.db.models import F
from django.urls import reverse

from integrations.constants import RunTrigger
from integrations.live.publish import redis_channel
from integrations.models import SyncRun, Team
from integrations.services import transitions
from integrations.services.people import remove_person
from integrations.services.runs import start_run
from tests.factories import GitHubIntegrationFactory
from tests.live.sse import SseClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from integrations.models import GitHubIntegration, User
    from tests.processes import Valkey
    from tests.stack import Stack

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.processes,
    pytest.mark.parametrize("stack", [("web",)], indirect=True),
]

MANY = 200


@pytest.fixture
def integration(acme: Team) -> GitHubIntegration:
    found: GitHubIntegration = GitHubIntegrationFactory(team=acme)
    return found


@pytest.fixture
def viewer(stack: Stack, bob: User, integration: GitHubIntegration) -> Iterator[SseClient]:
    with stack.browser_session(bob) as session:
        client = SseClient(live_address(stack, integration), cookies=session.cookies.get_dict())
    client.wait_for("stream-open")
    yield client
    client.close()


def live_address(stack: Stack, integration: GitHubIntegration) -> str:
    team = integration.team
    return f"{stack.url}{reverse('live', args=[team.slug])}?lastEventId=team-{team.pk}:0"


class RawStream:
    """A stream by its socket alone: a few hundred of these cost a test no threads."""

    def __init__(self, stack: Stack, path: str, cookie: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", stack.port), timeout=30)
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode()
        )
        self._read = b""

    def wait_for(self, words: bytes) -> None:
        while words not in self._read:
            received = self._socket.recv(65536)
            assert received, f"the stream ended before {words!r}: {self._read[-300:]!r}"
            self._read += received

    @property
    def heard(self) -> bytes:
        return self._read

    def wait_for_end(self) -> None:
        while self._socket.recv(65536):
            pass

    def close(self) -> None:
        self._socket.close()


def open_many(
    stack: Stack, integration: GitHubIntegration, user: User, count: int
) -> list[RawStream]:
    with stack.browser_session(user) as session:
        cookie = "; ".join(f"{name}={value}" for name, value in session.cookies.items())
    path = live_address(stack, integration).removeprefix(stack.url)
    with ThreadPoolExecutor(32) as pool:
        streams = list(pool.map(lambda _: RawStream(stack, path, cookie), range(count)))
    for stream in streams:
        stream.wait_for(b"event: stream-open")
    return streams


class TestManyStreams:
    def test_they_hold_no_thread_and_no_database_connection(
        self, stack: Stack, integration: GitHubIntegration, bob: User
    ) -> None:
        """Two hundred at once, on PostgreSQL with its hundred connections as well as on SQLite."""
        streams = open_many(stack, integration, bob, MANY)
        try:
            process = psutil.Process(stack.web.pid)
            assert process.num_threads() <= 20
            assert database_connections_of(process) <= 16
            run = start_run(integration, trigger=RunTrigger.MANUAL).run
            for stream in streams:
                stream.wait_for(b"event: member-sync")
            transitions.fail(run, "gave_up")
            for stream in streams:
                stream.wait_for(b'data-state="error"')
            assert process.num_threads() <= 20
            if connection.vendor == "postgresql":
                assert busy_connections() == 0
        finally:
            for stream in streams:
                stream.close()

    def test_their_places_are_free_again_when_they_are_gone(
        self,
        stack: Stack,
        integration: GitHubIntegration,
        bob: User,
        wait_until: Callable[..., None],
    ) -> None:
        process = psutil.Process(stack.web.pid)

        def open_count() -> int:
            return sum(
                each.laddr.port == stack.port and each.status == psutil.CONN_ESTABLISHED
                for each in process.net_connections()
            )

        streams = open_many(stack, integration, bob, 50)
        assert open_count() >= 50
        for stream in streams:
            stream.close()
        wait_until(lambda: open_count() == 0)

    def test_all_of_them_catch_up_within_five_seconds_of_redis_being_back(
        self, stack: Stack, integration: GitHubIntegration, bob: User, valkey: Valkey
    ) -> None:
        """Eight hundred: with a read for each, the last one waits longer than that."""
        streams = open_many(stack, integration, bob, 800)
        valkey.stop()
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        transitions.fail(run, "gave_up")
        valkey.start()
        begun = time.monotonic()
        for stream in streams:
            stream.wait_for(b'data-state="error"')
            stream.close()
        assert time.monotonic() - begun < 5

    def test_the_server_ends_quickly_and_every_stream_with_it(
        self, stack: Stack, integration: GitHubIntegration, bob: User
    ) -> None:
        streams = open_many(stack, integration, bob, 50)
        begun = time.monotonic()
        stack.web.stop()
        assert time.monotonic() - begun < 4
        for stream in streams:
            stream.wait_for(b"retry: ")
            stream.wait_for_end()
            stream.close()


def database_connections_of(process: psutil.Process) -> int:
    """Count the open database files or sockets of a process."""
    if connection.vendor == "sqlite":
        name = str(connection.settings_dict["NAME"])
        return sum(file.path == name for file in process.open_files())
    port = int(connection.settings_dict["PORT"] or 5432)
    return sum(bool(each.raddr) and each.raddr.port == port for each in process.net_connections())


def busy_connections() -> int:
    """Count the other PostgreSQL sessions on this database that are at work."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND state <> 'idle'"
        )
        (count,) = cursor.fetchone()
    return int(count)


class TestHearing:
    def test_every_viewer_of_the_team_hears_it_and_no_other_team_s(
        self, stack: Stack, bob: User, alice: User, charlie: User, integration: GitHubIntegration
    ) -> None:
        [charlies] = Team.objects.for_user(charlie)
        other = GitHubIntegrationFactory(team=charlies)
        [one] = open_many(stack, integration, bob, 1)
        [another] = open_many(stack, integration, alice, 1)
        [stranger] = open_many(stack, other, charlie, 1)
        start_run(integration, trigger=RunTrigger.MANUAL)
        one.wait_for(b"event: member-sync")
        another.wait_for(b"event: member-sync")
        # What a stream hears comes in order: its own event without ours before it.
        transitions.roster_changed(other)
        stranger.wait_for(b"event: roster")
        assert b"member-sync" not in stranger.heard
        for stream in (one, another, stranger):
            stream.close()

    def test_a_stream_reopened_at_an_older_id_gets_the_present_state(
        self, stack: Stack, bob: User, integration: GitHubIntegration
    ) -> None:
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        transitions.fail(run, "gave_up")
        [stream] = open_many(stack, integration, bob, 1)
        stream.wait_for(b'data-state="error"')
        assert b'data-state="pending"' not in stream.heard
        stream.close()

    def test_a_person_taken_out_of_the_team_is_told_and_hears_no_more(
        self, stack: Stack, viewer: SseClient, bob: User, integration: GitHubIntegration
    ) -> None:
        remove_person(integration.team, bob)
        event = viewer.wait_for("stream-error", timeout_s=2)
        assert "forbidden" in event.data


class TestOutages:
    def test_a_message_that_it_does_not_understand_leaves_it_listening(
        self, stack: Stack, viewer: SseClient, integration: GitHubIntegration
    ) -> None:
        """As another version's, in the middle of a deployment. Sooner than the watch would do."""
        with redis.Redis.from_url(settings.LIVE_REDIS_URL) as client:
            for message in ("no JSON", "{}", "[]", '{"channel": "team-1", "pub_id": "x"}'):
                assert client.publish(redis_channel(), message) == 1
        start_run(integration, trigger=RunTrigger.MANUAL)
        viewer.wait_for("member-sync", timeout_s=2)

    def test_what_moved_while_redis_was_away_is_seen_when_it_is_back(
        self,
        stack: Stack,
        viewer: SseClient,
        valkey: Valkey,
        integration: GitHubIntegration,
    ) -> None:
        valkey.stop()
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        transitions.fail(run, "gave_up")
        valkey.start()
        event = viewer.wait_for("member-sync", timeout_s=5)
        assert 'data-state="error"' in event.data
        assert not viewer.is_over

    def test_what_was_published_in_a_gap_is_read_from_the_rows(
        self, stack: Stack, viewer: SseClient, integration: GitHubIntegration
    ) -> None:
        """Two moves, of which only the second is published: the first subject comes as well."""
        transitions.roster_changed(integration)
        viewer.wait_for("roster")
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        viewer.wait_for("member-sync")
        viewer.forget()
        transitions.fail(run, "gave_up")
        viewer.wait_for("member-sync", where=lambda event: 'data-state="error"' in event.data)
        assert viewer.events[-1].revision == 3


class TestTheWatch:
    def test_a_move_that_nobody_published_is_seen_all_the_same(
        self, stack: Stack, viewer: SseClient, integration: GitHubIntegration
    ) -> None:
        """As when a worker is killed between its commit and its publishing."""
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        viewer.wait_for("member-sync")
        Team.objects.filter(pk=integration.team_id).update(revision=F("revision") + 1)
        SyncRun.objects.filter(pk=run.pk).update(revision=F("revision") + 1, page_count=7)
        viewer.wait_for("member-sync", where=lambda event: event.revision == 2)

    def test_a_person_lost_by_whatever_way_hears_no_more(
        self, stack: Stack, viewer: SseClient, bob: User, integration: GitHubIntegration
    ) -> None:
        bob.memberships.all().delete()
        viewer.wait_for("stream-error")


class TestTheDoor:
    def test_it_says_who_may_not_come_in_and_with_what(
        self, stack: Stack, bob: User, charlie: User, integration: GitHubIntegration
    ) -> None:
        address = reverse("live", args=[integration.team.slug])
        channel = f"team-{integration.team_id}"
        expected = [
            (None, address, 401),
            (charlie, address, 404),
            (bob, reverse("live", args=["nobodys"]), 404),
            *((bob, f"{address}?lastEventId={bad}", 400) for bad in ("error", "7", "a:b:c")),
            *((bob, f"{address}?lastEventId={channel}:{bad}", 400) for bad in ("-1", "x", "")),
            # The library's words to a GRIP proxy that is not there.
            (bob, f"{address}?recover=true&es-meta=x", 200),
        ]
        assert [self.status_of(stack, user, path) for user, path, _ in expected] == [
            status for _, _, status in expected
        ]

    @staticmethod
    def status_of(stack: Stack, user: User | None, path: str) -> int:
        with (
            stack.browser_session(user) as session,
            session.get(f"{stack.url}{path}", stream=True, timeout=10) as response,
        ):
            return response.status_code

    def test_it_takes_no_post(
        self, stack: Stack, bob: User, integration: GitHubIntegration
    ) -> None:
        with stack.browser_session(bob) as session:
            response = session.post(live_address(stack, integration), timeout=10)
        assert response.status_code == 405

    def test_its_answer_is_neither_kept_nor_held_back(
        self, stack: Stack, bob: User, integration: GitHubIntegration
    ) -> None:
        with (
            stack.browser_session(bob) as session,
            session.get(live_address(stack, integration), stream=True, timeout=10) as response,
        ):
            assert response.headers["Content-Type"] == "text/event-stream"
            assert "no-cache" in response.headers["Cache-Control"]
            assert response.headers["X-Accel-Buffering"] == "no"
            assert "Set-Cookie" not in response.headers

    def test_it_leaves_to_django_what_is_not_the_plain_case(
        self, stack: Stack, bob: User, integration: GitHubIntegration
    ) -> None:
        """Told by a header that only Django's middleware adds."""
        address = live_address(stack, integration)
        asked = [{}, {"Grip-Sig": "of a proxy"}, {"Host": "elsewhere.example"}]
        answers = []
        for headers in asked:
            with (
                stack.browser_session(bob) as session,
                session.get(address, headers=headers, stream=True, timeout=10) as response,
            ):
                is_django = "Content-Security-Policy" in response.headers
                answers.append((response.status_code, is_django))
        assert answers == [(200, False), (200, True), (400, True)]
