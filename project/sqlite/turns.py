"""Waiting for SQLite's one writer: short pauses, and one thread of a process at a time.

SQLite asks again after 1, 2, 5 and then up to 100 ms. Beside somebody who writes page after page it
hardly ever asks in a pause between two pages, and the more threads a process has, the less another
process is in time: beside the first read of 50,000 people each start of a run took 80 ms.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from django.db.backends.sqlite3 import base

if TYPE_CHECKING:
    from collections.abc import Callable

# SQLite's own first three pauses, during which it holds no lock of Python's: 1, 2 and 5 ms.
ASKED_FOR_MS: Final = 8
# What takes the writer outside of a transaction. Reading waits for nobody in a WAL file.
WRITES: Final = ("BEGIN IMMEDIATE", "INSERT", "UPDATE", "DELETE")
# SQLite tells more than the kind of an error in the upper bytes of its code.
PRIMARY_CODE: Final = 0xFF

_asking: Final = threading.Lock()


class Cursor(base.SQLiteCursorWrapper):
    """Django's cursor, whose statements wait for the writer as this module says."""

    timeout_s: float

    def execute(self, query: str, params: Any = None) -> Any:
        if self.connection.in_transaction or not query.startswith(WRITES):
            return super().execute(query, params)
        statement = super().execute
        return _in_turn(self.connection, lambda: statement(query, params), self.timeout_s)


def _in_turn(connection: sqlite3.Connection, act: Callable[[], Any], timeout_s: float) -> Any:
    """Do it as soon as nobody writes. Raises what SQLite raises once the time is over."""
    ends_at_s = time.monotonic() + timeout_s
    if not _asking.acquire(timeout=timeout_s):
        raise sqlite3.OperationalError("database is locked")
    try:
        connection.execute(f"PRAGMA busy_timeout = {ASKED_FOR_MS}")
        while True:
            try:
                return act()
            except sqlite3.OperationalError as exc:
                if not _is_busy(exc) or time.monotonic() >= ends_at_s:
                    raise
    finally:
        _asking.release()
        connection.execute(f"PRAGMA busy_timeout = {round(timeout_s * 1000)}")


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE == sqlite3.SQLITE_BUSY
