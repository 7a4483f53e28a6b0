"""Many teams share the workers: a night of hundreds is paced, and nobody waits behind a giant."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from integrations import tasks
from integrations.constants import (
    OTHERS_WAIT,
    QUEUE_SCHEDULED,
    SYNC_STATUS_COMPLETE,
    SYNC_STATUS_PENDING,
    SYNC_STATUS_SYNCING,
    CredentialStatus,
    RunTrigger,
)
from integrations.models import GitHubIntegration, StatusTransition, SyncRun, Team
from integrations.services import member_sync, schedule, transitions
from integrations.services.runs import start_run
from tests.bench.queue_teams import connected_teams
from tests.processes import SandboxProcess
from tests.sandbox_control import SandboxControl
from tests.syncing import connect, start, work_on
from tests.together import at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dramatiq.brokers.redis import RedisBroker

    from integrations.models import User
    from tests.sandbox_control import SandboxOrganization
    from tests.stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)

AGO = timedelta(minutes=1)


@pytest.fixture
def small(sandbox: SandboxControl) -> SandboxOrganization:
    return sandbox.organization(size=5)


def due_teams(organization: SandboxOrganization, count: int) -> list[GitHubIntegration]:
    return connected_teams([organization], count, next_sync_at=timezone.now() - AGO)


def due_count() -> int:
    return GitHubIntegration.objects.filter(next_sync_at__lte=timezone.now()).count()


def nights() -> Any:
    return SyncRun.objects.filter(trigger=RunTrigger.SCHEDULE)


class TestANightOfHundreds:
    def test_no_more_wait_for_a_worker_than_are_soon_taken_up(
        self, small: SandboxOrganization
    ) -> None:
        due_teams(small, schedule.WAITING_MIN + 40)
        assert len(schedule.start_due(timezone.now())) == schedule.WAITING_MIN
        assert due_count() == 40
        assert schedule.start_due(timezone.now()) == []
        for run in nights()[:30]:
            assert transitions.claim(run.pk) is not None
        assert len(schedule.start_due(timezone.now())) == 30
        assert due_count() == 10

    def test_workers_that_are_faster_find_more(self, small: SandboxOrganization) -> None:
        teams = due_teams(small, 2 * schedule.WAITING_MIN)
        done = [one.pk for one in connected_teams([small], schedule.WAITING_MIN + 20)]
        GitHubIntegration.objects.filter(pk__in=done).update(
            member_sync_completed_at=timezone.now()
        )
        started = schedule.start_due(timezone.now())
        assert len(started) == schedule.WAITING_MIN + 20
        assert {run.integration_id for run in started} < {one.pk for one in teams}

    def test_each_is_started_as_if_alone(self, small: SandboxOrganization) -> None:
        [*teams] = due_teams(small, 3)
        before = timezone.now()
        assert len(schedule.start_due(before)) == 3
        for integration in teams:
            integration.refresh_from_db()
            [run] = integration.runs.all()
            assert (run.status, run.trigger) == (SYNC_STATUS_PENDING, RunTrigger.SCHEDULE)
            assert run.organization_id == integration.organization_id
            assert integration.member_sync_status == SYNC_STATUS_SYNCING
            assert integration.member_sync_started_at >= before  # type: ignore[operator]
            assert integration.next_sync_at == schedule.next_night(integration, after=before)
            # A viewer's page, opened before, hears of it by the number.
            assert run.revision == Team.objects.get(pk=integration.team_id).revision == 1
            [move] = StatusTransition.objects.filter(run=run)
            assert (move.team_id, move.revision, move.attempt) == (integration.team_id, 1, 0)

    def test_a_batch_costs_a_few_statements(self, small: SandboxOrganization) -> None:
        due_teams(small, schedule.TOGETHER)
        with CaptureQueriesContext(connection) as queries:
            assert len(schedule.start_due(timezone.now())) == schedule.TOGETHER
        # One by one they would be more than ten each.
        assert len(queries) < schedule.TOGETHER

    def test_the_clicked_the_refused_and_the_failed_among_them_are_each_as_ever(
        self, sandbox: SandboxControl, small: SandboxOrganization
    ) -> None:
        clicked, refused, failed, *others = due_teams(small, 8)
        start_run(clicked, trigger=RunTrigger.MANUAL)
        assert refused.credential is not None
        refused.credential.status = CredentialStatus.REVOKED
        refused.credential.save(update_fields=["status"])
        earlier = start(failed)
        SyncRun.objects.filter(pk=earlier.pk).update(cursor="100:abc")
        transitions.fail(earlier, "github_unavailable")
        started = schedule.start_due(timezone.now())
        wanted = {one.pk for one in others} | {failed.pk}
        assert {run.integration_id for run in started} == wanted
        [continued] = [run for run in started if run.integration_id == failed.pk]
        assert (continued.continues_id, continued.cursor) == (earlier.pk, "100:abc")
        assert due_count() == 0
        assert clicked.runs.count() == 1
        assert refused.runs.count() == 0

    def test_five_tickers_at_once_start_each_once(self, small: SandboxOrganization) -> None:
        due_teams(small, 40)
        started: list[SyncRun] = []
        at_once(5, lambda: started.extend(schedule.start_due(timezone.now())))
        assert len(started) == len({run.integration_id for run in started}) == 40
        assert nights().count() == 40
        assert due_count() == 0

    def test_one_that_is_claimed_elsewhere_meanwhile_undoes_the_batch_alone(
        self, small: SandboxOrganization
    ) -> None:
        teams = due_teams(small, 4)
        stale = list(GitHubIntegration.objects.select_related("credential"))
        taken = teams[2]
        GitHubIntegration.objects.filter(pk=taken.pk).update(
            next_sync_at=timezone.now() + timedelta(days=1)
        )
        started = schedule._start_batch(stale, timezone.now())
        assert {run.integration_id for run in started} == {one.pk for one in teams} - {taken.pk}
        assert taken.runs.count() == 0


@pytest.mark.processes
class TestAClickMeanwhile:
    def test_it_starts_while_hundreds_are_due(
        self, stack: Stack, sandbox: SandboxControl, small: SandboxOrganization, alice: User,
        integration: GitHubIntegration, wait_until: Callable[..., None],
    ) -> None:  # fmt: skip
        small.slow_down(300)
        due_teams(small, 3 * schedule.WAITING_MIN)
        wait_until(lambda: nights().filter(lease_token__isnull=False).count() == 4, timeout_s=20)
        path = reverse("github_members_sync", args=[integration.team.slug])
        assert stack.post(path, user=alice).status_code == 200
        run = integration.runs.get()
        wait_until(lambda: SyncRun.objects.filter(pk=run.pk, started_at__isnull=False).exists())
        # It overtook them: they wait for a worker, or as dates.
        assert due_count() + nights().filter(started_at=None).count() > schedule.WAITING_MIN
        assert nights().filter(started_at=None).count() <= schedule.WAITING_MIN


class TestAGiant:
    def test_its_next_slice_goes_behind_those_who_came_meanwhile(
        self, sandbox: SandboxControl, small: SandboxOrganization, broker: RedisBroker,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(member_sync, "SLICE_LENGTH", timedelta(0))
        giant = start_run(connect(sandbox.organization(size=350)), trigger=RunTrigger.SCHEDULE).run
        others = [start_run(one, trigger=RunTrigger.SCHEDULE).run for one in due_teams(small, 3)]
        for run in others:
            tasks.sync_github_members_later(run)
        tasks.sync_github_members_task.fn(giant.pk)
        giant.refresh_from_db()
        assert (giant.status, giant.page_count) == (SYNC_STATUS_SYNCING, 1)
        # Anybody may go on with it: no thread keeps it.
        assert giant.lease_token is None
        assert in_line(broker) == [*(run.pk for run in others), giant.pk]

    def slices(
        self, sandbox: SandboxControl, monkeypatch: pytest.MonkeyPatch, others: list[SyncRun]
    ) -> int:
        """Return in how many slices a giant is read beside these, the short one being no time."""
        monkeypatch.setattr(member_sync, "SLICE_BESIDE_OTHERS", timedelta(0))
        monkeypatch.setattr(member_sync, "OTHERS_WAIT", timedelta(0))
        SyncRun.objects.filter(pk__in=[run.pk for run in others]).update(
            enqueued_at=timezone.now() - OTHERS_WAIT
        )
        giant = start_run(connect(sandbox.organization(size=350)), trigger=RunTrigger.SCHEDULE).run
        while giant.is_active:
            tasks.sync_github_members_task.fn(giant.pk)
            giant.refresh_from_db()
        return giant.claim_count

    def test_it_makes_room_sooner_where_others_wait(
        self, sandbox: SandboxControl, small: SandboxOrganization, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        others = [start_run(one, trigger=RunTrigger.SCHEDULE).run for one in due_teams(small, 2)]
        # It ends with a page that is being fetched already.
        assert self.slices(sandbox, monkeypatch, others) > 1

    def test_nobody_else_in_its_queue_lets_it_go_on(
        self, sandbox: SandboxControl, small: SandboxOrganization, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clicked, held, waiting = due_teams(small, 3)
        others = [
            start_run(clicked, trigger=RunTrigger.MANUAL).run,
            *(start_run(one, trigger=RunTrigger.SCHEDULE).run for one in (held, waiting)),
        ]
        assert transitions.claim(others[1].pk) is not None
        SyncRun.objects.filter(pk=others[2].pk).update(
            resume_at=timezone.now() + timedelta(minutes=1)
        )
        assert self.slices(sandbox, monkeypatch, others) == 1


def in_line(broker: RedisBroker) -> list[int]:
    """Return the runs whose messages wait in the nights' queue, the next one first."""
    name = f"{broker.namespace}:{QUEUE_SCHEDULED}"
    ids: Any = broker.client.lrange(name, 0, -1)
    payloads: Any = broker.client.hmget(f"{name}.msgs", ids)
    return [json.loads(payload)["args"][0] for payload in payloads]


@pytest.fixture(scope="module")
def meagre_github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxControl]:
    """A GitHub that gives each person ten points an hour."""
    process = SandboxProcess("--points-per-hour", "10", log_dir=tmp_path_factory.mktemp("meagre"))
    process.start()
    yield SandboxControl(process.url)
    process.stop()


class TestABudgetThatTeamsShare:
    def test_nothing_is_asked_beyond_it_and_others_go_on(
        self, meagre_github: SandboxControl, settings: Any
    ) -> None:
        settings.GITHUB_API_URL = f"{meagre_github.url}/api/v3"
        shared, own = (meagre_github.organization(size=600) for _ in range(2))
        one, another, third = connected_teams([shared], 3, github_user_id=shared.id)
        assert work_on(start(one)).status == SYNC_STATUS_COMPLETE
        assert points_left(meagre_github, shared) == 4
        # Four of its six pages are read, and the rest waits for the hour to be over.
        waiting = work_on(start(another))
        assert (waiting.status, waiting.page_count) == (SYNC_STATUS_SYNCING, 4)
        assert waiting.resume_at is not None
        assert timedelta(minutes=50) < waiting.resume_at - timezone.now() < timedelta(minutes=61)
        never_asked = work_on(start(third))
        assert never_asked.page_count == 0
        assert never_asked.resume_at == waiting.resume_at
        pages = [call for call in shared.requests() if call["kind"] == "graphql"]
        # Ten points, ten requests: GitHub refused none, as none went beyond.
        assert len(pages) == 10
        [apart] = connected_teams([own], 1, github_user_id=own.id)
        assert work_on(start(apart)).status == SYNC_STATUS_COMPLETE


def points_left(github: SandboxControl, organization: SandboxOrganization) -> int:
    answer = requests.get(
        f"{github.url}/api/v3/rate_limit",
        headers={"Authorization": f"Bearer {organization.token}"},
        timeout=10,
    )
    return int(answer.json()["resources"]["graphql"]["remaining"])
