"""The broker on quorum queues: their kind, a RabbitMQ that hangs, bad and old messages."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import dramatiq
import pika
import pytest
from dramatiq.brokers.rabbitmq import DEAD_MESSAGE_TTL
from dramatiq.errors import ConnectionClosed

from integrations.ops import doctor_rabbitmq, rabbitmq_queues
from tests.processes import wait_until
from tests.rabbitmq.common import QUEUE, on_rabbitmq

if TYPE_CHECKING:
    from integrations.rabbitmq.broker import QuorumBroker
    from tests.rabbitmq.node import RabbitMQ


class TestQuorumBroker:
    pytestmark = on_rabbitmq

    def test_its_queues_are_quorum_queues(self, quorum: QuorumBroker, rabbitmq: RabbitMQ) -> None:
        quorum.declare_queue(QUEUE, ensure=True)
        ours = quorum._build_queue_arguments(QUEUE)
        for name, arguments in {
            QUEUE: ours, f"{QUEUE}.DQ": ours, f"{QUEUE}.XQ": {"x-message-ttl": DEAD_MESSAGE_TTL},
        }.items():  # fmt: skip
            with rabbitmq.connect() as connection:
                channel = connection.channel()
                classic = {**arguments, "x-queue-type": "classic"}
                with pytest.raises(pika.exceptions.ChannelClosedByBroker, match=r"is.*'quorum'"):
                    channel.queue_declare(name, durable=True, arguments=classic)
        assert [one.tone for one in doctor_rabbitmq.examine()].count("bad") == 0

    def test_the_doctor_tells_of_a_queue_of_another_kind(
        self, quorum: QuorumBroker, rabbitmq: RabbitMQ
    ) -> None:
        with rabbitmq.connect() as connection:
            connection.channel().queue_declare(QUEUE, durable=True)
        said = [one for one in doctor_rabbitmq.examine() if one.tone == "bad"]
        assert [one.sentence.split()[0] for one in said] == [QUEUE]

    def test_a_rabbitmq_that_hangs_is_given_up_within_three_seconds_and_forgiven(
        self, quorum: QuorumBroker, rabbitmq: RabbitMQ
    ) -> None:
        actor = dramatiq.actor(queue_name=QUEUE)(lambda_named("anything"))
        actor.send(1)
        rabbitmq.stall()
        try:
            began_s = time.monotonic()
            with pytest.raises(ConnectionClosed):
                actor.send(2)
            assert time.monotonic() - began_s < 3.5
        finally:
            rabbitmq.go_on()
        actor.send(3)
        # The second send was under way, and may have arrived.
        wait_until(lambda: rabbitmq.count(QUEUE) in {2, 3})

    def test_an_unreadable_message_dies_alone_and_letters_go_back_whole(
        self, quorum: QuorumBroker, rabbitmq: RabbitMQ
    ) -> None:
        ran: list[int] = []
        actor = dramatiq.actor(queue_name=QUEUE, actor_name="notes")(ran.append)
        actor.send(1)
        with rabbitmq.connect() as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish("", QUEUE, b"[]")
            for number in (7, 8):
                channel.basic_publish("", f"{QUEUE}.XQ", actor.message(number).encode())
        worker = dramatiq.Worker(quorum, worker_timeout=50, worker_threads=1)
        worker.start()
        try:
            wait_until(lambda: ran == [1])
            wait_until(lambda: rabbitmq.count(f"{QUEUE}.XQ") == 3)
            assert rabbitmq_queues.requeue_dead(quorum, QUEUE) == 2
            wait_until(lambda: sorted(ran) == [1, 7, 8])
            wait_until(lambda: rabbitmq.count(f"{QUEUE}.XQ") == 1)
            depth = next(one for one in rabbitmq_queues.read_depths(quorum) if one.name == QUEUE)
        finally:
            worker.stop()
        assert (depth.ready_count, depth.in_flight_count, depth.dead_count) == (0, 0, 1)

    def test_the_end_of_an_old_job_is_not_taken_for_that_of_a_new_one(
        self, quorum: QuorumBroker, rabbitmq: RabbitMQ
    ) -> None:
        begun: list[str] = []
        gates = [threading.Event(), threading.Event()]

        @dramatiq.actor(queue_name=QUEUE, actor_name="waits")
        def waits() -> None:
            gate = gates[min(len(begun), 1)]
            begun.append("")
            assert gate.wait(timeout=30)

        waits.send()
        worker = dramatiq.Worker(quorum, worker_timeout=50, worker_threads=2)
        worker.start()
        try:
            wait_until(lambda: len(begun) == 1)
            # Its connection breaks: RabbitMQ gives the message out again, with the same tag.
            broken: Any = worker.consumers[QUEUE].consumer
            broken.connection.add_callback_threadsafe(broken.connection.close)
            wait_until(lambda: len(begun) == 2)
            gates[0].set()
            # The old job has ended and been settled; the new one goes on.
            wait_until(lambda: worker.work_queue.unfinished_tasks == 1)
            assert len(quorum.held[QUEUE]) == 1
            gates[1].set()
            wait_until(lambda: len(quorum.held[QUEUE]) == 0)
        finally:
            for gate in gates:
                gate.set()
            worker.stop()
        assert rabbitmq.count(QUEUE) == 0


def lambda_named(name: str) -> Any:
    """Return a function for an actor that is never run."""

    def function(number: int) -> None:
        raise AssertionError(number)

    function.__name__ = name
    return function
