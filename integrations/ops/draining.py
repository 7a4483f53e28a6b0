"""Pause queues and wait until workers hold nothing of them: before a deploy, or a repair."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from integrations.broker import BROKER_FAULTS
from integrations.ops import pausing, queues

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LOOK_EVERY_S: Final = 0.5
# A worker hears of a pause at its next beat, and what it fetched by then shows at the one after it.
QUIET_FOR_S: Final = 3.0


@dataclass(frozen=True)
class Drain:
    """How far it is."""

    # Queue to how many messages workers hold.
    in_flight: dict[str, int]
    is_over: bool

    @property
    def count(self) -> int:
        return sum(self.in_flight.values())


def drain(names: Sequence[str], *, timeout_s: float | None, tell: Callable[[Drain], None]) -> Drain:
    """Pause these queues and wait until nothing of them is in flight, or the time is over.

    Tells of each look. Raises ValueError for an unknown queue. A broker that is away is waited for.
    """
    for name in names:
        pausing.pause(name, None)
    begun_s = time.monotonic()
    quiet_since_s: float | None = None
    while True:
        in_flight = _in_flight(names)
        now_s = time.monotonic()
        is_quiet = in_flight is not None and not any(in_flight.values())
        quiet_since_s = (quiet_since_s or now_s) if is_quiet else None
        is_over = quiet_since_s is not None and now_s - quiet_since_s >= QUIET_FOR_S
        seen = Drain(in_flight or {}, is_over=is_over)
        tell(seen)
        if is_over or (timeout_s is not None and now_s - begun_s > timeout_s):
            return seen
        time.sleep(LOOK_EVERY_S)


def _in_flight(names: Sequence[str]) -> dict[str, int] | None:
    try:
        return {d.name: d.in_flight_count for d in queues.read_depths() if d.name in names}
    except BROKER_FAULTS:
        return None
