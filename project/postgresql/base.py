"""Django's PostgreSQL backend, whose pool some callers wait for no longer than they say.

A pool waits ten seconds for a server that went, and Django passes it no other figure. A page that
says what is away can't wait that long; a click may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.backends.postgresql import base

from project.postgresql.patience import patience_s
from project.query_log import WithoutQueryLog

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg_pool import ConnectionPool


class HurriedPool:
    """The process's pool, for one caller that waits so many seconds for a connection."""

    def __init__(self, pool: ConnectionPool, within_s: float) -> None:
        self._pool = pool
        self._within_s = within_s

    def getconn(self) -> Connection:
        """Return a connection. Raises psycopg_pool.PoolTimeout, an OperationalError."""
        return self._pool.getconn(timeout=self._within_s)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


class DatabaseWrapper(WithoutQueryLog, base.DatabaseWrapper):
    @property
    def pool(self) -> Any:
        pool, within_s = super().pool, patience_s.get()
        return pool if pool is None or within_s is None else HurriedPool(pool, within_s)
