"""The streams that Pushpins hold, in Redis: a web process that restarts still knows of them.

A sorted set of sealed holds (grip_hold.py) by the instant of their last link. One that asked for
none for longer than Pushpin tries is gone.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import structlog
from django.conf import settings
from redis import RedisError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from integrations.live.grip import RENEWAL_S
from integrations.live.process_task import ProcessTask
from integrations.telemetry.redis_clients import telemetry_client

if TYPE_CHECKING:
    import redis

logger = structlog.get_logger(__name__)

# Pushpin asks for a link that fails five times more: after 1, 2, 4, 8 and 16 s.
RETRIES_S: Final = 31
# Beside those: what the attempts themselves take, and clocks that differ.
LAPSE_S: Final = RENEWAL_S[1] + RETRIES_S + 30
TIMEOUT_S: Final = 1
PAUSE_S: Final = 1.0
AT_ONCE: Final = 1_000


def register_key() -> str:
    return f"{settings.BROKER_NAMESPACE}:live:holds"


class HoldRegister(ProcessTask):
    """Writes down the holds of this process, as many at once as came meanwhile."""

    def __init__(self) -> None:
        super().__init__("hold-register")
        self._pending: dict[str, float] = {}
        self._has_some = asyncio.Event()
        self._is_broken = False

    def note(self, sealed: str) -> None:
        """Note that a stream is held as of now."""
        self._pending[sealed] = time.time()
        self._has_some.set()

    def start(self) -> None:
        self._has_some = asyncio.Event()
        super().start()

    async def run(self) -> None:
        retry = Retry(NoBackoff(), 0)
        async with Redis.from_url(
            settings.LIVE_REDIS_URL,
            socket_connect_timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            retry=retry,
        ) as client:
            while True:
                await self._has_some.wait()
                self._has_some.clear()
                await self._write_all(client)

    async def _write_all(self, client: Any) -> None:
        """Write what is pending; go on trying while Redis is away."""
        while self._pending:
            taken = dict(list(self._pending.items())[:AT_ONCE])
            try:
                await client.zadd(register_key(), taken)
            except (RedisError, OSError) as exc:
                if not self._is_broken:
                    logger.warning("held streams not registered", error=str(exc))
                self._is_broken = True
                await asyncio.sleep(PAUSE_S)
            else:
                self._is_broken = False
                for sealed, at_s in taken.items():
                    if self._pending.get(sealed) == at_s:
                        del self._pending[sealed]


register: Final = HoldRegister()


def read_holds(client: redis.Redis) -> list[str]:
    """Return the sealed holds that live, and forget the others. Raises RedisError."""
    with client.pipeline() as pipeline:
        pipeline.zremrangebyscore(register_key(), "-inf", time.time() - LAPSE_S)
        pipeline.zrange(register_key(), 0, -1)
        _, found = pipeline.execute()
    return [sealed.decode() for sealed in found]


def count_holds() -> int | None:
    """Return how many holds live, and None where no Pushpin holds any. Raises RedisError.

    The tabs of one session and team are one. Who left counts until their hold lapses.
    """
    if not settings.GRIP_PROXIES:
        return None
    since_s = time.time() - LAPSE_S
    return int(telemetry_client().zcount(register_key(), since_s, "+inf"))


def forget_holds(client: redis.Redis, sealed: list[str]) -> None:
    """Forget holds that were ended. Raises RedisError."""
    if sealed:
        client.zrem(register_key(), *sealed)
