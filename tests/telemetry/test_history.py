"""Each attempt is one row, without secrets, and a dead letter says why it died."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import dramatiq
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from dramatiq.brokers.redis import RedisBroker

from integrations.constants import MessageOutcome
from integrations.models import MessageAttempt
from integrations.telemetry.counters import Series, read_totals
from integrations.telemetry.current import running
from integrations.telemetry.history import MessageHistory
from integrations.telemetry.redis_clients import broker_client, telemetry_client
from integrations.telemetry.skipping import have_skipped

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
seen_running: list[Any] = []


@dramatiq.actor(queue_name="interactive", max_retries=0)
def fails_with_a_token(text: str) -> None:
    raise ValueError(f"<script>{text}</script> {TOKEN}\nand a second line")


@dramatiq.actor(queue_name="interactive", max_retries=1, min_backoff=1, max_backoff=1)
def fails_twice() -> None:
    raise LookupError("not there")


@dramatiq.actor(queue_name="interactive", max_retries=0)
def is_about_a_run(run_id: int) -> None:
    running.about(run_id=run_id, team_id=7)
    seen_running.extend(running.all())


def attempts() -> list[MessageAttempt]:
    return list(MessageAttempt.objects.order_by("pk"))


def dead_letters(broker: RedisBroker) -> list[dict[str, Any]]:
    found: Any = broker_client().hgetall(f"{broker.namespace}:interactive.XQ.msgs")
    return [json.loads(value) for value in found.values()]


@pytest.mark.usefixtures("worker")
class TestAnAttempt:
    def test_it_is_written_down_when_it_is_done(self, wait_until: Callable[..., None]) -> None:
        seen_running.clear()
        message = is_about_a_run.send(17)
        wait_until(attempts)
        [attempt] = attempts()
        assert attempt.message_id == message.message_id
        assert attempt.outcome == MessageOutcome.DONE
        assert (attempt.queue, attempt.actor) == ("interactive", "is_about_a_run")
        assert json.loads(attempt.arguments) == {"args": [17], "kwargs": {}}
        assert (attempt.run_id, attempt.team_id, attempt.number) == (17, 7, 1)
        assert attempt.enqueued_at <= attempt.started_at <= attempt.finished_at
        assert attempt.error == attempt.traceback == ""
        assert [work.message_id for work in seen_running] == [message.message_id]
        assert running.all() == []

    def test_a_failure_s_words_are_kept_without_the_token(
        self, broker: RedisBroker, wait_until: Callable[..., None]
    ) -> None:
        fails_with_a_token.send(TOKEN)
        wait_until(attempts)
        [attempt] = attempts()
        assert attempt.outcome == MessageOutcome.DEAD
        assert attempt.error == "ValueError: <script>***</script> ***"
        assert "fails_with_a_token" in attempt.traceback
        assert "and a second line" in attempt.traceback
        everything = attempt.arguments + attempt.options + attempt.error + attempt.traceback
        assert TOKEN not in everything

    def test_a_dead_letter_says_why_it_died(
        self, broker: RedisBroker, wait_until: Callable[..., None]
    ) -> None:
        fails_with_a_token.send("x")
        wait_until(lambda: any("failed_at" in one["options"] for one in dead_letters(broker)))
        [letter] = dead_letters(broker)
        assert letter["options"]["error"] == "ValueError: <script>x</script> ***"
        assert "Traceback" in letter["options"]["traceback"]

    def test_each_of_several_attempts_is_a_row(self, wait_until: Callable[..., None]) -> None:
        message = fails_twice.send()
        wait_until(lambda: len(attempts()) == 2)
        assert {attempt.message_id for attempt in attempts()} == {message.message_id}
        assert [(one.number, one.outcome) for one in attempts()] == [
            (1, MessageOutcome.RETRIED),
            (2, MessageOutcome.DEAD),
        ]

    def test_a_message_whose_actor_nobody_knows_is_a_row_too(
        self, broker: RedisBroker, wait_until: Callable[..., None]
    ) -> None:
        message: Any = is_about_a_run.message(1)
        broker.enqueue(message.copy(actor_name="renamed_since"))
        wait_until(attempts)
        [attempt] = attempts()
        assert (attempt.actor, attempt.outcome) == ("renamed_since", MessageOutcome.DEAD)
        assert "renamed_since" in attempt.error
        wait_until(lambda: dead_letters(broker)[0]["options"].get("error"))

    def test_one_that_an_operator_deleted_is_skipped(self, wait_until: Callable[..., None]) -> None:
        message = is_about_a_run.message(17)
        with broker_client().pipeline() as pipeline:
            have_skipped(message.message_id, pipeline)
            pipeline.execute()
        seen_running.clear()
        dramatiq.get_broker().enqueue(message)
        wait_until(attempts)
        assert [attempt.outcome for attempt in attempts()] == [MessageOutcome.SKIPPED]
        assert seen_running == []
        assert running.all() == []

    def test_it_is_counted(self, wait_until: Callable[..., None]) -> None:
        is_about_a_run.send(17)
        labels = (("actor", "is_about_a_run"), ("outcome", "done"), ("queue", "interactive"))
        wait_until(lambda: Series("messages", labels) in read_totals(telemetry_client()))


def test_it_costs_one_statement(broker: RedisBroker) -> None:
    history = MessageHistory()
    message: Any = is_about_a_run.message(17)
    history.before_enqueue(broker, message, None)
    history.before_process_message(broker, message)
    with CaptureQueriesContext(connection) as queries:
        history.after_process_message(broker, message)
    assert len(queries) == 1
