"""The product in its real processes: uvicorn, a worker, the ticker, Valkey and the sandbox."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import redis
from django.urls import reverse

from integrations.constants import SYNC_STATUS_COMPLETE, SYNC_STATUS_ERROR, SYNC_STATUS_SYNCING
from integrations.models import GitHubIntegration, StatusTransition, SyncRun, Team
from integrations.services.people import remove_person
from tests.factories import GitHubIntegrationFactory
from tests.live.sse import SseClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from integrations.models import User
    from tests.processes import Valkey
    from tests.sandbox_control import SandboxOrganization
    from tests.stack import Stack

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.processes,
]

# Where it matters how a process begins and ends: as the Procfile starts it, and not forked.
FROM_NOTHING = pytest.mark.cold_start

WEB_ONLY = pytest.mark.parametrize("stack", [("web",)], indirect=True)


def address(name: str, team: Team, *args: Any) -> str:
    return reverse(name, args=[team.slug, *args])


@pytest.fixture
def listen(stack: Stack) -> Iterator[Callable[..., SseClient]]:
    """`listen(user, team, since=0)` opens the team's stream, and closes it after the test."""
    opened: list[SseClient] = []

    def open_stream(user: User, team: Team, *, since: int | str | None = 0) -> SseClient:
        query = "" if since is None else f"?lastEventId=team-{team.pk}:{since}"
        with stack.browser_session(user) as session:
            client = SseClient(
                f"{stack.url}{address('live', team)}{query}", cookies=session.cookies.get_dict()
            )
        opened.append(client)
        return client

    yield open_stream
    for client in opened:
        client.close()


def state_of(html: str) -> str:
    return html.partition('data-state="')[2].partition('"')[0]


def is_complete(integration: GitHubIntegration) -> bool:
    integration.refresh_from_db()
    return integration.member_sync_status == SYNC_STATUS_COMPLETE


class TestASyncSeenLive:
    @FROM_NOTHING
    def test_a_viewer_sees_it_from_start_to_end_without_asking(
        self,
        stack: Stack,
        listen: Callable[..., SseClient],
        alice: User,
        integration: GitHubIntegration,
        organization: SandboxOrganization,
    ) -> None:
        team = integration.team
        viewer = listen(alice, team)
        viewer.wait_for("stream-open")
        asked_before = stack.web.output.count("HTTP/1.1")
        assert stack.post(address("github_members_sync", team), user=alice).status_code == 200
        viewer.wait_for(
            "member-sync", where=lambda event: state_of(event.data) == "complete", timeout_s=20
        )
        seen = [event for event in viewer.events if event.type == "member-sync"]
        states = [state_of(event.data) for event in seen]
        assert states[0] in {"pending", "syncing"}
        assert "syncing" in states
        assert states[-1] == "complete"
        revisions = [event.revision for event in seen]
        assert revisions == sorted(set(revisions))
        assert any("100" in event.data and "240" in event.data for event in seen)
        # The click, and nothing else, was asked of the server in between.
        assert stack.web.output.count("HTTP/1.1") - asked_before == 1
        assert set(team.members.active().values_list("github_id", flat=True)) == set(
            organization.members()
        )

    def test_killing_and_reopening_the_stream_loses_no_final_state(
        self,
        stack: Stack,
        listen: Callable[..., SseClient],
        alice: User,
        integration: GitHubIntegration,
        wait_until: Callable[..., None],
    ) -> None:
        team = integration.team
        viewer = listen(alice, team)
        stack.post(address("github_members_sync", team), user=alice)
        heard = viewer.wait_for("member-sync")
        viewer.close()
        wait_until(lambda: is_complete(integration), timeout_s=20)
        again = listen(alice, team, since=heard.revision)
        missed = again.wait_for("member-sync")
        assert state_of(missed.data) == "complete"
        assert missed.revision == Team.objects.get(pk=team.pk).revision

    def test_a_stream_opened_after_the_end_shows_the_end(
        self,
        stack: Stack,
        listen: Callable[..., SseClient],
        alice: User,
        integration: GitHubIntegration,
        wait_until: Callable[..., None],
    ) -> None:
        team = integration.team
        page = stack.get(address("github_members", team), user=alice).text
        revision = page.partition('data-live-revision="')[2].partition('"')[0]
        stack.post(address("github_members_sync", team), user=alice)
        wait_until(lambda: is_complete(integration), timeout_s=20)
        viewer = listen(alice, team, since=revision)
        assert state_of(viewer.wait_for("member-sync").data) == "complete"

    @WEB_ONLY
    def test_two_teams_never_hear_each_other(
        self,
        stack: Stack,
        listen: Callable[..., SseClient],
        alice: User,
        charlie: User,
        integration: GitHubIntegration,
    ) -> None:
        other_team = Team.objects.for_user(charlie).get()
        others = GitHubIntegrationFactory(team=other_team)
        ours, theirs = listen(alice, integration.team), listen(charlie, other_team)
        for viewer in (ours, theirs):
            viewer.wait_for("stream-open")
        stack.post(address("github_members_sync", integration.team), user=alice)
        ours.wait_for("member-sync")
        # What follows on the other stream is its own, with nothing of ours before it.
        GitHubIntegration.objects.filter(pk=others.pk).update(organization_login="theirs")
        stack.post(address("github_members_sync", other_team), user=charlie)
        theirs.wait_for("member-sync")
        assert {event.id.partition(":")[0] for event in theirs.events if event.id} == {
            f"team-{other_team.pk}"
        }
        assert {event.id.partition(":")[0] for event in ours.events if event.id} == {
            f"team-{integration.team_id}"
        }

    def test_a_killed_worker_s_sync_goes_on_with_the_next(
        self,
        stack: Stack,
        alice: User,
        integration: GitHubIntegration,
        organization: SandboxOrganization,
        wait_until: Callable[..., None],
    ) -> None:
        organization.slow_down(400)
        stack.post(address("github_members_sync", integration.team), user=alice)
        wait_until(
            lambda: SyncRun.objects.filter(integration=integration, page_count__gte=1).exists(),
            timeout_s=20,
        )
        stack.worker.kill()
        stack.start(["worker"])
        wait_until(lambda: is_complete(integration), timeout_s=30)
        run = SyncRun.objects.get(integration=integration)
        assert run.page_count == 3
        assert run.created_count == 240
        pages = [call for call in organization.requests() if call["operation"] == "Members"]
        # One page at the most was read a second time.
        assert len(pages) <= 4


class TestTheStreamSDoor:
    @WEB_ONLY
    def test_it_opens_to_people_of_the_team_only(
        self,
        stack: Stack,
        listen: Callable[..., SseClient],
        bob: User,
        charlie: User,
        integration: GitHubIntegration,
    ) -> None:
        assert listen(bob, integration.team).status == 200
        assert listen(charlie, integration.team).status == 404
        assert listen(None, integration.team).status == 401
        assert listen(bob, integration.team, since="abc").status == 400

    @WEB_ONLY
    def test_it_closes_on_whoever_leaves_the_team(
        self,
        stack: Stack,
        listen: Callable[..., SseClient],
        alice: User,
        bob: User,
        integration: GitHubIntegration,
    ) -> None:
        stays, goes = listen(alice, integration.team), listen(bob, integration.team)
        for viewer in (stays, goes):
            viewer.wait_for("stream-open")
        remove_person(integration.team, bob)
        goes.wait_for("stream-error")
        stack.post(address("github_members_sync", integration.team), user=alice)
        stays.wait_for("member-sync")
        assert not [event for event in goes.events if event.type == "member-sync"]


class TestManyClicks:
    @WEB_ONLY
    def test_twenty_at_once_make_one_run(
        self, stack: Stack, alice: User, integration: GitHubIntegration
    ) -> None:
        path = address("github_members_sync", integration.team)
        statuses: list[int] = []
        sessions = [stack.browser_session(alice) for _ in range(20)]
        gate = threading.Barrier(len(sessions))

        def click(session: Any) -> None:
            gate.wait()
            with session:
                response = session.post(
                    f"{stack.url}{path}", headers={"HX-Request": "true"}, timeout=30
                )
            statuses.append(response.status_code)

        threads = [threading.Thread(target=click, args=[session]) for session in sessions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [200] * 20
        assert SyncRun.objects.filter(integration=integration).count() == 1
        assert stack.queue_length() == 1


class TestTheQueueIsDown:
    def test_a_click_says_so_and_works_again_once_it_is_back(
        self,
        stack: Stack,
        alice: User,
        integration: GitHubIntegration,
        valkey: Valkey,
        wait_until: Callable[..., None],
    ) -> None:
        path = address("github_members_sync", integration.team)
        valkey.stop()
        refused = stack.post(path, user=alice)
        assert refused.status_code == 503
        assert "job queue can&#x27;t be reached" in refused.text
        integration.refresh_from_db()
        assert integration.member_sync_status == SYNC_STATUS_ERROR
        assert SyncRun.objects.get().error_code == "queue_unreachable"
        valkey.start()
        assert stack.post(path, user=alice).status_code == 200
        wait_until(lambda: is_complete(integration), timeout_s=40)

    def test_a_message_that_got_lost_is_sent_again(
        self,
        stack: Stack,
        alice: User,
        integration: GitHubIntegration,
        valkey: Valkey,
        wait_until: Callable[..., None],
    ) -> None:
        stack.worker.stop()
        stack.post(address("github_members_sync", integration.team), user=alice)
        integration.refresh_from_db()
        assert integration.member_sync_status == SYNC_STATUS_SYNCING
        assert stack.queue_length() == 1
        redis.Redis.from_url(valkey.url).flushall()
        stack.start(["worker"])
        wait_until(lambda: is_complete(integration), timeout_s=40)


class TestShutdown:
    @FROM_NOTHING
    def test_a_worker_that_is_told_to_go_hands_its_run_on(
        self,
        stack: Stack,
        alice: User,
        integration: GitHubIntegration,
        organization: SandboxOrganization,
        wait_until: Callable[..., None],
    ) -> None:
        organization.slow_down(500)
        stack.post(address("github_members_sync", integration.team), user=alice)
        wait_until(
            lambda: SyncRun.objects.filter(integration=integration, page_count__gte=1).exists(),
            timeout_s=20,
        )
        stack.worker.stop()
        run = SyncRun.objects.get(integration=integration)
        assert run.lease_token is None
        stack.start(["worker"])
        wait_until(lambda: is_complete(integration), timeout_s=30)
        moves = StatusTransition.objects.filter(run=run, to_status=SYNC_STATUS_COMPLETE)
        assert moves.count() == 1
        # Who else belongs to the organisation is read after it, by a message of its own.
        pages = [call for call in organization.requests() if call["operation"] == "Members"]
        assert len(pages) == 3
