"""Whether the database answers, told within a second however long its driver would wait.

One probe at a time, in a thread of its own: a pool waits ten seconds for a server that is away, and
callers must not pile up behind it.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Final

from django.db import Error, connection, connections

PATIENCE_S: Final = 0.8
# An answer holds this long, so that a busy page does not ask at every turn.
FRESH_S: Final = 0.5


class _Probe:
    """The latest question to the database, and its answer."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database-probe")
        self._question: Future[bool] | None = None
        self._asked_at_s = 0.0
        self._answered_at_s = 0.0

    def answers(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._answered_at_s < FRESH_S:
            return True
        with self._lock:
            if self._question is None or self._question.done():
                self._question, self._asked_at_s = self._thread.submit(_asks_well), now_s
            question, asked_at_s = self._question, self._asked_at_s
        try:
            # Whoever finds a question that has waited long enough waits no longer.
            is_well = question.result(timeout=max(0.01, PATIENCE_S - (now_s - asked_at_s)))
        except TimeoutError:
            return False
        if is_well:
            self._answered_at_s = time.monotonic()
        return is_well


def _asks_well() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone())
    except Error:
        return False
    finally:
        connections.close_all()


_probe: Final = _Probe()


def is_database_away() -> bool:
    """Say whether the database can't be used now. Takes a second at the most."""
    return not _probe.answers()
