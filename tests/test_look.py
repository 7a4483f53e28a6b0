"""A look of the ticker: what it costs the one writer of SQLite, and what it sends again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from integrations import tasks
from integrations.constants import (
    LEASE_LENGTH,
    LOST_AFTER,
    QUEUE_INTERACTIVE,
    QUEUE_SCHEDULED,
    RESEND_AFTER,
    RESEND_AFTER_MAX,
    RunTrigger,
)
from integrations.models import GitHubIntegration, SyncRun
from integrations.services import organization_people, recovery, schedule
from integrations.services.runs import others_wait
from tests.bench.queue_teams import connected_teams
from tests.factories import GitHubIntegrationFactory, MessageAttemptFactory, SyncRunFactory
from tests.together import at_once

if TYPE_CHECKING:
    from datetime import datetime

    from integrations.broker import RollcallBroker
    from tests.processes import Valkey
    from tests.sandbox_control import SandboxControl

pytestmark = pytest.mark.django_db(transaction=True)

A_LITTLE = timedelta(seconds=1)


def taking_the_writer(queries: CaptureQueriesContext) -> list[str]:
    """Return what waits for SQLite's one writer: transactions, and writes outside of them."""
    found, is_inside = [], False
    for query in queries.captured_queries:
        sql = query["sql"]
        if sql.startswith("BEGIN"):
            found.append(sql)
            is_inside = True
        elif sql.startswith(("COMMIT", "ROLLBACK")):
            is_inside = False
        elif not is_inside and sql.startswith(("UPDATE", "INSERT", "DELETE")):
            found.append(sql)
    return found


def runs_without_message(sandbox: SandboxControl, count: int) -> list[SyncRun]:
    integrations = connected_teams([sandbox.organization(size=1)], count)
    return [SyncRunFactory(integration=one, trigger=RunTrigger.SCHEDULE) for one in integrations]


class TestItsCost:
    def test_it_takes_no_writer_where_nothing_is_due(self) -> None:
        integration: GitHubIntegration = GitHubIntegrationFactory()
        later = timezone.now() + timedelta(hours=1)
        GitHubIntegration.objects.filter(pk=integration.pk).update(
            next_sync_at=later, next_prune_at=later
        )
        # The first one of all makes the row that says when lost deliveries are looked for.
        tasks.send_due_work()
        with CaptureQueriesContext(connection) as queries:
            tasks.send_due_work()
        assert taking_the_writer(queries) == []

    def test_forty_runs_are_taken_in_one_transaction(self, sandbox: SandboxControl) -> None:
        runs = runs_without_message(sandbox, 40)
        with CaptureQueriesContext(connection) as queries:
            assert recovery.take_runs_to_send(timezone.now()) == runs
        assert len(taking_the_writer(queries)) == 1
        assert len(queries) < 10

    def test_so_are_forty_whose_people_are_due(self, sandbox: SandboxControl) -> None:
        integrations = connected_teams([sandbox.organization(size=1)], 40)
        organization_people.ask_for(GitHubIntegration.objects.all())
        with CaptureQueriesContext(connection) as queries:
            taken = organization_people.take_due(timezone.now())
        assert sorted(taken) == [one.pk for one in integrations]
        assert len(taking_the_writer(queries)) == 1
        assert len(queries) < 6

    @pytest.mark.skipif(connection.vendor != "sqlite", reason="as SQLite plans it")
    def test_it_reads_no_run_that_is_over(self) -> None:
        run: SyncRun = SyncRunFactory()
        now = timezone.now()
        GitHubIntegration.objects.filter(pk=run.integration_id).update(next_sync_at=now)
        asked: list[tuple[str, Any]] = []

        def note(execute: Any, sql: str, params: Any, *rest: Any) -> Any:
            asked.append((sql, params))
            return execute(sql, params, *rest)

        with connection.execute_wrapper(note):
            recovery.take_runs_to_send(now - timedelta(days=1))
            schedule.start_due(now)
            others_wait(run)
        looks = [(sql, params) for sql, params in asked if "IN ('pending', 'syncing')" in sql]
        # What is taken is read in order, once something is to be taken.
        looks = [(sql, params) for sql, params in looks if "ORDER BY" not in sql]
        assert len(looks) == 3
        with connection.cursor() as cursor:
            for sql, params in looks:
                plan = cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params).fetchall()
                assert "active_runs_by_message" in str(plan), (sql, plan)

    def test_five_tickers_at_once_take_each_once(self, sandbox: SandboxControl) -> None:
        runs = runs_without_message(sandbox, 30)
        organization_people.ask_for(GitHubIntegration.objects.all())
        now = timezone.now()
        sent: list[SyncRun] = []
        at_once(5, lambda: sent.extend(recovery.take_runs_to_send(now)))
        assert sorted(run.pk for run in sent) == [run.pk for run in runs]
        read: list[int] = []
        at_once(5, lambda: read.extend(organization_people.take_due(now)))
        assert sorted(read) == [run.integration_id for run in runs]


class TestAMessageInALongQueue:
    """It is not sent again while workers are on the way to it, and soon once it must be lost."""

    def sent_at(self, at: datetime, *, trigger: str = RunTrigger.SCHEDULE) -> SyncRun:
        run: SyncRun = SyncRunFactory(
            trigger=trigger, enqueued_at=at, resend_at=at + RESEND_AFTER, send_count=1
        )
        return run

    def ended(self, *, sent_at: datetime, at: datetime, queue: str = QUEUE_SCHEDULED) -> None:
        MessageAttemptFactory(queue=queue, enqueued_at=sent_at, finished_at=at)

    def test_it_has_its_time_while_the_queue_moves(self) -> None:
        now = timezone.now()
        self.sent_at(now - RESEND_AFTER - A_LITTLE)
        self.ended(sent_at=now - 2 * RESEND_AFTER, at=now - A_LITTLE)
        assert recovery.take_runs_to_send(now) == []

    def test_those_that_were_sent_with_it_may_be_begun_first(self) -> None:
        now = timezone.now()
        sent_at = now - RESEND_AFTER - A_LITTLE
        self.sent_at(sent_at)
        self.ended(sent_at=sent_at + A_LITTLE, at=now - A_LITTLE)
        assert recovery.take_runs_to_send(now) == []

    def test_one_that_the_queue_passed_is_lost(self) -> None:
        now = timezone.now()
        run = self.sent_at(now - 2 * RESEND_AFTER)
        self.ended(sent_at=now - RESEND_AFTER, at=now - A_LITTLE)
        assert recovery.take_runs_to_send(now) == [run]

    def test_a_queue_that_stands_still_has_lost_it(self) -> None:
        now = timezone.now()
        run = self.sent_at(now - RESEND_AFTER - A_LITTLE)
        before = now - recovery.QUEUE_MOVES_WITHIN - A_LITTLE
        self.ended(sent_at=now - 2 * RESEND_AFTER, at=before)
        assert recovery.take_runs_to_send(now) == [run]

    def test_another_queue_says_nothing_of_it(self) -> None:
        now = timezone.now()
        click = self.sent_at(now - RESEND_AFTER - A_LITTLE, trigger=RunTrigger.MANUAL)
        self.ended(sent_at=now - 2 * RESEND_AFTER, at=now - A_LITTLE)
        assert recovery.take_runs_to_send(now) == [click]
        night = self.sent_at(now - RESEND_AFTER - A_LITTLE)
        SyncRun.objects.filter(pk=click.pk).delete()
        self.ended(sent_at=now - RESEND_AFTER, at=now, queue=QUEUE_INTERACTIVE)
        assert recovery.take_runs_to_send(now) == []
        assert night.pk

    def test_it_never_waits_longer_than_the_longest_pause(self) -> None:
        now = timezone.now()
        run = self.sent_at(now - RESEND_AFTER_MAX - A_LITTLE)
        self.ended(sent_at=now - 2 * RESEND_AFTER_MAX, at=now - A_LITTLE)
        assert recovery.take_runs_to_send(now) == [run]

    def test_a_worker_that_died_over_it_is_no_queue(self) -> None:
        now = timezone.now()
        run = self.sent_at(now - 2 * A_LITTLE)
        self.ended(sent_at=now - RESEND_AFTER, at=now - A_LITTLE)
        SyncRun.objects.filter(pk=run.pk).update(
            lease_token="9d0b5e1e-5d47-4a4d-9a3f-0a3f6f6f2a11", lease_expires_at=now - A_LITTLE
        )
        assert recovery.take_runs_to_send(now) == [run]


class TestAnEmptiedQueue:
    """What was sent to a queue that holds nothing is lost, and sent again at once."""

    def sent(self, *, ago: timedelta = LOST_AFTER, is_held: bool = False, **facts: Any) -> SyncRun:
        at = timezone.now() - ago
        facts = {"send_count": 1, "trigger": RunTrigger.SCHEDULE} | facts
        if is_held:
            facts |= {"lease_token": uuid4(), "lease_expires_at": timezone.now() + LEASE_LENGTH}
        run: SyncRun = SyncRunFactory(enqueued_at=at, resend_at=at + RESEND_AFTER, **facts)
        return run

    def taken(self, *emptied: str) -> list[SyncRun]:
        return recovery.take_runs_to_send(timezone.now(), emptied=emptied)

    def test_it_is_sent_again_and_once(self) -> None:
        run = self.sent()
        MessageAttemptFactory(
            queue=QUEUE_SCHEDULED, enqueued_at=run.enqueued_at, finished_at=timezone.now()
        )
        assert recovery.some_are_overlooked(timezone.now())
        assert self.taken() == []
        assert self.taken(QUEUE_INTERACTIVE) == []
        assert self.taken(QUEUE_SCHEDULED) == [run]
        assert self.taken(QUEUE_SCHEDULED) == []
        assert not recovery.some_are_overlooked(timezone.now())

    @pytest.mark.parametrize(
        "facts",
        [
            {"ago": LOST_AFTER - A_LITTLE},
            # Its first message died, or was lost as well: each further one waits longer.
            {"send_count": 2},
            {"send_count": 0},
            {"is_held": True},
            {"resume_at": timezone.now() + timedelta(minutes=10)},
        ],
        ids=["just sent", "sent again", "begun", "held", "waiting"],
    )
    def test_the_others_are_left_alone(self, facts: dict[str, Any]) -> None:
        self.sent(**facts)
        assert not recovery.some_are_overlooked(timezone.now())
        assert self.taken(QUEUE_SCHEDULED) == []

    def test_the_ticker_asks_the_queue_itself(self, broker: RollcallBroker) -> None:
        run = self.sent()
        another = tasks.sync_github_members_task.message(0).copy(queue_name=QUEUE_SCHEDULED)
        broker.enqueue(another)
        assert tasks.send_due_runs() == 0
        broker.flush(QUEUE_SCHEDULED)
        assert tasks.send_due_runs() == 1
        run.refresh_from_db()
        assert run.send_count == 2

    def test_a_queue_that_is_away_is_not_taken_for_empty(
        self, broker: RollcallBroker, valkey: Valkey
    ) -> None:
        run = self.sent()
        valkey.stop()
        try:
            assert tasks.send_due_runs() == 0
        finally:
            valkey.start()
        run.refresh_from_db()
        assert run.send_count == 1
