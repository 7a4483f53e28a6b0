"""Queues that are left alone for a while, as operators want it.

The row is the truth. Workers hear of it through a Redis set at each beat, and the ticker rewrites
that set from the rows: whatever Redis forgets or missed is right again within a tick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from django.db import transaction
from redis.exceptions import RedisError

from integrations.constants import OperatorActKind
from integrations.models import PausedQueue
from integrations.ops import acts
from integrations.ops.broker_keys import QUEUES_KEY, declared_queues
from integrations.telemetry.redis_clients import key, telemetry_client

if TYPE_CHECKING:
    from collections.abc import Iterable

    import redis

    from integrations.models import User

logger = structlog.get_logger(__name__)

PAUSED_KEY = "paused"


def pause(queue: str, person: User | None) -> bool:
    """Have workers leave a queue alone; return whether it was not paused before.

    Raises ValueError, with the queues that there are, for an unknown one.
    """
    _check(queue)
    with transaction.atomic():
        _, is_new = PausedQueue.objects.get_or_create(queue=queue, defaults={"paused_by": person})
        if is_new:
            acts.note(person, OperatorActKind.PAUSE, queue)
    _tell_soon()
    return is_new


def resume(queue: str, person: User | None) -> bool:
    """Let a queue go on; return whether it was paused. Raises ValueError as `pause`.

    One that was paused and is no longer declared may be resumed all the same.
    """
    with transaction.atomic():
        deleted_count, _ = PausedQueue.objects.filter(queue=queue).delete()
        if deleted_count:
            acts.note(person, OperatorActKind.RESUME, queue)
        else:
            _check(queue)
    _tell_soon()
    return bool(deleted_count)


def paused() -> dict[str, PausedQueue]:
    """Return the paused queues, each with its row: by whom, and since when."""
    return {row.queue: row for row in PausedQueue.objects.select_related("paused_by")}


def told(client: redis.Redis) -> frozenset[str]:
    """Return the queues that workers were told are paused. Raises redis.RedisError."""
    found: Any = client.smembers(key(PAUSED_KEY))
    return frozenset(name.decode() for name in found)


def tell_workers() -> None:
    """Write into Redis which queues are paused. Raises redis.RedisError."""
    _write(PausedQueue.objects.values_list("queue", flat=True))


def _write(names: Iterable[str]) -> None:
    # In one transaction: a beat in between must not hear that nothing is paused.
    with telemetry_client().pipeline() as pipeline:
        pipeline.delete(key(PAUSED_KEY))
        for name in names:
            pipeline.sadd(key(PAUSED_KEY), name)
        pipeline.sadd(key(QUEUES_KEY), *declared_queues())
        pipeline.execute()


def _check(queue: str) -> None:
    known = declared_queues()
    if queue not in known:
        raise ValueError(f"There is no queue {queue!r}; there are {', '.join(known)}.")


def _tell_soon() -> None:
    """Tell at once what the ticker would tell within a tick."""
    try:
        tell_workers()
    except RedisError as exc:
        logger.warning("workers hear of the pause when Redis is back", error=str(exc))
