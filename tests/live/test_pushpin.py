"""A real Pushpin before a real web process: it holds the streams, and the permissions stay ours."""

from __future__ import annotations

import os
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from django.contrib.sessions.models import Session
from django.db.models import F
from django.urls import reverse

from integrations.constants import RunTrigger
from integrations.live import grip_publish
from integrations.live.grip_register import count_holds, register_key
from integrations.models import SyncRun, Team
from integrations.ops import doctor_pushpin
from integrations.ops.findings import BAD, GOOD
from integrations.services import transitions
from integrations.services.people import remove_person
from integrations.services.runs import start_run
from integrations.telemetry.redis_clients import telemetry_client
from project.grip import read_grip_proxies
from tests.factories import GitHubIntegrationFactory
from tests.live.sse import SseClient
from tests.processes import wait_until
from tests.pushpin import IS_THERE, Pushpin
from tests.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from integrations.models import GitHubIntegration, User
    from tests.environment import Surroundings

pytestmark = [
    pytest.mark.pushpin,
    pytest.mark.processes,
    pytest.mark.django_db(transaction=True),
    # In CI it runs and fails: a hole there would be seen by nobody.
    pytest.mark.skipif(not IS_THERE and not os.environ.get("CI"), reason="no pushpin"),
]

CUT_OFF_S = 10


@pytest.fixture
def integration(acme: Team) -> GitHubIntegration:
    found: GitHubIntegration = GitHubIntegrationFactory(team=acme)
    return found


@pytest.fixture(scope="module")
def pair(
    surroundings: Surroundings,
    django_db_setup: None,
    django_db_blocker: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Pushpin, Stack]]:
    """A Pushpin and a web process that believes it, for all tests of a pytest process."""
    node = Pushpin()
    with pytest.MonkeyPatch.context() as patch, django_db_blocker.unblock():
        patch.setenv("GRIP_URL", node.grip_url)
        # Not forked: the process that others are forked from knows no Pushpin.
        web = Stack(log_dir=tmp_path_factory.mktemp("web"), valkey=surroundings.valkey)
    try:
        yield node, web
    finally:
        node.remove()
        web.stop()


@pytest.fixture
def stack(pair: tuple[Pushpin, Stack], transactional_db: None) -> Stack:
    _, web = pair
    web.start(["web"])
    return web


@pytest.fixture
def pushpin(pair: tuple[Pushpin, Stack], stack: Stack, settings: Any) -> Pushpin:
    """The Pushpin before the web process; this process publishes to it."""
    node, _ = pair
    settings.GRIP_PROXIES = read_grip_proxies(node.grip_url)
    if not node.is_running:
        node.start(web_ports=[stack.port])
    return node


class Viewers:
    """Streams that people open by way of Pushpin."""

    def __init__(self, pushpin: Pushpin, stack: Stack) -> None:
        self._pushpin, self._stack = pushpin, stack
        self._open: list[SseClient] = []

    def open(self, user: User, integration: GitHubIntegration, *, after_id: int) -> SseClient:
        """Open one, and ask again as a page does.

        Until its parts have found each other, a Pushpin that has just started says 500 to a stream
        that the web process has answered for.
        """
        wait_until(lambda: self._is_held(user, integration, after_id), what="an open stream")
        return self._open[-1]

    def _is_held(self, user: User, integration: GitHubIntegration, after_id: int) -> bool:
        path = reverse("live", args=[integration.team.slug])
        with self._stack.browser_session(user) as session:
            client = SseClient(
                f"{self._pushpin.url}{path}?lastEventId=team-{integration.team_id}:{after_id}",
                cookies=session.cookies.get_dict(),
            )
        if client.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            client.close()
            return False
        self._open.append(client)
        assert client.status == HTTPStatus.OK, self._stack.web.output[-4000:]
        client.wait_for("stream-open")
        return True

    def open_for_long(
        self, user: User, integration: GitHubIntegration, *, after_id: int
    ) -> SseClient:
        """Open a stream, and wait for the link that Pushpin asks for a second later.

        No other one comes for two minutes.
        """
        asked = "GET /live/held/"
        before = self._stack.web.output.count(asked)
        client = self.open(user, integration, after_id=after_id)
        wait_until(lambda: self._stack.web.output.count(asked) > before)
        return client

    def close(self) -> None:
        for client in self._open:
            client.close()


@pytest.fixture
def viewers(pushpin: Pushpin, stack: Stack) -> Iterator[Viewers]:
    found = Viewers(pushpin, stack)
    yield found
    found.close()


def open_connections(stack: Stack) -> int:
    """Count what is connected to the web process."""
    process = psutil.Process(stack.web.pid)
    return sum(
        each.laddr.port == stack.port and each.status == psutil.CONN_ESTABLISHED
        for each in process.net_connections("tcp")
    )


class TestHolding:
    def test_viewers_hear_what_moves_and_the_web_process_holds_none_of_them(
        self,
        stack: Stack,
        viewers: Viewers,
        integration: GitHubIntegration,
        alice: User,
        bob: User,
        wait_until: Callable[..., None],
    ) -> None:
        one = viewers.open(bob, integration, after_id=0)
        another = viewers.open(alice, integration, after_id=0)
        wait_until(lambda: open_connections(stack) == 0, timeout_s=20)
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        for viewer in (one, another):
            event = viewer.wait_for("member-sync")
            assert 'data-state="pending"' in event.data
            assert event.revision == 1
        transitions.fail(run, "gave_up")
        for viewer in (one, another):
            viewer.wait_for("member-sync", where=lambda event: event.revision == 2)
            assert [event.revision for event in viewer.events[1:]] == [1, 2]

    def test_a_page_that_is_behind_gets_what_it_missed_and_what_comes(
        self, viewers: Viewers, integration: GitHubIntegration, bob: User
    ) -> None:
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        transitions.roster_changed(integration)
        transitions.fail(run, "gave_up")
        viewer = viewers.open(bob, integration, after_id=1)
        event = viewer.wait_for("member-sync")
        assert 'data-state="error"' in event.data
        assert [one.revision for one in viewer.events[1:]] == [2, 3]
        transitions.roster_changed(integration)
        viewer.wait_for("roster", where=lambda event: event.revision == 4)
        viewer.close()
        transitions.roster_changed(integration)
        again = viewers.open(bob, integration, after_id=4)
        again.wait_for("roster", where=lambda event: event.revision == 5)

    def test_a_number_that_nobody_published_does_not_stop_what_follows(
        self, viewers: Viewers, integration: GitHubIntegration, bob: User
    ) -> None:
        """Filled at once: Pushpin would wait a second for it, and then ask for the link."""
        viewer = viewers.open(bob, integration, after_id=0)
        transitions.roster_changed(integration)
        viewer.wait_for("roster")
        Team.objects.filter(pk=integration.team_id).update(revision=F("revision") + 3)
        transitions.roster_changed(integration)
        viewer.wait_for("roster", where=lambda event: event.revision == 5, timeout_s=0.9)

    def test_a_move_that_nobody_published_is_seen_all_the_same(
        self, viewers: Viewers, integration: GitHubIntegration, bob: User
    ) -> None:
        """As when a worker is killed between its commit and its publishing."""
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        viewer = viewers.open_for_long(bob, integration, after_id=1)
        Team.objects.filter(pk=integration.team_id).update(revision=F("revision") + 1)
        SyncRun.objects.filter(pk=run.pk).update(revision=F("revision") + 1, page_count=7)
        viewer.wait_for("member-sync", where=lambda event: event.revision == 2, timeout_s=15)


class TestPermissions:
    def test_who_may_not_listen_is_refused_through_it(
        self, pushpin: Pushpin, stack: Stack, integration: GitHubIntegration, charlie: User
    ) -> None:
        path = reverse("live", args=[integration.team.slug])
        found = []
        for user in (None, charlie):
            with stack.browser_session(user) as session:
                found.append(session.get(f"{pushpin.url}{path}", timeout=10).status_code)
        assert found == [401, 404]

    def test_a_forged_signature_is_served_by_the_web_process_itself(
        self, pushpin: Pushpin, stack: Stack, integration: GitHubIntegration, bob: User
    ) -> None:
        with (
            stack.browser_session(bob) as session,
            session.get(
                f"{stack.url}{reverse('live', args=[integration.team.slug])}",
                headers={"Grip-Sig": "e30.e30.x"},
                stream=True,
                timeout=10,
            ) as response,
        ):
            assert response.status_code == 200
            assert not [name for name in response.headers if name.lower().startswith("grip")]

    def test_its_instructions_reach_no_viewer(
        self, viewers: Viewers, integration: GitHubIntegration, bob: User
    ) -> None:
        headers = viewers.open(bob, integration, after_id=0).headers
        assert headers["Content-Type"] == "text/event-stream"
        assert not [name for name in headers if name.lower().startswith("grip")]

    def test_who_loses_the_team_is_told_and_cut_off(
        self, viewers: Viewers, integration: GitHubIntegration, alice: User, bob: User
    ) -> None:
        viewer = viewers.open_for_long(bob, integration, after_id=0)
        stays = viewers.open(alice, integration, after_id=0)
        remove_person(integration.team, bob)
        event = viewer.wait_for("stream-error", timeout_s=CUT_OFF_S)
        assert "forbidden" in event.data
        wait_for_end(viewer)
        transitions.roster_changed(integration)
        stays.wait_for("roster")
        assert not [event for event in viewer.events if event.type == "roster"]

    @pytest.mark.parametrize("how", ["signs out", "new password"])
    def test_who_signs_out_or_has_a_new_password_is_cut_off(
        self, viewers: Viewers, integration: GitHubIntegration, bob: User, how: str
    ) -> None:
        viewer = viewers.open_for_long(bob, integration, after_id=0)
        if how == "signs out":
            Session.objects.all().delete()
        else:
            bob.set_password("another one")
            bob.save()
        wait_for_end(viewer)


def wait_for_end(viewer: SseClient, *, timeout_s: float = CUT_OFF_S) -> None:
    deadline = time.monotonic() + timeout_s
    with viewer._came:
        while not viewer.is_over:
            assert viewer._came.wait(deadline - time.monotonic()), "the stream goes on"


class TestOutages:
    def test_streams_outlive_a_web_process_and_hear_what_comes_then(
        self, stack: Stack, viewers: Viewers, integration: GitHubIntegration, bob: User
    ) -> None:
        viewer = viewers.open(bob, integration, after_id=0)
        stack.web.stop()
        transitions.roster_changed(integration)
        viewer.wait_for("roster")
        stack.start(["web"])
        transitions.roster_changed(integration)
        viewer.wait_for("roster", where=lambda event: event.revision == 2)
        assert not viewer.is_over
        # The new process knows of the stream, and may end it.
        bob.memberships.all().delete()
        wait_for_end(viewer)

    def test_when_it_restarts_viewers_come_back_to_the_present_state(
        self, pushpin: Pushpin, viewers: Viewers, integration: GitHubIntegration, bob: User
    ) -> None:
        viewer = viewers.open(bob, integration, after_id=0)
        transitions.roster_changed(integration)
        viewer.wait_for("roster")
        pushpin.stop()
        wait_for_end(viewer)
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        assert run.is_active
        pushpin.start()
        again = viewers.open(bob, integration, after_id=1)
        again.wait_for("member-sync", where=lambda event: event.revision == 2)
        # Nothing is published while the way to it rests, which it did not for long.
        transitions.fail(run, "gave_up")
        again.wait_for("member-sync", where=lambda event: event.revision == 3)

    def test_what_moved_while_it_could_not_be_reached_is_published_when_it_can(
        self,
        pushpin: Pushpin,
        viewers: Viewers,
        integration: GitHubIntegration,
        bob: User,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        viewer = viewers.open_for_long(bob, integration, after_id=0)
        transitions.roster_changed(integration)
        viewer.wait_for("roster")
        grip_publish._pushpin.cache_clear()
        with monkeypatch.context() as away:
            away.setattr(
                "django.conf.settings.GRIP_PROXIES",
                read_grip_proxies(f"http://127.0.0.1:1?iss=rollcall&key={pushpin.key}"),
            )
            run = start_run(integration, trigger=RunTrigger.MANUAL).run
        assert run.is_active
        event = viewer.wait_for("member-sync", timeout_s=15)
        assert 'data-state="pending"' in event.data

    def test_redis_knows_nobody_s_session(
        self, viewers: Viewers, integration: GitHubIntegration, bob: User, wait_until: Any
    ) -> None:
        viewers.open(bob, integration, after_id=0)
        wait_until(lambda: count_holds() == 1)
        [sealed] = telemetry_client().zrange(register_key(), 0, -1)
        keys = Session.objects.values_list("session_key", flat=True)
        assert not [key for key in keys if key.encode() in sealed]


class TestTheDoctor:
    def test_it_says_whether_what_is_published_is_taken(
        self, pushpin: Pushpin, settings: Any
    ) -> None:
        found = list(doctor_pushpin.examine())
        settings.GRIP_PROXIES = read_grip_proxies(f"http://127.0.0.1:1?iss=x&key={pushpin.key}")
        found += doctor_pushpin.examine()
        assert [(one.subject, one.tone) for one in found] == [("pushpin", GOOD), ("pushpin", BAD)]
        settings.GRIP_PROXIES = []
        assert list(doctor_pushpin.examine()) == []
