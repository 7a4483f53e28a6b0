"""A question that may hang, asked by one thread at a time, whose askers wait a bounded time."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Askers that come while the question is under way wait for the same answer."""

    def __init__(self, question: Callable[[], T], *, name: str) -> None:
        self._question = question
        self._lock = Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._under_way: Future[T] | None = None

    def ask(self, *, patience_s: float) -> T:
        """Return the answer. Raises TimeoutError, and what the question raises."""
        with self._lock:
            if self._under_way is None or self._under_way.done():
                self._under_way = self._thread.submit(self._question)
            under_way = self._under_way
        return under_way.result(timeout=patience_s)
