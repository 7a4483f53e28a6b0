"""What a process counts and times, kept in memory and added to everybody's in Redis at each beat.

Counting costs no round trip, and an outage of Redis loses nothing: the sums wait. Metrics
(`ops/metrics.py`) read the totals, right across all processes.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from integrations.telemetry.redis_clients import key

if TYPE_CHECKING:
    from collections.abc import Mapping

    import redis
    from redis.client import Pipeline

# Upper ends of a histogram's buckets, in seconds; the last one has none.
BUCKETS_S: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip
LAST_BUCKET: Final = "+Inf"


@dataclass(frozen=True)
class Window:
    """A stretch of the past that is kept in buckets: so many, so long each."""

    name: str
    bucket_s: int
    bucket_count: int

    @property
    def length_s(self) -> int:
        return self.bucket_s * self.bucket_count

    def bucket_of(self, at_s: float) -> int:
        return int(at_s // self.bucket_s)


MINUTE: Final = Window("minute", 5, 12)
HOUR: Final = Window("hour", 120, 30)
DAY: Final = Window("day", 1800, 48)
WINDOWS: Final = (MINUTE, HOUR, DAY)


@dataclass(frozen=True)
class Series:
    """One figure: a name and its labels."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()

    def encoded(self) -> str:
        return json.dumps([self.name, self.labels])

    @classmethod
    def decoded(cls, text: str | bytes) -> Series:
        name, labels = json.loads(text)
        return cls(name, tuple((str(k), str(v)) for k, v in labels))


@dataclass
class Sums:
    """What was counted since the last beat."""

    totals: dict[Series, float] = field(default_factory=lambda: defaultdict(float))
    # (window, bucket, name of the series) to amount.
    over_time: dict[tuple[Window, int, str], float] = field(
        default_factory=lambda: defaultdict(float)
    )
    # (hash, field) to its latest value, as JSON.
    latest: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, other: Sums) -> None:
        for series, amount in other.totals.items():
            self.totals[series] += amount
        for place, amount in other.over_time.items():
            self.over_time[place] += amount
        self.latest = {**other.latest, **self.latest}


class Counters:
    """The counters of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums = Sums()

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """Add to a total that only grows."""
        series = Series(name, tuple(sorted(labels.items())))
        with self._lock:
            self._sums.totals[series] += amount

    def observe(self, name: str, seconds: float, /, **labels: str) -> None:
        """Add a duration to a histogram: `<name>_bucket`, `<name>_sum`, `<name>_count`."""
        self.observe_many(name, seconds, 1, **labels)

    def observe_many(self, name: str, seconds: float, times: int, /, **labels: str) -> None:
        """Add a duration that was measured so many times."""
        bucket = next((str(end) for end in BUCKETS_S if seconds <= end), LAST_BUCKET)
        with self._lock:
            for suffix, amount, more in (
                ("_bucket", float(times), {"le": bucket}),
                ("_sum", seconds * times, {}),
                ("_count", float(times), {}),
            ):
                series = Series(name + suffix, tuple(sorted({**labels, **more}.items())))
                self._sums.totals[series] += amount

    def count_over_time(self, name: str, amount: float = 1) -> None:
        """Add to a figure that is shown by the last minute, hour and day."""
        now_s = time.time()
        with self._lock:
            for window in WINDOWS:
                self._sums.over_time[window, window.bucket_of(now_s), name] += amount

    def keep_latest(self, hash_name: str, field_name: str, value: Mapping[str, Any]) -> None:
        """Keep the latest value of something, such as a rate budget."""
        with self._lock:
            self._sums.latest[hash_name, field_name] = json.dumps(value)

    def take(self) -> Sums:
        """Return what was counted since the last time, for a beat to write."""
        with self._lock:
            sums, self._sums = self._sums, Sums()
        return sums

    def give_back(self, sums: Sums) -> None:
        """Keep what could not be written."""
        with self._lock:
            self._sums.add(sums)


counters: Final = Counters()


def write(sums: Sums, pipeline: Pipeline) -> None:
    """Put the writing of these sums into a pipeline."""
    for series, amount in sums.totals.items():
        pipeline.hincrbyfloat(key("totals"), series.encoded(), amount)
    for (window, bucket, name), amount in sums.over_time.items():
        place = key(f"{window.name}:{bucket}")
        pipeline.hincrbyfloat(place, name, amount)
        pipeline.expire(place, window.length_s + 2 * window.bucket_s)
    for (hash_name, field_name), value in sums.latest.items():
        pipeline.hset(key(hash_name), field_name, value)


def read_totals(client: redis.Redis) -> dict[Series, float]:
    """Return everybody's totals. Raises redis.RedisError."""
    found: Any = client.hgetall(key("totals"))
    return {Series.decoded(name): float(amount) for name, amount in found.items()}


def read_window(client: redis.Redis, window: Window) -> list[dict[str, float]]:
    """Return a window's buckets, the oldest first and the present one last: name to amount.

    Raises redis.RedisError.
    """
    last = window.bucket_of(time.time())
    with client.pipeline(transaction=False) as pipeline:
        for bucket in range(last - window.bucket_count + 1, last + 1):
            pipeline.hgetall(key(f"{window.name}:{bucket}"))
        found = pipeline.execute()
    return [{name.decode(): float(amount) for name, amount in one.items()} for one in found]


def read_latest(client: redis.Redis, hash_name: str) -> dict[str, dict[str, Any]]:
    """Return the latest values of a hash. Raises redis.RedisError."""
    found: Any = client.hgetall(key(hash_name))
    return {name.decode(): json.loads(value) for name, value in found.items()}
