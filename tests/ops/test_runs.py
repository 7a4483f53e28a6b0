"""Runs across teams as operators see them, and what they can do about one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from integrations.constants import RunTrigger
from integrations.models import IntegrationCredential, OperatorAct, SyncRun
from integrations.ops import runs
from integrations.ops.runs import RunNotFound, RunRefused
from integrations.services import transitions
from integrations.services.runs import start_run
from tests.factories import GitHubIntegrationFactory, TrackedRepositoryFactory, UserFactory

if TYPE_CHECKING:
    from collections.abc import Callable

    from integrations.models import User
    from tests.stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def operator(transactional_db: None) -> User:
    operator: User = UserFactory(email="olga@example.com", is_staff=True)
    return operator


def begun(**fields: object) -> SyncRun:
    """Start a run of a team of its own, and set its row's columns."""
    run = start_run(GitHubIntegrationFactory(), trigger=RunTrigger.MANUAL).run
    SyncRun.objects.filter(pk=run.pk).update(**fields)
    run.refresh_from_db()
    return run


def held() -> SyncRun:
    run = begun()
    lease = transitions.claim(run.pk)
    assert lease is not None
    return lease.run


def waiting(reason: str = "rate_limited") -> SyncRun:
    run = begun()
    lease = transitions.claim(run.pk)
    assert lease is not None
    transitions.wait(lease, resume_at=timezone.now() + timedelta(minutes=5), reason=reason)
    return run


def stalled() -> SyncRun:
    long_ago = timezone.now() - timedelta(minutes=5)
    return begun(created_at=long_ago, enqueued_at=long_ago, send_count=3)


def failed(code: str = "bad_credentials") -> SyncRun:
    run = begun()
    transitions.fail(run, code)
    run.refresh_from_db()
    return run


class TestReadRuns:
    def test_it_tells_where_each_stands(self) -> None:
        expected = {
            stalled().pk: "stalled",
            held().pk: "running",
            waiting().pk: "waiting",
            begun().pk: "pending",
        }
        failed()
        figures = runs.read_runs(timezone.now())
        assert {line.id: line.state for line in figures.lines} == expected
        assert [line.state for line in figures.lines] == list(expected.values())
        assert (figures.stalled_count, figures.running_count) == (1, 1)
        assert (figures.waiting_count, figures.pending_count) == (1, 1)
        assert (figures.failed_count, figures.completed_count) == (1, 0)

    def test_one_whose_worker_died_is_pending_and_then_stalled(self) -> None:
        run = held()
        now = timezone.now()
        SyncRun.objects.filter(pk=run.pk).update(lease_expires_at=now - timedelta(seconds=1))
        assert runs.read_runs(now).lines[0].state == "pending"
        assert runs.read_runs(now + runs.STALLED_AFTER).lines[0].state == "stalled"

    def test_a_wait_says_until_when_and_why(self) -> None:
        run = waiting("rate_limited")
        [line] = runs.read_runs(timezone.now()).lines
        assert line.reason == "rate_limited"
        run.refresh_from_db()
        assert line.resume_at == run.resume_at

    def test_it_groups_the_failed_by_cause(self) -> None:
        failed("bad_credentials")
        failed("bad_credentials")
        failed("saml_required")
        failed("cancelled")
        causes = runs.read_runs(timezone.now()).causes
        assert [(one.error_code, one.count, one.team_count) for one in causes] == [
            ("bad_credentials", 2, 2),
            ("saml_required", 1, 1),
        ]
        assert all(one.sentence for one in causes)

    def test_what_failed_the_day_before_is_history(self) -> None:
        run = failed()
        SyncRun.objects.filter(pk=run.pk).update(finished_at=timezone.now() - timedelta(days=2))
        assert runs.read_runs(timezone.now()).failed_count == 0

    def test_it_asks_as_often_for_many_as_for_one(self) -> None:
        waiting()
        with CaptureQueriesContext(connection) as few:
            runs.read_runs(timezone.now())
        for _ in range(5):
            waiting()
            failed()
        with CaptureQueriesContext(connection) as many:
            runs.read_runs(timezone.now())
        assert len(many) == len(few)

    def test_runs_whose_message_went_unanswered_are_counted(self) -> None:
        begun(send_count=1)
        begun(send_count=0)
        held()
        assert runs.read_runs(timezone.now()).unanswered_count == 1


class TestFindRuns:
    def test_it_finds_by_state_team_and_cause(self) -> None:
        one, other, lost = waiting(), stalled(), failed("saml_required")
        now = timezone.now()

        def ids(**asked: str) -> list[int]:
            return [line.id for line in runs.find_runs(now, **asked)]

        assert ids() == [other.pk, one.pk]
        assert ids(state="stalled") == [other.pk]
        assert ids(state="failed") == [lost.pk]
        assert ids(cause="saml_required") == [lost.pk]
        assert ids(team_slug=one.integration.team.slug) == [one.pk]
        assert ids(state="nonsense") == ids(cause="nonsense") == ids(team_slug="nobody") == []


class TestRetry:
    def test_a_failed_run_is_started_anew(self, operator: User) -> None:
        run = failed()
        started = runs.retry(run.pk, operator)
        assert started.pk != run.pk
        assert started.is_active
        assert started.requested_by == operator
        started.refresh_from_db()
        assert started.send_count == 1
        act = OperatorAct.objects.get()
        assert (act.by, act.kind, act.person) == ("olga@example.com", "retry_run", operator)
        assert f"run {run.pk} of {run.integration.team.slug}" == act.subject

    def test_a_second_click_joins_the_first(self, operator: User) -> None:
        run = failed()
        assert runs.retry(run.pk, operator) == runs.retry(run.pk, operator)
        assert SyncRun.objects.active().count() == 1

    def test_a_stalled_run_gets_another_message(self, operator: User) -> None:
        run = stalled()
        assert runs.retry(run.pk, operator) == run
        run.refresh_from_db()
        assert run.send_count == 4

    def test_a_repository_s_run_stays_one(self, operator: User) -> None:
        repository = TrackedRepositoryFactory()
        run = start_run(
            repository.integration, trigger=RunTrigger.MANUAL, repository=repository
        ).run
        transitions.fail(run, "not_found")
        assert runs.retry(run.pk, operator).repository == repository

    def test_it_is_refused_for_a_team_that_is_not_connected(self, operator: User) -> None:
        run = failed()
        IntegrationCredential.objects.all().delete()
        with pytest.raises(RunRefused, match="not connected"):
            runs.retry(run.pk, operator)
        assert not OperatorAct.objects.exists()

    def test_there_may_be_no_such_run(self, operator: User) -> None:
        with pytest.raises(RunNotFound):
            runs.retry(404, operator)

    @pytest.mark.processes
    @pytest.mark.parametrize("stack", [("worker",)], indirect=True)
    def test_a_worker_takes_it_up(
        self, stack: Stack, operator: User, wait_until: Callable[..., None]
    ) -> None:
        started = runs.retry(failed().pk, operator)
        wait_until(lambda: SyncRun.objects.get(pk=started.pk).claim_count)


class TestCancel:
    def test_it_ends_a_run_and_says_who_did(self, operator: User) -> None:
        run = waiting()
        assert runs.cancel(run.pk, operator)
        run.refresh_from_db()
        assert (run.error_code, run.cancelled_by) == ("cancelled", operator)
        assert OperatorAct.objects.get().kind == "cancel_run"

    def test_what_is_over_stays_as_it_is(self, operator: User) -> None:
        run = failed()
        assert not runs.cancel(run.pk, operator)
        assert not OperatorAct.objects.exists()
