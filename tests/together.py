"""Do the same in many threads at one moment."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Callable


def at_once(count: int, act: Callable[[], object]) -> None:
    """Call it in so many threads, none of which begins before the last one is there; wait for all.

    Each thread's database connection is closed after it.
    """
    gate = threading.Barrier(count)

    def run() -> None:
        gate.wait()
        try:
            act()
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
