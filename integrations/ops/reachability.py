"""Whether the database answers, told within a second however long its driver would wait.

One probe at a time, in a thread of its own: a pool waits ten seconds for a server that is away, and
callers must not pile up behind it. What is read after a good answer waits `briefly`: the server may
have gone since.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from django.db import Error, connection, connections

from integrations.ops.single_flight import SingleFlight
from project.postgresql.patience import connects_within

if TYPE_CHECKING:
    from contextlib import _GeneratorContextManager

PATIENCE_S: Final = 0.8
# An answer holds this long, so that a busy page does not ask at every turn.
FRESH_S: Final = 0.5
# For a connection of the pool: with a probe after it still within the two seconds of a page.
CONNECTS_WITHIN_S: Final = 0.6


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


def briefly() -> _GeneratorContextManager[None]:
    """Wait for a connection no longer than a page that says what is away can; also a decorator."""
    return connects_within(CONNECTS_WITHIN_S)


def is_database_away() -> bool:
    """Say whether the database can't be used now. Takes a second at the most."""
    return not _probe.answers()
