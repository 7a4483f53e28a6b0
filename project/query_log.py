"""No log of queries that nobody asked for.

With DEBUG on Django keeps each connection's last 9,000 statements until the next request begins. In
a worker, the ticker and the readers of streams none ever does: two workers under `make run` grew by
11 MB for each thousand requests and deliveries (tests/drills/test_soak.py), and no page shows them.
"""

from __future__ import annotations


class WithoutQueryLog:
    """For a backend: keep statements only while somebody counts them, as tests do."""

    force_debug_cursor: bool

    @property
    def queries_logged(self) -> bool:
        return self.force_debug_cursor
