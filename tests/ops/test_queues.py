"""How deep the queues are, on a real Valkey: what is where, and what hangs with whom."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone
from redis.exceptions import RedisError

from integrations.constants import QUEUES
from integrations.ops import pausing
from integrations.ops.broker_keys import QUEUES_KEY, QueueKeys, declared_queues, heartbeats_key
from integrations.ops.message_shapes import DEAD, DELAYED
from integrations.ops.queues import read_depths, stuck_acks
from integrations.telemetry.processes import WORKER, ProcessReport
from integrations.telemetry.redis_clients import broker_client, key, telemetry_client
from tests.ops import letters

if TYPE_CHECKING:
    from dramatiq.brokers.redis import RedisBroker

    from integrations.ops.figures import QueueDepth
    from tests.processes import Valkey

HOUR_MS = 3_600_000


def depth(name: str = letters.QUEUE) -> QueueDepth:
    return next(one for one in read_depths() if one.name == name)


def report(broker: RedisBroker, *, silent: timedelta = timedelta(0), **state: Any) -> ProcessReport:
    """Return what the register holds of this process as a worker."""
    return ProcessReport(
        id=broker.broker_id, kind=WORKER, host="box", pid=7, started_at=timezone.now(),
        seen_at=timezone.now() - silent, memory_bytes=1, thread_count=2,
        state={"threads": 2, "running": [], "paused": [], **state},
    )  # fmt: skip


class TestDepths:
    def test_all_declared_queues_are_told_the_product_s_own_first(self) -> None:
        depths = read_depths()
        assert tuple(one.name for one in depths)[: len(QUEUES)] == QUEUES
        assert all(
            (one.ready_count, one.dead_count, one.drift_count, one.oldest_age_s) == (0, 0, 0, None)
            for one in depths
        )

    def test_each_message_is_counted_where_it_is(self, broker: RedisBroker) -> None:
        letters.bury(broker)
        for _ in range(5):
            letters.send()
        letters.send(delay_ms=HOUR_MS)
        letters.fetch(broker, prefetch=2)
        letters.fetch(broker, queue=f"{letters.QUEUE}.DQ")
        told = depth()
        assert (told.ready_count, told.in_flight_count) == (3, 2)
        assert (told.delayed_count, told.dead_count, told.drift_count) == (1, 1, 0)

    def test_the_oldest_is_found_behind_a_young_head(self) -> None:
        now_ms = round(time.time() * 1000)
        for age_s in (1, 90, 30):
            letters.put(letters.message(1, ready_at=now_ms - age_s * 1000))
        assert round(depth().oldest_age_s or 0) == 90

    def test_a_head_that_cannot_be_read_has_no_age(self) -> None:
        letters.put_raw(b"\xff not json")
        told = depth()
        assert (told.ready_count, told.oldest_age_s) == (1, None)

    def test_what_is_in_no_list_or_has_no_payload_is_drift(self) -> None:
        names = QueueKeys(letters.QUEUE)
        broker_client().hset(names.ready_payloads, "nowhere", "{}")
        assert depth().drift_count == 1
        broker_client().rpush(names.delayed, "without-payload")
        assert depth().drift_count == 2

    def test_a_queue_that_later_code_dropped_is_told_while_it_holds_something(
        self, broker: RedisBroker
    ) -> None:
        telemetry_client().sadd(key(QUEUES_KEY), "old-queue")
        assert "old-queue" not in [one.name for one in read_depths()]
        letters.fill(2, queue="old-queue")
        assert depth("old-queue").ready_count == 2

    @pytest.mark.django_db
    def test_the_ticker_remembers_the_queues(self) -> None:
        pausing.tell_workers()
        found: Any = telemetry_client().smembers(key(QUEUES_KEY))
        assert {name.decode() for name in found} == set(declared_queues())

    def test_redis_away_is_said(self, valkey: Valkey) -> None:
        valkey.stop()
        with pytest.raises(RedisError):
            read_depths()


class TestStuckAcks:
    @pytest.fixture
    def old_ms(self) -> int:
        return round(time.time() * 1000) - 120_000

    def fetch(self, broker: RedisBroker, ready_at: int) -> str:
        """Have this process fetch a message and forget it, as after a lost answer of Redis."""
        one = letters.message(1, ready_at=ready_at)
        letters.put(one)
        letters.fetch(broker)
        return one.message_id

    def test_what_a_free_thread_leaves_lying_hangs(self, broker: RedisBroker, old_ms: int) -> None:
        self.fetch(broker, old_ms)
        [stuck] = stuck_acks([report(broker)])
        assert (stuck.process_name, stuck.queue, stuck.count) == ("box:7", letters.QUEUE, 1)
        assert 119 < stuck.oldest_age_s < 180
        assert not stuck.is_gone

    def test_what_runs_does_not_hang(self, broker: RedisBroker, old_ms: int) -> None:
        message_id = self.fetch(broker, old_ms)
        assert stuck_acks([report(broker, running=[{"message_id": message_id}])]) == []

    def test_what_was_fetched_ahead_of_busy_threads_does_not_hang(
        self, broker: RedisBroker, old_ms: int
    ) -> None:
        self.fetch(broker, old_ms)
        running = [{"message_id": "a"}, {"message_id": "b"}]
        assert stuck_acks([report(broker, running=running)]) == []

    def test_what_comes_from_a_queue_that_is_behind_does_not_hang(
        self, broker: RedisBroker, old_ms: int
    ) -> None:
        self.fetch(broker, old_ms)
        letters.send()
        assert stuck_acks([report(broker)]) == []

    def test_what_was_just_fetched_does_not_hang(self, broker: RedisBroker) -> None:
        self.fetch(broker, round(time.time() * 1000))
        assert stuck_acks([report(broker)]) == []

    def test_a_paused_queue_holds_what_it_holds(self, broker: RedisBroker, old_ms: int) -> None:
        self.fetch(broker, old_ms)
        assert stuck_acks([report(broker, paused=[letters.QUEUE])]) == []

    def test_a_delayed_one_lies_with_its_worker_until_it_is_due(
        self, broker: RedisBroker, old_ms: int
    ) -> None:
        letters.send(delay_ms=HOUR_MS)
        letters.fetch(broker, queue=f"{letters.QUEUE}.DQ")
        assert stuck_acks([report(broker)]) == []
        letters.put(letters.message(1, eta=old_ms, ready_at=old_ms), state=DELAYED)
        letters.fetch(broker, queue=f"{letters.QUEUE}.DQ")
        [stuck] = stuck_acks([report(broker)])
        assert (stuck.count, stuck.queue) == (1, letters.QUEUE)

    def test_what_a_gone_process_held_is_told(self, broker: RedisBroker, old_ms: int) -> None:
        self.fetch(broker, old_ms)
        [stuck] = stuck_acks([report(broker, silent=timedelta(minutes=1))])
        assert (stuck.is_gone, stuck.count) == (True, 1)

    def test_a_process_without_a_report_is_gone_once_redis_hears_nothing_of_it(
        self, broker: RedisBroker, old_ms: int
    ) -> None:
        self.fetch(broker, old_ms)
        assert stuck_acks([]) == []
        broker_client().zadd(heartbeats_key(), {broker.broker_id: old_ms})
        [stuck] = stuck_acks([])
        assert (stuck.is_gone, stuck.process_name) == (True, "")

    def test_what_cannot_be_read_does_not_hang(self, broker: RedisBroker) -> None:
        letters.put_raw(b"[1]")
        broker.do_fetch(letters.QUEUE, 1)
        assert stuck_acks([report(broker)]) == []

    def test_dead_letters_are_held_by_nobody(self, broker: RedisBroker) -> None:
        letters.fill(3, state=DEAD)
        assert stuck_acks([report(broker)]) == []
