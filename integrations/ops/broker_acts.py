"""What operators do to messages at the broker: requeue, delete, run now.

Each act is one script in Redis for a batch of messages (`ops/broker_scripts.py`): it happens whole
or not at all, whoever clicks at the same time and whatever process dies, and a message that has
moved meanwhile is left alone. New payloads are made here.

Middleware hears nothing of it (`emit_before("enqueue")`): whether something is enqueued is known
only once the script has run. What ours does at an enqueueing (`ready_at`) is done here.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

import dramatiq
import structlog
from dramatiq import Message

from integrations.ops import broker_scripts
from integrations.ops.broker_keys import QueueKeys, acks_prefix, declared_queues, heartbeats_key
from integrations.ops.message_places import live_processes, locate, running_ids
from integrations.ops.message_scan import Progress
from integrations.ops.message_shapes import DEAD, DELAYED, READY, RETRYING, STATES, MessageRef
from integrations.ops.payloads import decoded, shown
from integrations.rabbitmq.broker import quorum_broker
from integrations.telemetry.redis_clients import broker_client
from integrations.telemetry.skipping import KEPT_S, skip_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from integrations.ops.message_shapes import MessageQuery

logger = structlog.get_logger(__name__)

T = TypeVar("T")

# A batch keeps Redis busy for some milliseconds.
BATCH_SIZE: Final = 500
# Deleting writes a list anew for each batch, so that batches are larger.
DELETE_BATCH_SIZE: Final = 5_000
# Everything that a query matches is taken in one go, far longer than a page may take.
MATCHING_BUDGET_S: Final = 30.0
# What an earlier life of the message left in its options.
_OF_EARLIER_LIFE: Final = frozenset(
    {"retries", "traceback", "error", "failed_at", "requeue_timestamp", "eta"}
)
# Around its time a worker that holds a delayed message moves it to its queue. One that is overdue
# for longer has been forgotten there.
MOVING_BEFORE_MS: Final = 1_000
MOVING_AFTER_MS: Final = 60_000


class ActRefused(Exception):
    """Nothing was done, since it makes no sense; the text says why, to the operator."""


def requeue(refs: Sequence[MessageRef]) -> int:
    """Put dead letters at the end of their queues, as if they had just been sent.

    Each keeps its message id and says `requeued_from` which letter. Returns how many were put back;
    another's click may have been first. Raises redis.RedisError, and ActRefused when there is
    something against all that are left.
    """
    refusals: list[str] = []
    done_count = 0
    for queue, keys in _by_queue(refs, {DEAD}):
        for batch in _batches(keys, BATCH_SIZE):
            done_count += _requeue_batch(QueueKeys(queue), batch, refusals)
    return _settled(done_count, refusals)


def delete(refs: Sequence[MessageRef]) -> int:
    """Delete ready, delayed and dead messages; return how many that was.

    One that a worker holds is skipped there when its turn comes; one that a thread works on goes on
    and does not count. Raises redis.RedisError.
    """
    done_count = 0
    for queue, keys in _by_queue(refs, {DEAD}):
        names = QueueKeys(queue)
        for batch in _batches(keys, DELETE_BATCH_SIZE):
            done_count += _run(broker_scripts.DELETE_DEAD, [names.dead, names.dead_payloads], batch)
    running = running_ids(live_processes())
    for states in ({READY}, {DELAYED, RETRYING}):
        for queue, keys in _by_queue(refs, states):
            for batch in _batches(keys, DELETE_BATCH_SIZE):
                done_count += _delete_waiting(queue, batch, running, is_delayed=READY not in states)
    return done_count


def run_now(refs: Sequence[MessageRef]) -> int:
    """Put delayed messages at the head of their queues; return how many that was.

    For one that a worker holds in its memory a copy with an id of its own is put there, and the
    held one is skipped. One that is due in this very second is left to run by itself. Raises
    redis.RedisError, and ActRefused as `requeue`.
    """
    refusals: list[str] = []
    done_count = 0
    for queue, keys in _by_queue(refs, {DELAYED, RETRYING}):
        for batch in _batches(keys, BATCH_SIZE):
            done_count += _run_batch_now(QueueKeys(queue), batch, refusals)
    return _settled(done_count, refusals)


def matching(query: MessageQuery) -> list[MessageRef]:
    """Return all that a query matches now, whatever its page: an act on them meets no others.

    What runs or is over can't be acted on, nor can a single message at RabbitMQ. Raises
    redis.RedisError, and DatabaseAway for a team.
    """
    if quorum_broker() is not None or query.state not in {READY, DELAYED, RETRYING, DEAD}:
        return []
    return [one.ref for one in locate(query, Progress(MATCHING_BUDGET_S))]


def ref_from(spec: str) -> MessageRef:
    """Return the reference that `BrokerMessage.spec` wrote. Raises ValueError."""
    state, _, rest = spec.partition(":")
    queue, _, key = rest.rpartition(":")
    if state not in STATES or not queue or not key:
        raise ValueError(f"{spec!r} is no reference to a message.")
    return MessageRef(queue, state, key)


def _by_queue(refs: Sequence[MessageRef], states: set[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each queue with the keys of the references in these states, each key once."""
    keys: dict[str, dict[str, None]] = {}
    for ref in refs:
        if ref.state in states:
            keys.setdefault(ref.queue, {})[ref.key] = None
    for queue, of_queue in keys.items():
        yield queue, list(of_queue)


def _batches(items: list[T], size: int) -> Iterator[list[T]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]


def _settled(done_count: int, refusals: list[str]) -> int:
    if refusals and not done_count:
        raise ActRefused(refusals[0])
    if refusals:
        logger.warning("messages left as they are", count=len(refusals), first=refusals[0])
    return done_count


def _run(script: str, keys: list[str], arguments: list[Any]) -> int:
    done_count: Any = broker_client().eval(script, len(keys), *keys, *arguments)
    return int(done_count)


def _requeue_batch(names: QueueKeys, keys: list[str], refusals: list[str]) -> int:
    arguments: list[Any] = [skip_key("")]
    now_ms = round(time.time() * 1000)
    for key, message in _readable(names.dead_payloads, names.queue, keys, refusals):
        new_key = str(uuid4())
        kept = {n: v for n, v in message.options.items() if n not in _OF_EARLIER_LIFE}
        options = kept | {"redis_message_id": new_key, "ready_at": now_ms, "requeued_from": key}
        fresh = replace(message, queue_name=names.queue, options=options, message_timestamp=now_ms)
        arguments += [key, new_key, fresh.encode(), message.message_id]
    places = [names.dead, names.dead_payloads, names.ready, names.ready_payloads]
    return _run(broker_scripts.REQUEUE, places, arguments) if len(arguments) > 1 else 0


def _delete_waiting(queue: str, keys: list[str], running: set[str], *, is_delayed: bool) -> int:
    names = QueueKeys(queue)
    places = [names.ready, names.ready_payloads, heartbeats_key()]
    if is_delayed:
        places = [names.delayed, names.delayed_payloads, heartbeats_key()]
    arguments = [acks_prefix(), f"{queue}.DQ" if is_delayed else queue, skip_key(""), KEPT_S]
    return _run(broker_scripts.DELETE_WAITING, places, [*arguments, len(running), *running, *keys])


def _run_batch_now(names: QueueKeys, keys: list[str], refusals: list[str]) -> int:
    arguments: list[Any] = [acks_prefix(), f"{names.queue}.DQ", skip_key(""), KEPT_S]
    count = len(arguments)
    now_ms = round(time.time() * 1000)
    for key, message in _readable(names.delayed_payloads, names.queue, keys, refusals):
        new_key = str(uuid4())
        kept = {n: v for n, v in message.options.items() if n != "eta"}
        options = kept | {"redis_message_id": new_key, "ready_at": now_ms}
        fresh = replace(message, queue_name=names.queue, options=options)
        copy = replace(
            fresh,
            message_id=str(uuid4()),
            options=options | {"copy_of": message.message_id},
        )
        is_moving = "1" if _is_moving(message, now_ms) else "0"
        arguments += [key, new_key, is_moving, fresh.encode(), copy.encode(), message.message_id]
    places = [
        names.delayed, names.delayed_payloads, names.ready, names.ready_payloads, heartbeats_key(),
    ]  # fmt: skip
    return _run(broker_scripts.RUN_NOW, places, arguments) if len(arguments) > count else 0


def _is_moving(message: Message[Any], now_ms: int) -> bool:
    eta_ms = message.options.get("eta")
    if not isinstance(eta_ms, int | float):
        return False
    return -MOVING_AFTER_MS < eta_ms - now_ms < MOVING_BEFORE_MS


def _readable(
    payloads: str, queue: str, keys: list[str], refusals: list[str]
) -> Iterator[tuple[str, Message[Any]]]:
    """Yield those that still lie there and that a worker could run; say why not of others."""
    found: Any = broker_client().hmget(payloads, keys)
    for key, raw in zip(keys, found, strict=True):
        if raw is None:
            continue
        refusal = _refusal(queue, key, raw)
        if refusal:
            refusals.append(refusal)
        else:
            yield key, Message.decode(raw)


def _refusal(queue: str, key: str, raw: bytes) -> str:
    payload = decoded(raw)
    if payload is None:
        return f"Message {key} can't be read: no worker could run it. It can only be deleted."
    if payload.actor not in dramatiq.get_broker().get_declared_actors():
        return (
            f"Message {payload.message_id} is for the actor {shown(payload.actor, 100)}, which "
            "this version does not have. Bring that actor back under its old name, or delete it."
        )
    if queue not in declared_queues():
        return (
            f"Message {payload.message_id} is for the queue {shown(queue, 60)}, which no worker "
            "of this version reads. Delete it."
        )
    return ""
