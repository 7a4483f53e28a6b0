"""A question that may hang, asked by one thread at a time, whose askers wait a bounded time."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# An answer that is there by now is taken, however long it took.
SHORTEST_S: Final = 0.01


class SingleFlight(Generic[T]):
    """Askers that come while the question is under way wait for the same answer.

    Whoever finds one that has waited long enough already waits no longer.
    """

    def __init__(self, question: Callable[[], T], *, name: str) -> None:
        self._question = question
        self._lock = Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._under_way: Future[T] | None = None
        self._asked_at_s = 0.0

    def ask(self, *, patience_s: float) -> T:
        """Return the answer. Raises TimeoutError, and what the question raises."""
        now_s = time.monotonic()
        with self._lock:
            if self._under_way is None or self._under_way.done():
                self._under_way = self._thread.submit(self._question)
                self._asked_at_s = now_s
            under_way, waited_s = self._under_way, now_s - self._asked_at_s
        return under_way.result(timeout=max(SHORTEST_S, patience_s - waited_s))
