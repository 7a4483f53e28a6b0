"""Whether the database answers, told within a second however long its driver would wait.

One probe at a time, in a thread of its own: a pool waits ten seconds for a server that is away, and
callers must not pile up behind it.
"""

from __future__ import annotations

import time
from typing import Final

from django.db import Error, connection, connections

from integrations.ops.single_flight import SingleFlight

PATIENCE_S: Final = 0.8
# An answer holds this long, so that a busy page does not ask at every turn.
FRESH_S: Final = 0.5


class _Probe:
    """The question to the database, and when it was last answered well."""

    def __init__(self) -> None:
        self._question = SingleFlight(_asks_well, name="database-probe")
        self._answered_at_s = 0.0

    def answers(self) -> bool:
        if time.monotonic() - self._answered_at_s < FRESH_S:
            return True
        try:
            is_well = self._question.ask(patience_s=PATIENCE_S)
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
