"""How deep the queues are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from integrations.ops.figures import QueueDepth
    from integrations.telemetry.processes import ProcessReport


@dataclass(frozen=True)
class StuckAcks:
    """Messages that a process fetched and that nobody will ever work on as things stand."""

    process_id: str
    # host:pid; empty when the process is not in the register any more.
    process_name: str
    queue: str
    count: int
    oldest_age_s: float
    # The process is gone: Dramatiq gives them back a minute after its last word. Otherwise only a
    # restart of that worker does.
    is_gone: bool


def read_depths() -> list[QueueDepth]:
    """Return all queues. Raises redis.RedisError."""
    raise NotImplementedError


def stuck_acks(processes: Iterable[ProcessReport]) -> list[StuckAcks]:
    """Return what hangs with which process. Raises redis.RedisError."""
    raise NotImplementedError
