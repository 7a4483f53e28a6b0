"""Messages put where a test wants them: by the product's own broker, or by the thousand straight
into Redis as the broker would have left them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dramatiq
from dramatiq import Message

from integrations.ops.broker_keys import QueueKeys
from integrations.ops.message_shapes import DEAD, DELAYED, READY, MessageRef
from integrations.telemetry.redis_clients import broker_client

if TYPE_CHECKING:
    from dramatiq.brokers.redis import RedisBroker

QUEUE = "interactive"
ACTOR = "sync_github_members_task"


def message(*args: Any, actor: str = ACTOR, queue: str = QUEUE, **options: Any) -> Message[Any]:
    return Message(queue, actor, args, {}, options)


def send(*args: Any, delay_ms: int | None = None, **options: Any) -> Message[Any]:
    """Send a message of the product's; its actor finds no run and does nothing."""
    sent: Message[Any] = dramatiq.get_broker().enqueue(
        message(*args or (4711,), **options), delay=delay_ms
    )
    return sent


def key_of(sent: Message[Any]) -> str:
    return str(sent.options["redis_message_id"])


def fetch(broker: RedisBroker, *, queue: str = QUEUE, prefetch: int = 1) -> tuple[Any, list[Any]]:
    """Fetch as a worker does, and work on nothing; return the consumer and its messages."""
    consumer = broker.consume(queue, prefetch=prefetch, timeout=10)
    found = [next(consumer) for _ in range(prefetch)]
    return consumer, [one for one in found if one is not None]


def bury(broker: RedisBroker, *args: Any, **options: Any) -> MessageRef:
    """Send a message and have it die at once; return where it lies."""
    queue = options.get("queue", QUEUE)
    send(*args, **options)
    consumer, [held] = fetch(broker, queue=queue)
    consumer.nack(held)
    return MessageRef(queue, DEAD, held.options["redis_message_id"])


def fill(count: int, *, state: str = READY, queue: str = QUEUE, **options: Any) -> list[str]:
    """Put so many messages straight into Redis, the oldest first; return their message ids."""
    keys, now_ms, message_ids = QueueKeys(queue), round(time.time() * 1000), []
    with broker_client().pipeline(transaction=False) as pipeline:
        for number in range(count):
            key = str(uuid4())
            more = {"redis_message_id": key, "ready_at": now_ms - count + number, **options}
            if state == DELAYED:
                more["eta"] = now_ms + 3_600_000 + number
            one = message(number, queue=queue, **more)
            message_ids.append(one.message_id)
            _put(pipeline, keys, state, key, one.encode(), now_ms - count + number)
            if number % 5_000 == 4_999:
                pipeline.execute()
        pipeline.execute()
    return message_ids


def put_raw(raw: bytes, *, state: str = READY, queue: str = QUEUE, key: str = "") -> MessageRef:
    """Put any bytes where a message's payload belongs."""
    key = key or str(uuid4())
    with broker_client().pipeline() as pipeline:
        _put(pipeline, QueueKeys(queue), state, key, raw, round(time.time() * 1000))
        pipeline.execute()
    return MessageRef(queue, state, key)


def put(one: Message[Any], *, state: str = READY, queue: str = QUEUE) -> MessageRef:
    """Put a message as the broker would have."""
    key, name = str(uuid4()), f"{queue}.DQ" if state == DELAYED else queue
    options = {"redis_message_id": key, **one.options}
    whole = one.copy(queue_name=name, options=options)
    return put_raw(whole.encode(), state=state, queue=queue, key=key)


def ids_in(hash_name: str) -> list[str]:
    """Return the message ids of all payloads in a hash."""
    return [json.loads(raw)["message_id"] for raw in broker_client().hvals(hash_name)]


def _put(pipeline: Any, keys: QueueKeys, state: str, key: str, raw: bytes, at_ms: int) -> None:
    if state == READY:
        pipeline.rpush(keys.ready, key)
        pipeline.hset(keys.ready_payloads, key, raw)
    elif state == DEAD:
        pipeline.zadd(keys.dead, {key: at_ms})
        pipeline.hset(keys.dead_payloads, key, raw)
    else:
        pipeline.rpush(keys.delayed, key)
        pipeline.hset(keys.delayed_payloads, key, raw)
