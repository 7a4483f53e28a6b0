"""Our consumer of a queue at RabbitMQ: it can be paused, and acknowledges only what is its own.

Delivery tags are small numbers that begin anew with each connection. Dramatiq's own consumer, made
again after an outage, would take the end of an old job for the end of a new one with the same tag.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
from dramatiq import Message
from dramatiq.brokers.rabbitmq import _RabbitmqConsumer, _RabbitmqMessage
from dramatiq.common import q_name
from dramatiq.errors import DecodeError

from integrations.consumer import is_usable
from integrations.rabbitmq.link import FAULTS, closed

if TYPE_CHECKING:
    from dramatiq.broker import MessageProxy

logger = structlog.get_logger(__name__)

# How soon a resumed queue is worked on again; heartbeats are answered meanwhile.
PAUSED_LOOK_S: Final = 0.25
NOT_FOUND: Final = 404


class PausableConsumer(_RabbitmqConsumer):
    """Fetches for one queue. Every fault is a ConnectionClosed, which Dramatiq outlives.

    Made by the consumer's thread, each time it starts anew. What is not acknowledged when its
    connection ends, RabbitMQ gives to others at once. Raises ConnectionClosed.
    """

    def __init__(self, broker: Any, queue_name: str, prefetch: int, timeout: int) -> None:
        self.timeout_s = timeout / 1000
        try:
            super().__init__(broker, queue_name, prefetch, timeout)  # type: ignore[no-untyped-call]
        except FAULTS as exc:
            raise closed(exc) from None
        self.is_paused = False
        # Read by the worker's beat: what this process holds of the queue.
        broker.held[queue_name] = self.known_tags

    def ack(self, message: MessageProxy) -> None:
        self._settle(self.channel.basic_ack, message)

    def nack(self, message: MessageProxy) -> None:
        self._settle(partial(self.channel.basic_nack, requeue=False), message)

    def _settle(self, command: Any, message: Any) -> None:
        if message.consumer is not self or message._tag not in self.known_tags:
            # Its connection broke meanwhile: RabbitMQ has given it to another worker already.
            logger.warning("message not acknowledged", message_id=message.message_id)
            return
        self.known_tags.discard(message._tag)
        try:
            self.connection.add_callback_threadsafe(partial(command, message._tag))
        except FAULTS as exc:
            logger.warning("message comes again", message_id=message.message_id, error=str(exc))

    def __next__(self) -> MessageProxy | None:
        try:
            if q_name(self.queue_name) in self.broker.paused_queues:
                self._rest()
                return None
            if self.is_paused:
                self.iterator = self.channel.consume(
                    self.queue_name, inactivity_timeout=self.timeout_s
                )
                self.is_paused = False
            method, _, body = next(self.iterator)
            return None if method is None else self._received(method, body)
        except (*FAULTS, StopIteration) as exc:
            if getattr(exc, "reply_code", None) == NOT_FOUND:
                self.broker.queues_pending.add(q_name(self.queue_name))
            raise closed(exc) from None

    def _rest(self) -> None:
        """Fetch nothing, but answer heartbeats and let what runs be acknowledged."""
        if not self.is_paused:
            self.channel.cancel()
            self.is_paused = True
        self.connection.process_data_events(time_limit=min(PAUSED_LOOK_S, self.timeout_s))

    def _received(self, method: Any, body: bytes) -> MessageProxy | None:
        try:
            message: Message[Any] | None = Message.decode(body)
            if not is_usable(message, self.queue_name):
                message = None
        except (DecodeError, TypeError, ValueError, RecursionError):
            message = None
        if message is None:
            logger.error("message unreadable, now a dead letter", queue=self.queue_name)
            self.channel.basic_nack(method.delivery_tag, requeue=False)
            return None
        proxy: Any = _RabbitmqMessage(  # type: ignore[no-untyped-call]
            method.redelivered, method.delivery_tag, message
        )
        proxy.consumer = self
        self.known_tags.add(method.delivery_tag)
        found: MessageProxy = proxy
        return found
