"""RabbitMQ as the broker: quorum queues, confirmed sends, and one connection a process for them.

It knows messages and queues, nothing of what they are about. See docs/rabbitmq.md.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import dramatiq
import pika
from dramatiq import Middleware
from dramatiq.brokers.rabbitmq import DEAD_MESSAGE_TTL, RabbitmqBroker
from dramatiq.common import current_millis, dq_name, q_name, xq_name
from dramatiq.errors import ConnectionClosed
from pika.exceptions import UnroutableError

from integrations.rabbitmq.consumer import PausableConsumer
from integrations.rabbitmq.link import Link, parameters_of

if TYPE_CHECKING:
    from collections.abc import Sized

    from dramatiq import Broker, Message, Worker
    from pika.adapters.blocking_connection import BlockingChannel

# A worker rides out two minutes without RabbitMQ, as without Redis.
WORKER_PATIENCE_S: Final = 120.0
RETRY_EVERY_S: Final = 0.5
# https://www.rabbitmq.com/docs/quorum-queues: on a majority of the nodes' disks before the confirm.
QUORUM: Final = {"x-queue-type": "quorum"}
PERSISTENT: Final = pika.BasicProperties(delivery_mode=2)


class QuorumBroker(RabbitmqBroker):
    """A RabbitmqBroker whose queues are quorum queues and whose sends never hang."""

    def __init__(self, *, url: str, **options: Any) -> None:
        super().__init__(confirm_delivery=True, **options)
        self.parameters = parameters_of(url)
        self.link = Link(self.parameters)
        # Names this process among those that beat (telemetry/worker_report.py).
        self.broker_id = str(uuid4())
        # Queues that are left alone, as operators want it; telemetry/worker_report.py keeps it.
        self.paused_queues: frozenset[str] = frozenset()
        # Of each queue, what this process fetched and has not acknowledged.
        self.held: dict[str, Sized] = {}
        # How long a send goes on trying after it failed.
        self.patience_s = 0.0

    @property
    def consumer_class(self) -> type[PausableConsumer]:
        return PausableConsumer

    def empty_queues(self) -> frozenset[str]:
        """Name none: it loses no message, and tells only its management what workers fetched."""
        return frozenset()

    def close(self) -> None:
        self.link.close()
        super().close()

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Send a message and wait until RabbitMQ has it on disk; `delay` in milliseconds.

        Raises ConnectionClosed within three seconds, in a worker after two minutes; the message may
        then have been sent all the same.
        """
        if delay is not None:
            message = message.copy(
                queue_name=dq_name(message.queue_name), options={"eta": current_millis() + delay}
            )
        self.declare_queue(message.queue_name)
        self.emit_before("enqueue", message, delay)
        self._publish(message)
        self.emit_after("enqueue", message, delay)
        return message

    def _publish(self, message: Message[Any]) -> None:
        deadline_s = time.monotonic() + self.patience_s
        while True:
            try:
                self.link.ask(lambda channel: self._publish_on(channel, message))
            except ConnectionClosed:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(RETRY_EVERY_S)
            else:
                return

    def _publish_on(self, channel: BlockingChannel, message: Message[Any]) -> None:
        self.declare_on(channel, q_name(message.queue_name))
        try:
            publish(channel, message)
        except UnroutableError:
            # Somebody deleted the queue.
            self.queues_pending.add(q_name(message.queue_name))
            self.declare_on(channel, q_name(message.queue_name))
            publish(channel, message)

    def _ensure_queue(self, canonical_queue_name: str) -> None:
        self.link.ask(lambda channel: self.declare_on(channel, canonical_queue_name))

    def declare_on(self, channel: BlockingChannel, queue: str) -> None:
        """Declare a queue and those of its delayed messages and dead letters, once a process."""
        if queue not in self.queues_pending:
            return
        for name in (queue, dq_name(queue)):
            channel.queue_declare(name, durable=True, arguments=self._build_queue_arguments(queue))
        # Dramatiq has a classic queue here, which lives on one node alone.
        channel.queue_declare(
            xq_name(queue), durable=True, arguments={**QUORUM, "x-message-ttl": DEAD_MESSAGE_TTL}
        )
        self.queues_pending.discard(queue)

    def _build_queue_arguments(self, queue_name: str) -> dict[str, Any]:
        arguments: dict[str, Any] = super()._build_queue_arguments(  # type: ignore[no-untyped-call]
            queue_name
        )
        return {**arguments, **QUORUM}


def publish(channel: BlockingChannel, message: Message[Any]) -> None:
    """Send and wait for the confirm. Raises pika.exceptions.UnroutableError without the queue."""
    channel.basic_publish(
        exchange="",
        routing_key=message.queue_name,
        body=message.encode(),
        properties=PERSISTENT,
        mandatory=True,
    )


def quorum_broker() -> QuorumBroker | None:
    """Return the process's broker when it is RabbitMQ."""
    broker = dramatiq.get_broker()
    return broker if isinstance(broker, QuorumBroker) else None


class WorkerPatience(Middleware):
    """Let a worker's sends ride out an outage, where a request's fail at once."""

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        if isinstance(broker, QuorumBroker):
            broker.patience_s = WORKER_PATIENCE_S

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        if isinstance(broker, QuorumBroker):
            broker.patience_s = 0.0
            broker.link.close()
