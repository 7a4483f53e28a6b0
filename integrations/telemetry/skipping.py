"""Messages that must not run any more although a worker may hold them in memory already.

Deleting takes a message out of Redis only while it lies there; one that was fetched is skipped when
its turn comes. One look in Redis a message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
from django.conf import settings
from redis.exceptions import RedisError

from integrations.telemetry.redis_clients import broker_client, key

if TYPE_CHECKING:
    from redis.client import Pipeline

logger = structlog.get_logger(__name__)

# A delayed message may be held for days.
KEPT_S: Final = 7 * 24 * 60 * 60


def skip_key(message_id: str) -> str:
    """Return the key, in the broker's database, whose presence keeps a message from running."""
    return key(f"skip:{message_id}")


def have_skipped(message_id: str, pipeline: Pipeline) -> None:
    """Put into a pipeline that the message must not run any more."""
    pipeline.set(skip_key(message_id), 1, ex=KEPT_S)


def is_to_be_skipped(message_id: str) -> bool:
    """Say whether an operator deleted it; no when Redis doesn't answer: actors may run twice.

    At RabbitMQ nobody can delete a single message.
    """
    if not settings.BROKER_REDIS_URL:
        return False
    try:
        return bool(broker_client().exists(skip_key(message_id)))
    except RedisError as exc:
        logger.warning("not asked whether a message was deleted", error=str(exc))
        return False
