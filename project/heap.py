"""Have all threads of a web process take memory from one heap of the C library.

Each request has a thread of its own under ASGI, and glibc gives threads up to eight heaps a core.
What is kept of a page lies in the heap of whoever rendered it, and keeps around it what the page
needed for a moment. Python's lock has one thread at a time allocate: twelve that render rows take
as much CPU with one heap as with sixteen.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

# Of malloc.h; https://man7.org/linux/man-pages/man3/mallopt.3.html
M_ARENA_MAX: Final = -8


def share_one_heap() -> None:
    """Do so where the C library is glibc, unless its own variable says how many there may be."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and "MALLOC_ARENA_MAX" not in os.environ:
        mallopt(M_ARENA_MAX, 1)
