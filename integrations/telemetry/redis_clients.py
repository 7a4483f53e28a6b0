"""The Redis of what processes tell of themselves, by a client that keeps nobody waiting.

Telemetry lies in the live channel's database, so that it does without the broker's Redis.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

# A page of the operators has two seconds, also while Redis hangs.
TIMEOUT_S: Final = 1.0
CONNECT_TIMEOUT_S: Final = 0.5


def key(name: str) -> str:
    """Return the name of a key of ours: `rollcall:ops:<name>`."""
    return f"{settings.BROKER_NAMESPACE}:ops:{name}"


def telemetry_client() -> redis.Redis:
    """Return the client of the telemetry. Its calls raise redis.RedisError within a second."""
    return _client(settings.LIVE_REDIS_URL)


def broker_client() -> redis.Redis:
    """Return a client of the broker's database, to look and to act. As `telemetry_client`."""
    return _client(settings.BROKER_REDIS_URL)


@cache
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
    )
