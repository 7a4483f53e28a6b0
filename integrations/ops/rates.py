"""What happened in the last minute, hour and day, from the buckets that every process adds to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from integrations.constants import MessageOutcome
from integrations.ops.figures import Rate
from integrations.telemetry.counters import DAY, HOUR, MINUTE, WINDOWS, Window, read_window

if TYPE_CHECKING:
    import redis

# Those that a thread was busy with, to their end.
RAN: Final = (MessageOutcome.DONE, MessageOutcome.RETRIED, MessageOutcome.DEAD)
FAILED: Final = (MessageOutcome.RETRIED, MessageOutcome.DEAD, MessageOutcome.LOST)


@dataclass(frozen=True)
class Past:
    """The buckets of all windows, as read at one instant."""

    buckets: dict[Window, list[dict[str, float]]]

    def total(self, name: str, window: Window) -> float:
        """Return how much of a series there was in a window."""
        return sum(bucket.get(name, 0.0) for bucket in self.buckets[window])

    def a_minute(self, name: str) -> float:
        """Return how much of a series there is a minute, by the last one."""
        return self.total(name, MINUTE)

    def points(self, name: str, window: Window) -> tuple[int, ...]:
        return tuple(round(bucket.get(name, 0.0)) for bucket in self.buckets[window])

    def beginning_with(self, prefix: str, window: Window) -> dict[str, float]:
        """Return the totals of all series of a prefix, by what follows it."""
        found: dict[str, float] = {}
        for bucket in self.buckets[window]:
            for name, amount in bucket.items():
                if name.startswith(prefix):
                    rest = name.removeprefix(prefix)
                    found[rest] = found.get(rest, 0.0) + amount
        return found


def read_past(client: redis.Redis) -> Past:
    """Read all windows. Raises redis.RedisError."""
    return Past({window: read_window(client, window) for window in WINDOWS})


def rates_of_queue(past: Past, queue: str) -> tuple[Rate, ...]:
    """Return what ended on a queue: in the last minute, hour and day."""
    return tuple(_rate(past, queue, window) for window in (MINUTE, HOUR, DAY))


def arrived_count(past: Past, queue: str) -> int:
    """Return how many messages were sent to a queue in the last minute."""
    return round(past.total(f"queue:{queue}:sent", MINUTE))


def mean_ran_s(past: Past, queue: str) -> float | None:
    """Return how long a message of a queue keeps a thread, in seconds.

    Of the shortest window in which any ended; None when none ended within a day.
    """
    for window in (MINUTE, HOUR, DAY):
        ran_s = past.total(f"queue:{queue}:seconds", window)
        ended_count = sum(past.total(f"queue:{queue}:{one.value}", window) for one in RAN)
        if ended_count:
            return ran_s / ended_count
    return None


def _rate(past: Past, queue: str, window: Window) -> Rate:
    names = {outcome: f"queue:{queue}:{outcome.value}" for outcome in MessageOutcome}
    failed = sum(past.total(names[outcome], window) for outcome in FAILED)
    everything = sum(past.total(name, window) for name in names.values())
    by_bucket = zip(*(past.points(name, window) for name in names.values()), strict=True)
    return Rate(
        window=window.name,
        done_count=round(everything - failed),
        failed_count=round(failed),
        points=tuple(map(sum, by_bucket)),
    )
