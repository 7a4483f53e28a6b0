"""The doctor on RabbitMQ, where it is the broker: whether it answers, and whether queues fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dramatiq.errors import BrokerConnectionError

from integrations.ops.broker_keys import declared_queues
from integrations.ops.findings import bad, good
from integrations.rabbitmq.broker import quorum_broker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integrations.ops.findings import Finding
    from integrations.rabbitmq.broker import QuorumBroker


def examine() -> Iterator[Finding]:
    """Yield what there is to say of RabbitMQ; nothing where Redis is the broker."""
    broker = quorum_broker()
    if broker is None:
        return
    try:
        version: Any = broker.link.ask(
            lambda channel: channel.connection._impl.server_properties.get("version", "")
        )
    except BrokerConnectionError as exc:
        yield bad(
            "rabbitmq", f"It does not answer: {exc}.",
            "Start it, or mend BROKER_URL: host, person, password, virtual host.",
        )  # fmt: skip
        return
    words = version.decode() if isinstance(version, bytes) else str(version)
    yield good("rabbitmq", f"RabbitMQ {words} answers.")
    for queue in declared_queues():
        yield _queue(broker, queue)


def _queue(broker: QuorumBroker, queue: str) -> Finding:
    """Declare it as a send would: another's queue of that name refuses."""
    broker.declare_queue(queue)
    broker.queues_pending.add(queue)
    try:
        broker.link.ask(lambda channel: broker.declare_on(channel, queue))
    except BrokerConnectionError as exc:
        return bad(
            "rabbitmq queue", f"{queue} can't be declared: {exc}.",
            "A queue of that name is of another kind. Drain and delete it, or use a virtual host "
            "of Rollcall's own.",
        )  # fmt: skip
    return good("rabbitmq queue", f"{queue} is a quorum queue.")
