"""A day's mixed work in minutes: what processes, Redis and tables hold must not grow with it."""

from __future__ import annotations

import os
import time
from random import Random
from typing import TYPE_CHECKING, Final

import pytest

from tests.drills.footprint import (
    CONNECTIONS,
    FILES,
    MEMORY,
    REDIS_KEYS,
    REDIS_MEMORY,
    ROWS,
    THREADS,
    Footprint,
)
from tests.drills.harness import IS_FULL, marks
from tests.drills.leaks import growths
from tests.drills.mixed_work import MixedWork
from tests.kills import Site

if TYPE_CHECKING:
    from tests.drills.harness import Drill
    from tests.drills.leaks import Reading

PROCESSES: Final = ("web", "worker", "worker-2", "scheduler")
SOAK_S: Final = float(os.environ.get("SOAK_S") or (20 * 60 if IS_FULL else 15))
SITE_COUNT: Final = 4 if IS_FULL else 2
SIZE: Final = 150
# Pools, caches and threads are made when they are first needed.
WARM_UP_SHARE: Final = 0.2
READINGS_AT_LEAST: Final = 3
BOUNDS: Final = {
    MEMORY: 1, FILES: 1, THREADS: 1, CONNECTIONS: 1,
    REDIS_KEYS: 1, REDIS_MEMORY: 1, ROWS: 1,
}  # fmt: skip

pytestmark = marks(*PROCESSES, is_cold=IS_FULL)


@pytest.mark.timeout(SOAK_S + 180)
def test_a_soak_leaves_nothing_behind(drill: Drill) -> None:
    random = Random(1)
    sites = [Site.make(drill.sandbox, size=SIZE, latency_ms=10) for _ in range(SITE_COUNT)]
    work = MixedWork(drill, sites, random)
    readings: list[Reading] = []
    warm_up = 1
    with Footprint([drill.stack[name] for name in PROCESSES]) as footprint:
        begun_s = time.monotonic()
        while time.monotonic() - begun_s < SOAK_S or len(readings) < warm_up + READINGS_AT_LEAST:
            at = time.monotonic()
            work.round()
            t1 = time.monotonic()
            work.forget_history()
            t2 = time.monotonic()
            readings.append(footprint.quiet_reading(work.unit_count))
            print(
                "ROUND",
                work.unit_count,
                round(t1 - at, 2),
                round(t2 - t1, 2),
                round(time.monotonic() - t2, 2),
            )
            if time.monotonic() - begun_s < SOAK_S * WARM_UP_SHARE:
                warm_up = len(readings)
    for g in growths(readings[warm_up:], BOUNDS):
        series = [round(r.figures[g.owner, g.kind]) for r in readings]
        print(g, "PEAK", footprint.peaks.get((g.owner, g.kind)), series)
