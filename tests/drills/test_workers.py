"""Workers killed and replaced, and messages that no worker can do anything with."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import dramatiq
import redis
from django.conf import settings

from integrations.constants import MessageOutcome
from integrations.models import MessageAttempt
from integrations.ops.broker_acts import requeue
from integrations.ops.message_shapes import DEAD, MessageRef
from tests.drills.harness import (
    IS_FULL,
    MARKS,
    OVER_WITHIN_AFTER_DEATH_S,
    QUEUE,
    dead_count,
    enqueue,
    message_of,
    now,
)
from tests.processes import wait_until

if TYPE_CHECKING:
    from tests.drills.harness import Drill

pytestmark = MARKS


def test_a_killed_worker_s_runs_go_on_in_the_next(drill: Drill) -> None:
    drill.sites_at_work()
    drill.stack.worker.kill()
    killed_at = now()
    drill.stack.start(["worker"])
    drill.finish("worker killed", since=killed_at)


def test_a_broken_message_harms_no_other(drill: Drill) -> None:
    with redis.Redis.from_url(settings.BROKER_REDIS_URL) as client:
        name = f"{settings.BROKER_NAMESPACE}:{QUEUE}"
        drill.site().start()
        client.hset(f"{name}.msgs", "poison", b"\x00 not a message")
        client.rpush(name, "poison")
    drill.sites_at_work()
    wait_until(lambda: dead_count() == 1)
    drill.finish("a broken message", since=now(), dead=dead_count())


def test_messages_of_an_actor_renamed_since_die_and_the_runs_go_on(drill: Drill) -> None:
    for _ in range(3):
        enqueue(message_of(drill.unsent_run(), actor_name="sync_members_task"))
    sent_at = now()
    wait_until(lambda: dead_count() == 3)
    drill.finish(
        "an actor renamed", since=sent_at, within_s=OVER_WITHIN_AFTER_DEATH_S, dead=dead_count()
    )


def test_a_deploy_finds_old_messages(drill: Drill) -> None:
    drill.sites_at_work()
    assert drill.stack.worker.stop() == 0
    unknown = message_of(drill.unsent_run(), options={"trace": "abc", "priority_class": 3})
    named = drill.unsent_run()
    older = drill.unsent_run()
    enqueue(unknown)
    enqueue(message_of(named, args=(), kwargs={"run_id": named.pk}))
    # An argument that the actor has no more.
    enqueue(message_of(older, args=(older.pk, "manual")))
    stopped_at = now()
    drill.stack.start(["worker"])
    # In full it lies behind twenty others, which take longer; the bar counts from the stop.
    wait_until(lambda: dead_count() == 1, timeout_s=OVER_WITHIN_AFTER_DEATH_S if IS_FULL else 10)
    drill.finish("a deploy", since=stopped_at, within_s=OVER_WITHIN_AFTER_DEATH_S, dead=1)


def test_twenty_clicks_on_a_dead_letter_make_one_run(drill: Drill) -> None:
    drill.stack.worker.stop()
    run = drill.unsent_run()
    sent = enqueue(message_of(run))
    letter = sent.options["redis_message_id"]
    broker: dramatiq.Broker = dramatiq.get_broker()
    broker.do_fetch(QUEUE, 1)  # type: ignore[attr-defined]
    broker.do_nack(QUEUE, letter)  # type: ignore[attr-defined]
    counts: list[int] = []
    gate = threading.Barrier(20)

    def click() -> None:
        gate.wait()
        counts.append(requeue([MessageRef(QUEUE, DEAD, letter)]))

    threads = [threading.Thread(target=click) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clicked_at = now()
    drill.stack.start(["worker"])
    drill.finish("twenty clicks", since=clicked_at, clicks=len(counts))
    assert sum(counts) == 1
    # The letter's own message did it, once; not one that the ticker sent instead.
    attempts = MessageAttempt.objects.filter(message_id=sent.message_id)
    wait_until(attempts.exists)
    assert [attempt.outcome for attempt in attempts] == [MessageOutcome.DONE]
    run.refresh_from_db()
    assert run.claim_count == 1
