"""A queue is paused and resumed: the row, the act, and what workers and the ticker make of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.utils import timezone

from integrations.constants import (
    QUEUE_INTERACTIVE,
    QUEUE_SCHEDULED,
    SENT_BY_STARTER_WITHIN,
    RunTrigger,
)
from integrations.models import MessageAttempt, OperatorAct, PausedQueue
from integrations.ops import pausing
from integrations.services import recovery
from integrations.telemetry.redis_clients import key, telemetry_client
from tests.factories import SyncRunFactory
from tests.ops import letters

if TYPE_CHECKING:
    from collections.abc import Callable

    from dramatiq.brokers.redis import RedisBroker

    from integrations.models import User
    from tests.processes import Valkey

pytestmark = pytest.mark.django_db(transaction=True)


def acts() -> list[tuple[str, str, str]]:
    return list(OperatorAct.objects.order_by("pk").values_list("by", "kind", "subject"))


def told() -> frozenset[str]:
    return pausing.told(telemetry_client())


def test_pausing_writes_the_row_and_the_act_and_tells_workers(alice: User) -> None:
    assert pausing.pause(QUEUE_SCHEDULED, alice)
    row = pausing.paused()[QUEUE_SCHEDULED]
    assert row.paused_by == alice
    assert acts() == [(alice.email, "pause", QUEUE_SCHEDULED)]
    assert told() == {QUEUE_SCHEDULED}


def test_a_second_click_changes_nothing(alice: User, bob: User) -> None:
    pausing.pause(QUEUE_SCHEDULED, alice)
    assert not pausing.pause(QUEUE_SCHEDULED, bob)
    assert PausedQueue.objects.get().paused_by == alice
    assert pausing.resume(QUEUE_SCHEDULED, alice)
    assert not pausing.resume(QUEUE_SCHEDULED, bob)
    assert [kind for _, kind, _ in acts()] == ["pause", "resume"]
    assert told() == frozenset()


def test_an_unknown_queue_is_refused_with_the_known_ones() -> None:
    for act in (pausing.pause, pausing.resume):
        with pytest.raises(ValueError, match="no queue 'nowhere'; there are interactive, "):
            act("nowhere", None)
    assert acts() == []


def test_a_queue_that_later_code_dropped_can_still_be_resumed() -> None:
    PausedQueue.objects.create(queue="old-queue")
    assert pausing.resume("old-queue", None)


def test_the_ticker_tells_what_redis_has_forgotten() -> None:
    pausing.pause(QUEUE_SCHEDULED, None)
    telemetry_client().flushdb()
    telemetry_client().sadd(key("paused"), "never-paused")
    call_command("run_scheduler", "--once")
    assert told() == {QUEUE_SCHEDULED}


def test_a_pause_while_redis_is_away_holds_once_it_is_back(valkey: Valkey) -> None:
    valkey.stop()
    assert pausing.pause(QUEUE_SCHEDULED, None)
    valkey.start()
    call_command("run_scheduler", "--once")
    assert told() == {QUEUE_SCHEDULED}


def test_the_ticker_sends_no_runs_of_a_paused_queue() -> None:
    of_click = SyncRunFactory(trigger=RunTrigger.MANUAL)
    of_night = SyncRunFactory(trigger=RunTrigger.SCHEDULE)
    soon = timezone.now() + SENT_BY_STARTER_WITHIN
    pausing.pause(QUEUE_INTERACTIVE, None)
    assert recovery.take_runs_to_send(soon) == [of_night]
    pausing.resume(QUEUE_INTERACTIVE, None)
    assert recovery.take_runs_to_send(soon) == [of_click]


@pytest.mark.usefixtures("worker")
def test_a_paused_queue_is_held_while_the_others_go_on(
    broker: RedisBroker, wait_until: Callable[..., None]
) -> None:
    pausing.pause(QUEUE_INTERACTIVE, None)
    wait_until(lambda: QUEUE_INTERACTIVE in broker.paused_queues)
    held = letters.send(queue=QUEUE_INTERACTIVE)
    others = letters.send(queue=QUEUE_SCHEDULED)
    wait_until(lambda: MessageAttempt.objects.filter(message_id=others.message_id).exists())
    assert not MessageAttempt.objects.filter(message_id=held.message_id).exists()
    pausing.resume(QUEUE_INTERACTIVE, None)
    wait_until(lambda: MessageAttempt.objects.filter(message_id=held.message_id).exists())
