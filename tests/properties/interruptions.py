"""What can happen to a worker at any statement: sudden death, or a stall that outlasts its lease.

Works from outside, on Django's own hook around each statement, so that none of our functions is
replaced. Statements are counted, not seconds, so that a failure can be repeated.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNDOING = ("ROLLBACK", "RELEASE")


class Killed(BaseException):
    """SIGKILL, as near as a thread comes to it: no `except` of ours catches it."""


class _Countdown:
    """Counts statements, and at the last one does what it was made for, once."""

    def __init__(self, count: int, strike: Callable[[], None], *, between: bool = False) -> None:
        self._left = count
        self._strike = strike
        # Only between two transactions: with locks held, nobody else could get on.
        self._between = between
        self.struck = False
        self.written_after: list[str] = []

    def __call__(
        self,
        execute: Callable[..., Any],
        sql: str,
        params: Any,
        many: bool,
        context: dict[str, Any],
    ) -> Any:
        if self.struck:
            self.written_after.append(sql)
        elif not self._between or not _in_transaction():
            self._left -= 1
            if self._left <= 0:
                self.struck = True
                self._strike()
        return execute(sql, params, many, context)


def _in_transaction() -> bool:
    """Ask the database's own client: Django's flag is up before the first statement is sent."""
    raw: Any = connection.connection
    if connection.vendor == "sqlite":
        return bool(raw.in_transaction)
    return int(raw.info.transaction_status) != 0


@contextmanager
def dies_at_statement(number: int) -> Iterator[None]:
    """Kill the worker in the block at its n-th statement; it may be done before that.

    What it holds stays held, as its lease; what it had not committed is undone, as the database
    does when a client vanishes.
    """

    def strike() -> None:
        raise Killed

    countdown = _Countdown(number, strike)
    try:
        with connection.execute_wrapper(countdown):
            yield
    except Killed:
        pass
    rest = [sql for sql in countdown.written_after if not sql.startswith(UNDOING)]
    assert not rest, f"a dead worker went on: {rest}"
    assert not connection.in_atomic_block


@contextmanager
def stalls_at_statement(number: int, meanwhile: Callable[[], None]) -> Iterator[None]:
    """Hold the worker in the block up between two transactions, while others get on with it."""
    failures: list[BaseException] = []

    def elsewhere() -> None:
        try:
            meanwhile()
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    def strike() -> None:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    with connection.execute_wrapper(_Countdown(number, strike, between=True)):
        yield
    if failures:
        raise failures[0]
