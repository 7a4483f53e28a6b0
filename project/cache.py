"""The cache, in which allauth counts attempts: one for all web processes, and never in the way.

It lies in Redis, so that a limit holds over every process and a restart. While Redis is away each
process counts for itself: signing in goes on, and stays limited.
"""

from __future__ import annotations

import json
import time
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

import redis
import structlog
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.cache.backends.locmem import LocMemCache
from redis.backoff import NoBackoff
from redis.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Callable

logger = structlog.get_logger(__name__)

Found = TypeVar("Found")

TIMEOUT_S: Final = 1.0
# How long nobody asks a Redis that did not answer: a form is several questions.
LEFT_ALONE_S: Final = 5.0


class _Outage:
    """When this process may ask Redis again."""

    ends_at = 0.0


class SharedCache(BaseCache):
    """Django's cache in Redis, with JSON values: what lies there is read, never executed."""

    def __init__(self, url: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._redis = _client(url)
        self._own = LocMemCache("while-redis-is-away", params)

    def add(
        self, key: str, value: Any, timeout: float | None = DEFAULT_TIMEOUT, version: Any = None
    ) -> bool:
        return self._ask(
            lambda: self._set(key, value, timeout, version, only_new=True),
            lambda: self._own.add(key, value, timeout, version),
        )

    def get(self, key: str, default: Any = None, version: Any = None) -> Any:
        return self._ask(
            lambda: self._get(key, default, version), lambda: self._own.get(key, default, version)
        )

    def set(
        self, key: str, value: Any, timeout: float | None = DEFAULT_TIMEOUT, version: Any = None
    ) -> None:
        self._ask(
            lambda: self._set(key, value, timeout, version, only_new=False),
            lambda: self._own.set(key, value, timeout, version),
        )

    def touch(self, key: str, timeout: float | None = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        return self._ask(
            lambda: self._touch(key, timeout, version),
            lambda: self._own.touch(key, timeout, version),
        )

    def delete(self, key: str, version: Any = None) -> bool:
        name = self.make_and_validate_key(key, version)
        return self._ask(
            lambda: bool(self._redis.delete(name)), lambda: self._own.delete(key, version)
        )

    def clear(self) -> None:
        """Forget every key of ours; others share the database."""
        self._ask(self._delete_all, self._own.clear)

    def _delete_all(self) -> None:
        for name in self._redis.scan_iter(match=f"{self.key_prefix}:*", count=1000):
            self._redis.delete(name)

    def _get(self, key: str, default: Any, version: Any) -> Any:
        found = self._redis.get(self.make_and_validate_key(key, version))
        return default if found is None else json.loads(found)

    def _set(
        self, key: str, value: Any, timeout: float | None, version: Any, *, only_new: bool
    ) -> bool:
        name, lasts_ms = self.make_and_validate_key(key, version), self._lasts_ms(timeout)
        if lasts_ms is not None and lasts_ms <= 0:
            self._redis.delete(name)
            return True
        return bool(self._redis.set(name, json.dumps(value), px=lasts_ms, nx=only_new))

    def _touch(self, key: str, timeout: float | None, version: Any) -> bool:
        name, lasts_ms = self.make_and_validate_key(key, version), self._lasts_ms(timeout)
        if lasts_ms is None:
            return bool(self._redis.persist(name) or self._redis.exists(name))
        return bool(self._redis.pexpire(name, lasts_ms))

    def _lasts_ms(self, timeout: float | None) -> int | None:
        seconds = self.default_timeout if timeout == DEFAULT_TIMEOUT else timeout
        return None if seconds is None else int(seconds * 1000)

    def _ask(self, shared: Callable[[], Found], own: Callable[[], Found]) -> Found:
        """Ask Redis, and this process's own memory while Redis is away."""
        if time.monotonic() >= _Outage.ends_at:
            try:
                return shared()
            except redis.RedisError as exc:
                _Outage.ends_at = time.monotonic() + LEFT_ALONE_S
                logger.warning("cache away", error=type(exc).__name__)
        return own()


@cache
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
