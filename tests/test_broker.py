"""The broker on a real Valkey: broken payloads, pauses, and messages held while Redis is away."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq.middleware import Middleware, SkipMessage
from redis.backoff import NoBackoff
from redis.retry import Retry

from integrations.broker import LogOutcome, RollcallBroker, WorkerClient
from integrations.constants import QUEUE_INTERACTIVE, QUEUE_SCHEDULED
from integrations.consumer import WATCHED_LOOK_MS
from integrations.telemetry.redis_clients import key, telemetry_client
from tests.processes import Valkey, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

QUEUE = "interactive"
ran: list[Any] = []
gate = threading.Event()


@dramatiq.actor(queue_name=QUEUE, max_retries=0)
def notes_a_number(number: int) -> None:
    ran.append(number)


@dramatiq.actor(queue_name=QUEUE, max_retries=0)
def waits_at_the_gate(number: int) -> None:
    ran.append(number)
    assert gate.wait(timeout=30)


@pytest.fixture(autouse=True)
def _nothing_ran(broker: RollcallBroker) -> Iterator[None]:
    ran.clear()
    gate.clear()
    yield
    gate.set()
    broker.paused_queues = frozenset()


def name(broker: RollcallBroker, queue: str) -> str:
    return f"{broker.namespace}:{queue}"


def put(broker: RollcallBroker, raw: bytes, *, queue: str = QUEUE, key: str = "broken") -> None:
    """Lay any payload into a queue as nobody should."""
    broker.client.hset(name(broker, f"{queue}.msgs"), key, raw)
    broker.client.rpush(name(broker, queue), key)


def acks(broker: RollcallBroker, queue: str = QUEUE) -> set[bytes]:
    found: Any = broker.client.smembers(
        name(broker, f"__acks__.{broker.broker_id}.{queue}"),
    )
    return set(found)


def as_fields(**changes: Any) -> bytes:
    fields = notes_a_number.message(1).asdict() | {"options": {"redis_message_id": "broken"}}
    return json.dumps(fields | changes).encode()


def pause(broker: RollcallBroker, *queues: str) -> None:
    """Tell the worker which queues are paused, and wait until its beat has heard."""
    client, paused = telemetry_client(), key("paused")
    client.delete(paused)
    if queues:
        client.sadd(paused, *queues)
    wait_until(lambda: broker.paused_queues == frozenset(queues))


def start_worker(broker: RollcallBroker) -> dramatiq.Worker:
    running = dramatiq.Worker(broker, worker_timeout=50, worker_threads=2)
    running.start()
    return running


class TestABrokenPayload:
    @pytest.mark.parametrize(
        "raw",
        [
            b"\x00\xff not a message",
            b"[]",
            b"{}",
            as_fields(options={}),
            as_fields(options=None),
            as_fields(queue_name="scheduled"),
            as_fields(actor_name=["a list"]),
            as_fields(kwargs=[1]),
        ],
        ids=["bytes", "list", "empty", "no id", "no options", "other queue", "no name", "kwargs"],
    )
    def test_it_becomes_a_dead_letter_as_it_was_and_its_neighbours_run(
        self, broker: RollcallBroker, raw: bytes
    ) -> None:
        notes_a_number.send(1)
        put(broker, raw)
        notes_a_number.send(2)
        running = start_worker(broker)
        try:
            wait_until(lambda: sorted(ran) == [1, 2])
            wait_until(lambda: not acks(broker))
        finally:
            running.stop()
        assert broker.client.hgetall(name(broker, f"{QUEUE}.XQ.msgs")) == {b"broken": raw}
        assert broker.client.zcard(name(broker, f"{QUEUE}.XQ")) == 1
        assert broker.client.hlen(name(broker, f"{QUEUE}.msgs")) == 0

    def test_a_delayed_one_is_a_dead_letter_of_its_queue(
        self, broker: RollcallBroker, worker: object
    ) -> None:
        put(broker, b"broken", queue=f"{QUEUE}.DQ")
        wait_until(lambda: broker.client.zcard(name(broker, f"{QUEUE}.XQ")) == 1)

    def test_an_id_without_a_message_stops_nobody(
        self, broker: RollcallBroker, worker: object
    ) -> None:
        broker.client.rpush(name(broker, QUEUE), "nothing behind it")
        notes_a_number.send(1)
        wait_until(lambda: ran == [1])
        wait_until(lambda: not acks(broker))


class TestAnEmptyQueue:
    def test_no_message_of_it_is_anywhere(self, broker: RollcallBroker) -> None:
        assert {QUEUE_INTERACTIVE, QUEUE_SCHEDULED} <= broker.empty_queues()
        sent = notes_a_number.send(1)
        assert QUEUE not in broker.empty_queues()
        assert broker.do_fetch(QUEUE, 1)
        assert QUEUE not in broker.empty_queues()
        broker.do_ack(QUEUE, sent.options["redis_message_id"])
        assert QUEUE in broker.empty_queues()
        notes_a_number.send_with_options(args=(1,), delay=60_000)
        assert QUEUE not in broker.empty_queues()


class TestAPause:
    def test_nothing_new_runs_what_was_fetched_ends_and_resuming_goes_on_within_a_second(
        self, broker: RollcallBroker, worker: object
    ) -> None:
        waits_at_the_gate.send(1)
        wait_until(lambda: ran == [1])
        pause(broker, QUEUE)
        sent = notes_a_number.send(2)
        broker.enqueue(notes_a_number.message(3), delay=1)
        gate.set()
        wait_until(lambda: not acks(broker))
        beat = f"{broker.namespace}:__heartbeats__"
        before: Any = broker.client.zscore(beat, broker.broker_id)
        # Three beats of a paused consumer: it fetched three times, and got nothing.
        wait_until(lambda: broker.client.zscore(beat, broker.broker_id) > before + 600)
        assert ran == [1]
        assert broker.client.lrange(name(broker, QUEUE), 0, -1) == [
            sent.options["redis_message_id"].encode()
        ]
        assert broker.client.llen(name(broker, f"{QUEUE}.DQ")) == 1
        pause(broker)
        resumed_at = time.monotonic()
        wait_until(lambda: 2 in ran)
        assert time.monotonic() - resumed_at < 1
        wait_until(lambda: sorted(ran) == [1, 2, 3])

    def test_other_queues_go_on(self, broker: RollcallBroker, worker: object) -> None:
        pause(broker, "scheduled")
        notes_a_number.send(1)
        wait_until(lambda: ran == [1])


class Impatient(Middleware):
    """Gives the worker a client with the timeouts that redis-py has by default, only shorter."""

    def before_worker_boot(self, broker: Any, worker: dramatiq.Worker) -> None:
        broker.use_client(
            redis.Redis.from_url(
                broker.url,
                socket_timeout=0.3,
                socket_connect_timeout=0.3,
                retry=Retry(NoBackoff(), 0),
            )
        )


@pytest.fixture
def impatient_worker(broker: RollcallBroker) -> Iterator[dramatiq.Worker]:
    impatient = Impatient()
    broker.add_middleware(impatient, after=WorkerClient)
    running = start_worker(broker)
    yield running
    gate.set()
    running.stop()
    broker.middleware.remove(impatient)


class TestRedisAway:
    def test_delayed_messages_run_once_after_a_restart(
        self,
        broker: RollcallBroker,
        worker: object,
        valkey: Valkey,
    ) -> None:
        for number in range(5):
            broker.enqueue(notes_a_number.message(number), delay=4_000)
        wait_until(lambda: len(acks(broker, f"{QUEUE}.DQ")) == 5)
        valkey.stop()
        # An outage that lasts is the case; nothing can be waited for while Redis is away.
        time.sleep(3)
        valkey.start()
        wait_until(lambda: len(ran) == 5, timeout_s=20)
        wait_until(lambda: not acks(broker, f"{QUEUE}.DQ"))
        assert sorted(ran) == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize("is_restarted", [True, False], ids=["restarted", "stalled"])
    def test_an_impatient_client_loses_and_doubles_nothing(
        self,
        broker: RollcallBroker,
        impatient_worker: dramatiq.Worker,
        valkey: Valkey,
        is_restarted: bool,
    ) -> None:
        waits_at_the_gate.send(1)
        for number in range(2, 7):
            broker.enqueue(notes_a_number.message(number), delay=2_500)
        wait_until(lambda: ran == [1] and len(acks(broker, f"{QUEUE}.DQ")) == 5)
        with redis.Redis.from_url(broker.url) as plain:
            (valkey.stop if is_restarted else valkey.stall)()
            time.sleep(3)
            (valkey.start if is_restarted else valkey.go_on)()
            # The one at the gate is still held: it must not be given back.
            wait_until(lambda: len(ran) == 6, timeout_s=20)
            gate.set()
            wait_until(lambda: plain.hlen(name(broker, f"{QUEUE}.msgs")) == 0, timeout_s=20)
        assert sorted(ran) == [1, 2, 3, 4, 5, 6]
        assert all(consumer.is_alive() for consumer in impatient_worker.consumers.values())

    def test_what_a_lost_answer_left_in_our_acks_is_given_back(
        self, broker: RollcallBroker, worker: object
    ) -> None:
        waits_at_the_gate.send(1)
        wait_until(lambda: ran == [1])
        # Redis carries the fetch out and the answer gets lost: ours by its word, held by nobody.
        pause(broker, QUEUE)
        notes_a_number.send(2)
        broker.do_fetch(QUEUE, 10)
        pause(broker)
        wait_until(lambda: 2 in ran, timeout_s=20)
        gate.set()
        wait_until(lambda: not acks(broker))
        assert sorted(ran) == [1, 2]


class SkipsAll(Middleware):
    def before_process_message(self, broker: Any, message: Any) -> None:
        raise SkipMessage


class TestTheLine:
    def test_a_skipped_message_has_its_line_wherever_it_was_skipped(
        self,
        broker: RollcallBroker,
        worker: object,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def lines() -> list[dict[str, Any]]:
            told = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
            return [line for line in told if line["event"] == "message processed"]

        skips = SkipsAll()
        broker.add_middleware(skips, before=LogOutcome)
        try:
            notes_a_number.send(1)
            wait_until(lines)
        finally:
            broker.middleware.remove(skips)
        [line] = lines()
        assert (line["outcome"], line["ran_ms"]) == ("skipped", 0)
        assert ran == []


class TestHowSoonAMessageIsSeen:
    def test_the_queue_that_a_person_watches_is_looked_at_often(
        self, broker: RollcallBroker
    ) -> None:
        longest = {}
        for queue in (QUEUE_INTERACTIVE, QUEUE_SCHEDULED):
            consumer: Any = broker.consume(queue, prefetch=1, timeout=1_000)
            longest[queue] = max(consumer.next_pause_s() for _ in range(100))
            consumer.close()
        assert longest[QUEUE_INTERACTIVE] <= WATCHED_LOOK_MS / 1000
        # Elsewhere as Dramatiq has it: nobody waits at a screen.
        assert 0.5 < longest[QUEUE_SCHEDULED] <= 1

    def test_a_thread_that_is_done_has_its_next_message_without_a_pause(
        self, broker: RollcallBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in (1, 2):
            notes_a_number.send(number)
        consumer: Any = broker.consume(QUEUE, prefetch=1, timeout=10_000)
        first = next(consumer)
        # Nobody says how long it takes: asked for again and again, it would wait ever longer.
        monkeypatch.setattr("integrations.consumer.compute_backoff", None)
        got: list[Any] = []

        def fetch_the_second() -> None:
            while not got:
                got.extend(message for message in [next(consumer)] if message is not None)

        fetching = threading.Thread(target=fetch_the_second)
        fetching.start()
        consumer.ack(first)
        fetching.join()
        consumer.ack(got[0])
        consumer.close()
        assert [message.args for message in (first, *got)] == [(1,), (2,)]
