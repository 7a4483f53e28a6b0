"""How long the present caller waits for a connection of PostgreSQL's pool. Imports no driver."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# None: as long as the pool itself says (settings.DATABASES).
patience_s: Final[ContextVar[float | None]] = ContextVar("patience_s", default=None)


@contextmanager
def connects_within(seconds: float) -> Iterator[None]:
    """Wait so long for each connection in this block; then django.db.OperationalError comes."""
    token = patience_s.set(seconds)
    try:
        yield
    finally:
        patience_s.reset(token)
