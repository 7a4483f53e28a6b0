"""No log of queries that nobody asked for.

With DEBUG on Django keeps each connection's last 9,000 statements until the next request begins. In
a worker, the ticker and the readers of streams none ever does, and no page shows them. A worker
that did 256 syncs of 150 people grew by 7.1 MB with that log; without it by 2.1 MB, which ended.
"""

from __future__ import annotations


class WithoutQueryLog:
    """For a backend: keep statements only while somebody counts them, as tests do."""

    force_debug_cursor: bool

    @property
    def queries_logged(self) -> bool:
        return self.force_debug_cursor
