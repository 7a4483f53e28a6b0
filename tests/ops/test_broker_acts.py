"""Acts on messages at the broker, with a real Valkey and real workers: none lost, none doubled."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import dramatiq
import pytest
from redis.exceptions import RedisError

from integrations import tasks
from integrations.models import MessageAttempt
from integrations.ops import broker_acts
from integrations.ops.broker_acts import ActRefused, delete, matching, requeue, run_now
from integrations.ops.broker_keys import QueueKeys, acks_prefix
from integrations.ops.message_shapes import (
    DEAD,
    DELAYED,
    DONE,
    READY,
    RETRYING,
    RUNNING,
    MessageQuery,
    MessageRef,
)
from integrations.ops.queues import read_depths
from integrations.telemetry.processes import read_processes
from integrations.telemetry.redis_clients import broker_client, telemetry_client
from integrations.telemetry.skipping import is_to_be_skipped, skip_key
from tests.ops import letters
from tests.processes import REPOSITORY, wait_until
from tests.syncing import connect, start

if TYPE_CHECKING:
    from dramatiq.brokers.redis import RedisBroker

    from integrations.ops.figures import QueueDepth
    from tests.processes import Valkey
    from tests.sandbox_control import SandboxControl

NAMES = QueueKeys(letters.QUEUE)
HOUR_MS = 3_600_000


def depth() -> QueueDepth:
    return next(one for one in read_depths() if one.name == letters.QUEUE)


def payload_of(hash_name: str) -> dict[str, object]:
    [raw] = broker_client().hvals(hash_name)
    found: dict[str, object] = json.loads(raw)
    return found


def outcomes_of(message_id: str) -> list[str]:
    attempts = MessageAttempt.objects.filter(message_id=message_id).order_by("pk")
    return list(attempts.values_list("outcome", flat=True))


def running() -> list[dict[str, Any]]:
    """Return what this process's worker said that it runs."""
    reports = read_processes(telemetry_client())
    return [one for report in reports for one in report.state["running"]]


def fetched(broker: RedisBroker) -> list[MessageRef]:
    """Return all that this process has fetched and not acknowledged."""
    keys: Any = broker_client().smembers(f"{acks_prefix()}{broker.broker_id}.{letters.QUEUE}")
    return [MessageRef(letters.QUEUE, READY, key.decode()) for key in keys]


class TestRequeue:
    def test_a_letter_goes_back_as_if_it_had_just_been_sent(self, broker: RedisBroker) -> None:
        ref = letters.bury(
            broker, 7, retries=3, traceback="t", error="e", failed_at=1, requeue_timestamp=1,
            eta=None, time_limit=5000,
        )  # fmt: skip
        before = payload_of(NAMES.dead_payloads)
        assert requeue([ref]) == 1
        told = depth()
        assert (told.ready_count, told.dead_count, told.drift_count) == (1, 0, 0)
        after = payload_of(NAMES.ready_payloads)
        assert (after["message_id"], after["args"]) == (before["message_id"], [7])
        assert after["message_timestamp"] >= before["message_timestamp"]  # type: ignore[operator]
        options = after["options"]
        assert isinstance(options, dict)
        assert options.keys() == {"redis_message_id", "ready_at", "requeued_from", "time_limit"}
        assert options["requeued_from"] == ref.key != options["redis_message_id"]
        assert options["ready_at"] == after["message_timestamp"]

    @pytest.mark.usefixtures("worker")
    def test_twenty_clicks_at_once_make_one_run(self, broker: RedisBroker) -> None:
        one = letters.message(4711)
        ref = letters.put(one, state=DEAD)
        gate, counts = threading.Barrier(20), []

        def click() -> None:
            gate.wait()
            counts.append(requeue([ref]))

        threads = [threading.Thread(target=click) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(counts) == [0] * 19 + [1]
        broker.join(letters.QUEUE, timeout=10_000)
        wait_until(lambda: outcomes_of(one.message_id))
        assert outcomes_of(one.message_id) == ["done"]
        assert depth().dead_count == 0

    def test_a_letter_of_one_that_was_deleted_before_is_run_again(
        self, broker: RedisBroker
    ) -> None:
        sent = letters.send()
        consumer, [held] = letters.fetch(broker)
        broker_client().set(skip_key(sent.message_id), 1)
        consumer.nack(held)
        assert requeue([MessageRef(letters.QUEUE, DEAD, letters.key_of(sent))]) == 1
        assert not is_to_be_skipped(sent.message_id)

    def test_many_go_back_in_their_order_and_those_that_die_again_stay(self) -> None:
        message_ids = letters.fill(1_200, state=DEAD)
        refs = matching(MessageQuery(DEAD))
        assert len(refs) == 1_200
        letters.fill(1, state=DEAD)
        assert requeue(refs) == 1_200
        assert sorted(letters.ids_in(NAMES.ready_payloads)) == sorted(message_ids)
        assert depth().dead_count == 1

    def test_one_whose_actor_has_another_name_now_is_refused(
        self, worker: dramatiq.Worker, broker: RedisBroker
    ) -> None:
        letters.send(actor="old_name_task")
        wait_until(lambda: depth().dead_count == 1)
        [ref] = matching(MessageQuery(DEAD))
        with pytest.raises(ActRefused, match="for the actor old_name_task, which this version"):
            requeue([ref])
        assert depth().dead_count == 1
        # Among others it is left, and they go.
        other = letters.put(letters.message(4711), state=DEAD)
        assert requeue([ref, other]) == 1
        assert depth().dead_count == 1
        assert worker is not None

    def test_one_that_cannot_be_read_is_refused(self) -> None:
        ref = letters.put_raw(b"\x80 no message", state=DEAD)
        with pytest.raises(ActRefused, match="can't be read"):
            requeue([ref])

    def test_one_of_a_queue_that_nobody_reads_is_refused(self) -> None:
        ref = letters.put(letters.message(1, queue="old-queue"), state=DEAD, queue="old-queue")
        with pytest.raises(ActRefused, match="for the queue old-queue, which no worker"):
            requeue([ref])

    def test_one_that_is_gone_counts_for_nothing(self) -> None:
        assert requeue([MessageRef(letters.QUEUE, DEAD, "nothing")]) == 0
        assert requeue([MessageRef(letters.QUEUE, READY, "not-dead")]) == 0
        assert requeue([]) == 0

    def test_redis_away_is_said(self, valkey: Valkey) -> None:
        ref = letters.put(letters.message(1), state=DEAD)
        valkey.stop()
        for act in (requeue, delete, run_now):
            with pytest.raises(RedisError):
                act([ref._replace(state=DEAD if act is not run_now else DELAYED)])


# For each line a child that requeues all there is, three letters at a time.
REQUEUE_ALL = """
import os, sys
import django
django.setup()
from integrations.ops.broker_acts import matching, requeue
from integrations.ops.message_shapes import DEAD, MessageQuery
for line in sys.stdin:
    refs = matching(MessageQuery(DEAD))
    child = os.fork()
    if child == 0:
        for first in range(0, len(refs), 3):
            requeue(refs[first : first + 3])
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.processes
@pytest.mark.usefixtures("transactional_db")
def test_a_kill_in_the_middle_of_requeueing_loses_and_doubles_no_letter() -> None:
    message_ids = sorted(letters.fill(200, state=DEAD))
    picked, client, exit_codes = random.Random(6), broker_client(), []
    with subprocess.Popen(
        [sys.executable, "-c", REQUEUE_ALL], cwd=REPOSITORY, text=True, bufsize=1,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "project.settings"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        while client.zcard(NAMES.dead) > 40:
            wanted = client.llen(NAMES.ready) + picked.randrange(1, 30)
            process.stdin.write("go\n")
            child = int(process.stdout.readline())
            # Without a pause: it is through with all of them within a tenth of a second.
            while client.llen(NAMES.ready) < wanted:
                pass
            os.kill(child, signal.SIGKILL)
            exit_codes.append(int(process.stdout.readline()))
            left = letters.ids_in(NAMES.dead_payloads)
            ready = letters.ids_in(NAMES.ready_payloads)
            assert sorted(left + ready) == message_ids
            told = depth()
            assert (told.ready_count, told.dead_count) == (len(ready), len(left))
            assert told.drift_count == 0
        process.stdin.close()
    assert -signal.SIGKILL in exit_codes
    requeue(matching(MessageQuery(DEAD)))
    assert sorted(letters.ids_in(NAMES.ready_payloads)) == message_ids


class TestDelete:
    def test_what_lies_in_redis_is_gone(self, broker: RedisBroker) -> None:
        refs = [letters.bury(broker)]
        refs.append(MessageRef(letters.QUEUE, READY, letters.key_of(letters.send())))
        delayed = letters.send(delay_ms=HOUR_MS)
        refs.append(MessageRef(letters.QUEUE, DELAYED, letters.key_of(delayed)))
        kept = letters.send()
        assert delete(refs) == 3
        told = depth()
        assert (told.ready_count, told.delayed_count, told.dead_count) == (1, 0, 0)
        assert told.drift_count == 0
        assert letters.ids_in(NAMES.ready_payloads) == [kept.message_id]
        assert delete(refs) == 0

    def test_many_are_gone_at_once_and_the_others_keep_their_order(self) -> None:
        message_ids = letters.fill(3_000)
        refs = matching(MessageQuery(READY))
        assert delete(refs[::2]) == 1_500
        left = [
            json.loads(broker_client().hget(NAMES.ready_payloads, key) or b"")["message_id"]
            for key in broker_client().lrange(NAMES.ready, 0, -1)
        ]
        assert left == message_ids[1::2]
        assert depth().drift_count == 0

    def test_what_cannot_be_read_can_be_deleted(self) -> None:
        refs = [
            letters.put_raw(b"\x00\xff", state=DEAD),
            letters.put_raw(b"{", state=READY),
            letters.put_raw(b"[" * 5_000, state=DELAYED),
        ]
        assert delete(refs) == 3
        assert depth().drift_count == 0

    def test_what_a_process_fetched_and_cannot_read_can_be_deleted(
        self, broker: RedisBroker
    ) -> None:
        ref = letters.put_raw(b'{"message_id": 7}')
        broker.do_fetch(letters.QUEUE, 1)
        assert delete([ref]) == 1
        assert depth().in_flight_count == 0

    @pytest.mark.django_db(transaction=True)
    def test_what_a_worker_holds_is_skipped_and_what_it_runs_goes_on(
        self,
        worker: dramatiq.Worker,
        broker: RedisBroker,
        sandbox: SandboxControl,
    ) -> None:
        organization = sandbox.organization(size=12)
        organization.slow_down(2_000)
        # Both threads are busy with these.
        runs = [start(connect(organization)) for _ in range(2)]
        for run in runs:
            tasks.sync_github_members_later(run)
        wait_until(lambda: len(running()) == 2)
        held = letters.send()
        wait_until(lambda: depth().in_flight_count == 3)
        refs = [ref for ref in fetched(broker) if ref.key == letters.key_of(held)]
        busy = [ref for ref in fetched(broker) if ref.key != letters.key_of(held)]
        assert len(busy) == 2
        assert delete(busy) == 0
        assert delete(refs) == 1
        assert delete(refs) == 0
        assert depth().in_flight_count == 2
        wait_until(lambda: outcomes_of(held.message_id), timeout_s=20)
        assert outcomes_of(held.message_id) == ["skipped"]
        broker.join(letters.QUEUE, timeout=20_000)
        told = depth()
        assert (told.in_flight_count, told.dead_count, told.drift_count) == (0, 0, 0)
        assert worker.worker_threads == 2

    @pytest.mark.usefixtures("worker")
    def test_a_delayed_one_that_a_worker_holds_never_runs(self) -> None:
        sent = letters.send(delay_ms=1_500)
        wait_until(lambda: broker_client().llen(NAMES.delayed) == 0)
        [ref] = matching(MessageQuery(DELAYED))
        assert delete([ref]) == 1
        assert depth().delayed_count == 0
        wait_until(lambda: outcomes_of(sent.message_id))
        assert outcomes_of(sent.message_id) == ["skipped"]


class TestRunNow:
    def test_one_that_lies_in_redis_moves_to_the_head(self) -> None:
        waiting = letters.send()
        sent = letters.send(delay_ms=HOUR_MS, retries=2)
        [ref] = matching(MessageQuery(RETRYING))
        assert run_now([ref]) == 1
        assert run_now([ref]) == 0
        order: Any = broker_client().lrange(NAMES.ready, 0, -1)
        raw = broker_client().hget(NAMES.ready_payloads, order[0])
        first = json.loads(raw or b"")
        assert first["message_id"] == sent.message_id
        assert first["queue_name"] == letters.QUEUE
        assert first["options"]["retries"] == 2
        assert "eta" not in first["options"]
        assert order[1].decode() == letters.key_of(waiting)
        told = depth()
        assert (told.ready_count, told.delayed_count, told.drift_count) == (2, 0, 0)

    def test_many_keep_their_order_before_the_others(self) -> None:
        letters.send()
        message_ids = letters.fill(30, state=DELAYED)
        assert run_now(matching(MessageQuery(DELAYED))) == 30
        head = broker_client().lrange(NAMES.ready, 0, 29)
        raws = broker_client().hmget(NAMES.ready_payloads, head)
        assert [json.loads(raw or b"")["message_id"] for raw in raws] == message_ids

    @pytest.mark.usefixtures("worker")
    def test_one_that_a_worker_holds_runs_once_as_a_copy(self) -> None:
        sent = letters.send(delay_ms=3_000)
        wait_until(lambda: broker_client().llen(NAMES.delayed) == 0)
        [ref] = matching(MessageQuery(DELAYED))
        counts: list[int] = []
        threads = [threading.Thread(target=lambda: counts.append(run_now([ref]))) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(counts) == [0, 0, 0, 0, 1]
        wait_until(lambda: MessageAttempt.objects.filter(outcome="done").exists())
        copy = MessageAttempt.objects.get(outcome="done")
        assert json.loads(copy.options)["copy_of"] == sent.message_id != copy.message_id
        # When its time comes the held one is skipped.
        wait_until(lambda: outcomes_of(sent.message_id))
        assert outcomes_of(sent.message_id) == ["skipped"]
        assert MessageAttempt.objects.count() == 2
        told = depth()
        assert (told.ready_count, told.delayed_count, told.drift_count) == (0, 0, 0)

    def test_one_that_a_worker_is_about_to_move_is_left_to_it(self, broker: RedisBroker) -> None:
        letters.send(delay_ms=200)
        letters.fetch(broker, queue=f"{letters.QUEUE}.DQ")
        [ref] = matching(MessageQuery(DELAYED))
        assert run_now([ref]) == 0
        assert depth().delayed_count == 1

    def test_one_that_cannot_be_read_is_refused(self) -> None:
        ref = letters.put_raw(b"nothing", state=DELAYED)
        with pytest.raises(ActRefused, match="can't be read"):
            run_now([ref])


class TestMatching:
    def test_it_takes_all_pages_of_what_a_filter_matches(self) -> None:
        letters.fill(120, state=DEAD, error="ValueError: odd")
        letters.fill(30, state=DEAD, error="KeyError: 'even'")
        assert len(matching(MessageQuery(DEAD, text="valueerror", page=2))) == 120

    def test_what_runs_or_is_over_cannot_be_acted_on(self) -> None:
        assert matching(MessageQuery(RUNNING)) == matching(MessageQuery(DONE)) == []

    def test_a_reference_survives_a_form(self) -> None:
        assert broker_acts.ref_from("dead:a:queue:key-1") == MessageRef("a:queue", DEAD, "key-1")
        for spec in ("", "dead", "dead::key", "dead:queue:", "alive:queue:key"):
            with pytest.raises(ValueError, match="no reference"):
                broker_acts.ref_from(spec)
