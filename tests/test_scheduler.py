"""The ticker as a process and in one look: it sends what is due and outlives what it depends on."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import call_command

from integrations.constants import SENT_BY_STARTER_WITHIN, TICK_INTERVAL, RunTrigger
from integrations.models import GitHubIntegration, SyncRun
from integrations.services import recovery
from integrations.services.runs import start_run
from tests.factories import GitHubIntegrationFactory
from tests.processes import Valkey
from tests.stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)

# Well under one tick: an end that waits for the tick is not "at once".
AT_ONCE_S = TICK_INTERVAL.total_seconds() / 2


@pytest.fixture
def unsent_run() -> SyncRun:
    """A run whose message never went: the process died between commit and send."""
    integration: GitHubIntegration = GitHubIntegrationFactory()
    run = start_run(integration, trigger=RunTrigger.MANUAL).run
    run.created_at -= SENT_BY_STARTER_WITHIN
    run.save(update_fields=["created_at"])
    return run


class TestOnce:
    def test_it_leaves_the_message_of_a_new_run_to_who_started_it(self) -> None:
        run = start_run(GitHubIntegrationFactory(), trigger=RunTrigger.MANUAL).run
        assert recovery.take_runs_to_send(run.created_at) == []
        later = run.created_at + SENT_BY_STARTER_WITHIN
        assert recovery.take_runs_to_send(later) == [run]

    @pytest.mark.parametrize("trigger", [RunTrigger.SCHEDULE, RunTrigger.TRACKED])
    def test_it_sends_at_once_what_is_its_own_to_send(self, trigger: str) -> None:
        run = start_run(GitHubIntegrationFactory(), trigger=trigger).run
        assert recovery.take_runs_to_send(run.created_at) == [run]

    def test_it_sends_a_run_whose_message_never_went(self, unsent_run: SyncRun) -> None:
        call_command("run_scheduler", once=True)
        unsent_run.refresh_from_db()
        assert unsent_run.send_count == 1
        assert unsent_run.enqueued_at is not None

    def test_it_leaves_a_message_its_time(self, unsent_run: SyncRun) -> None:
        call_command("run_scheduler", once=True)
        call_command("run_scheduler", once=True)
        unsent_run.refresh_from_db()
        assert unsent_run.send_count == 1

    def test_a_queue_that_is_down_is_for_the_next_tick(
        self, unsent_run: SyncRun, valkey: Valkey
    ) -> None:
        valkey.kill()
        call_command("run_scheduler", once=True)
        unsent_run.refresh_from_db()
        assert unsent_run.is_active


@pytest.mark.processes
@pytest.mark.parametrize("stack", [("scheduler",)], indirect=True)
class TestTheProcess:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_it_ends_at_once_when_told_to(self, stack: Stack, number: signal.Signals) -> None:
        asked_at = time.monotonic()
        stack.scheduler.send(number)
        assert stack.scheduler.wait() == 0
        assert time.monotonic() - asked_at < AT_ONCE_S

    def test_it_sends_what_becomes_due(self, stack: Stack, wait_until: Callable[..., None]) -> None:
        run = start_run(GitHubIntegrationFactory(), trigger=RunTrigger.MANUAL).run
        wait_until(lambda: stack.queue_length() == 1)
        assert SyncRun.objects.get(pk=run.pk).send_count == 1

    def test_it_goes_on_after_the_queue_was_away(
        self, stack: Stack, valkey: Valkey, wait_until: Callable[..., None]
    ) -> None:
        valkey.stop()
        lost = start_run(GitHubIntegrationFactory(), trigger=RunTrigger.MANUAL).run
        wait_until(lambda: "run not sent" in stack.scheduler.output)
        valkey.start()
        later = start_run(GitHubIntegrationFactory(), trigger=RunTrigger.MANUAL).run
        wait_until(lambda: stack.queue_length() == 2)
        assert SyncRun.objects.filter(pk__in=[lost.pk, later.pk], send_count=1).count() == 2
        assert stack.scheduler.is_running


@pytest.mark.processes
def test_two_schedulers_send_a_run_once(
    unsent_run: SyncRun, tmp_path: Path, valkey: Valkey, wait_until: Callable[..., None]
) -> None:
    logs = [tmp_path / name for name in ("one", "two")]
    for log in logs:
        log.mkdir()
    stacks = [Stack(log_dir=log, valkey=valkey) for log in logs]
    try:
        for stack in stacks:
            stack.start(["scheduler"])
        wait_until(lambda: stacks[0].queue_length())
    finally:
        for stack in stacks:
            stack.stop()
    assert stacks[0].queue_length() == 1
    unsent_run.refresh_from_db()
    assert unsent_run.send_count == 1
