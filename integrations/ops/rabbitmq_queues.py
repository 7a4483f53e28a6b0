"""What operators see and do of queues at RabbitMQ: counts, and all dead letters put back.

RabbitMQ tells neither which messages wait nor how old they are; what workers hold they tell
themselves, at each beat (`telemetry/worker_report.py`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import dramatiq
import structlog
from django.utils import timezone
from dramatiq import Message
from dramatiq.common import dq_name, q_name, xq_name
from pika.exceptions import ChannelClosedByBroker

from integrations.ops.broker_keys import declared_queues
from integrations.ops.figures import QueueDepth
from integrations.ops.payloads import decoded
from integrations.rabbitmq.broker import publish
from integrations.telemetry.processes import read_processes
from integrations.telemetry.redis_clients import telemetry_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pika.adapters.blocking_connection import BlockingChannel

    from integrations.rabbitmq.broker import QuorumBroker

logger = structlog.get_logger(__name__)

# Of the two seconds that a page has.
LOOK_PATIENCE_S: Final = 0.8
# Letters put back in one go: some 2 ms each, in which this process sends nothing else.
BATCH_SIZE: Final = 100
BATCH_PATIENCE_S: Final = 3.0
# A request goes on for so long; the operator sees how many are left.
REQUEUE_BUDGET_S: Final = 20.0
NOT_FOUND: Final = 404
# What an earlier life of the message left in its options.
OF_EARLIER_LIFE: Final = frozenset({"retries", "traceback", "error", "failed_at", "eta"})


def read_depths(broker: QuorumBroker) -> list[QueueDepth]:
    """Return the declared queues. Raises redis.RedisError and dramatiq's BrokerConnectionError."""
    names = declared_queues()
    counts = broker.link.ask(
        lambda channel: {name: _counts(broker, channel, name) for name in names},
        patience_s=LOOK_PATIENCE_S,
    )
    held = _held_by_workers()
    return [
        QueueDepth(
            name=name,
            ready_count=ready,
            delayed_count=delayed + held.get(dq_name(name), 0),
            in_flight_count=held.get(name, 0),
            dead_count=dead,
            oldest_age_s=None,
            drift_count=0,
        )
        for name, (ready, delayed, dead) in counts.items()
    ]


def _counts(broker: QuorumBroker, channel: BlockingChannel, queue: str) -> tuple[int, int, int]:
    """Return how many are ready, delayed with no worker, and dead."""
    broker.declare_queue(queue)
    broker.declare_on(channel, queue)
    try:
        ready, delayed, dead = (
            channel.queue_declare(name, passive=True).method.message_count
            for name in (queue, dq_name(queue), xq_name(queue))
        )
    except ChannelClosedByBroker as exc:
        if exc.reply_code == NOT_FOUND:
            # Deleted at RabbitMQ, perhaps with others: declared again at the next look.
            broker.queues_pending.update(declared_queues())
        raise
    return ready, delayed, dead


def _held_by_workers() -> dict[str, int]:
    found: dict[str, int] = {}
    now = timezone.now()
    for report in read_processes(telemetry_client()):
        if not report.is_gone(now):
            for name, count in report.state.get("held", {}).items():
                found[name] = found.get(name, 0) + count
    return found


def requeue_dead(broker: QuorumBroker, queue: str) -> int:
    """Put the dead letters that a queue has now at its end; return how many that was.

    Each is published and confirmed before it leaves the dead ones: who dies in between leaves it in
    both places, never in none. What no worker could run stays. Raises BrokerConnectionError.
    """
    batch = _Batch(broker, queue)
    wanted = broker.link.ask(batch.begin)
    until_s = time.monotonic() + REQUEUE_BUDGET_S
    try:
        while wanted > 0 and time.monotonic() < until_s:
            taken = broker.link.ask(
                lambda channel, most=wanted: batch.move(channel, min(most, BATCH_SIZE)),  # type: ignore[misc]
                patience_s=BATCH_PATIENCE_S,
            )
            if not taken:
                break
            wanted -= taken
    finally:
        broker.link.ask(batch.end)
    return batch.done_count


class _Batch:
    """One requeueing. Letters that can't be run stay on its channel, unacknowledged, to its end."""

    def __init__(self, broker: QuorumBroker, queue: str) -> None:
        self.done_count = 0
        self._broker = broker
        self._queue = queue
        self._letters: BlockingChannel | None = None

    def begin(self, channel: BlockingChannel) -> int:
        self._broker.declare_queue(self._queue)
        self._broker.declare_on(channel, self._queue)
        self._letters = channel.connection.channel()
        found: Any = channel.queue_declare(xq_name(self._queue), passive=True)
        return int(found.method.message_count)

    def move(self, channel: BlockingChannel, most: int) -> int:
        """Move so many at the most; return how many were looked at."""
        assert self._letters is not None
        for taken in range(most):
            method, _, body = self._letters.basic_get(xq_name(self._queue))
            if method is None:
                return taken
            message = _revived(body or b"", self._queue)
            if message is None:
                logger.warning("dead letter left as it is", queue=self._queue)
            else:
                publish(channel, message)
                self._letters.basic_ack(method.delivery_tag)
                self.done_count += 1
        return most

    def end(self, _: BlockingChannel) -> None:
        """Give back what was only looked at."""
        if self._letters is not None and self._letters.is_open:
            self._letters.close()


def _revived(raw: bytes, queue: str) -> Message[Any] | None:
    """Return a letter's message as if it had just been sent; None when no worker could run it."""
    payload = decoded(raw)
    if payload is None or payload.actor not in dramatiq.get_broker().get_declared_actors():
        return None
    message = Message.decode(raw)
    now_ms = round(time.time() * 1000)
    kept = {name: v for name, v in message.options.items() if name not in OF_EARLIER_LIFE}
    return replace(
        message,
        queue_name=q_name(queue),
        options={**kept, "ready_at": now_ms, "requeued_from": payload.message_id},
        message_timestamp=now_ms,
    )


def queues_with_letters(depths: Sequence[QueueDepth]) -> list[tuple[str, int]]:
    """Return the queues that have dead letters, with how many."""
    return [(depth.name, depth.dead_count) for depth in depths if depth.dead_count]
