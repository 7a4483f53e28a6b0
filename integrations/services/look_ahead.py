"""Have the next page fetched while this one is written, one page ahead and no further.

The fetching thread goes on by itself when somebody waits for its page: had it to be told, it would
first wait for the interpreter's lock behind the writing of the page it just delivered.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from integrations.services.github_graphql_sync import FetchedPage, Place


# What building and sending a request takes; it would take several times as long beside the writing
# of a page, and GitHub would be asked that much later.
HEAD_START_S: Final = 0.003


class LookAhead:
    """Pages from a place on, fetched in a thread of their own. A context manager.

    `may_go_on` is asked before each page but the first; once it says no, the pages end early and
    `ended_early` is true.
    """

    def __init__(
        self,
        read: Callable[[Place], FetchedPage],
        place: Place,
        *,
        may_go_on: Callable[[], bool],
    ) -> None:
        self._read = read
        self._may_go_on = may_go_on
        self._changed = threading.Condition()
        self._page: FetchedPage | None = None
        self._is_awaited = False
        self._is_closed = False
        self.ended_early = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="look-ahead")
        self._fetching = self._thread.submit(self._fetch, place)
        self._fetching.add_done_callback(self._wake)

    def __enter__(self) -> LookAhead:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.shutdown()

    def next_page(self, *, every_s: float, meanwhile: Callable[[], Any]) -> FetchedPage | None:
        """Return the next page, or None at the end; call `meanwhile` every so often until then.

        Raises what reading the page raised.
        """
        with self._changed:
            self._is_awaited = True
            while self._page is None and not self._fetching.done():
                if not self._changed.wait(every_s):
                    meanwhile()
            self._is_awaited = False
            page, self._page = self._page, None
            self._changed.notify_all()
        if page is None:
            self._fetching.result()
        elif not self._fetching.done():
            time.sleep(HEAD_START_S)
        return page

    def _wake(self, fetching: Future[None]) -> None:
        with self._changed:
            self._changed.notify_all()

    def _fetch(self, place: Place | None) -> None:
        while place is not None:
            page = self._read(place)
            if not self._hand_over(page):
                return
            place = page.next_place
            if place is not None and not self._may_go_on():
                self.ended_early = True
                return

    def _hand_over(self, page: FetchedPage) -> bool:
        """Offer a page, and wait until it is taken unless somebody stands there already."""
        with self._changed:
            # Whoever stood there for the last page may not have come to take it yet.
            self._changed.wait_for(lambda: self._page is None or self._is_closed)
            self._page = page
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._page is None or self._is_awaited or self._is_closed
            )
            return not self._is_closed
