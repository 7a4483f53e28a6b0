"""A day's mixed work in minutes: what processes, Redis and tables hold must not grow with it."""

from __future__ import annotations

import os
import time
from itertools import groupby
from operator import attrgetter
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
from tests.drills.harness import IS_FULL, OVER_WITHIN_S, marks
from tests.drills.leaks import growths
from tests.drills.mixed_work import MixedWork
from tests.drills.records import Record
from tests.kills import Site

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.drills.harness import Drill
    from tests.drills.leaks import Growth, Reading

PROCESSES: Final = ("web", "worker", "worker-2", "scheduler")
SOAK_S: Final = float(os.environ.get("SOAK_S") or (20 * 60 if IS_FULL else 1))
SITE_COUNT: Final = 4 if IS_FULL else 2
SIZE: Final = 150
# Pools, caches and threads are made when they are first needed.
WARM_UP_SHARE: Final = 0.25
READINGS_AT_LEAST: Final = 3
# What each thousand units of work (a request, a delivery, a stream) may leave behind. Memory warms
# up for minutes, thread by thread: a web process grew by 2.0 MB a thousand in its first
# three minutes of mixed work, and by nothing in 500 pages once one thread had served 400. Three
# rounds of the short form are all warm-up: it finds what every request or delivery leaves, no less.
FULL_BOUNDS: Final = {
    MEMORY: 2048, FILES: 2, THREADS: 1, CONNECTIONS: 2, REDIS_KEYS: 10, REDIS_MEMORY: 64, ROWS: 1,
}  # fmt: skip
SHORT_BOUNDS: Final = {
    MEMORY: 128 * 1024, FILES: 100, THREADS: 100, CONNECTIONS: 100, REDIS_KEYS: 300,
    REDIS_MEMORY: 4096, ROWS: 80,
}  # fmt: skip
BOUNDS: Final = FULL_BOUNDS if IS_FULL else SHORT_BOUNDS

pytestmark = marks(*PROCESSES)


@pytest.mark.timeout(SOAK_S + 180)
def test_a_soak_leaves_nothing_behind(drill: Drill) -> None:
    sites = [Site.make(drill.sandbox, size=SIZE, latency_ms=10) for _ in range(SITE_COUNT)]
    work = MixedWork(drill, sites, Random(1))
    readings: list[Reading] = []
    warm_up_count = 1
    with Footprint([drill.stack[name] for name in PROCESSES]) as footprint:
        ends_at_s = time.monotonic() + SOAK_S
        while len(readings) < warm_up_count + READINGS_AT_LEAST or time.monotonic() < ends_at_s:
            work.round()
            work.forget_history()
            readings.append(footprint.quiet_reading(work.unit_count))
            if ends_at_s - time.monotonic() > SOAK_S * (1 - WARM_UP_SHARE):
                warm_up_count = len(readings)
    found = growths(readings[warm_up_count:], BOUNDS)
    lost = work.untrue_rosters()
    settled_s = round(max(work.settled_s), 1)
    total = Record(
        drill=f"soak of {SOAK_S:g} s" if IS_FULL else "soak, short",
        watched=f"{work.unit_count} units",
        over_after_s=settled_s,
        bar_s=OVER_WITHIN_S,
        lost=len(lost),
        doubled=work.doubled_count,
        figures={"readings": len(readings), "warm-up": warm_up_count} | work.counts,
    )
    for owner, kind in [(name, MEMORY) for name in PROCESSES]:
        print("SERIES", owner, kind, *(round(one.figures[owner, kind]) for one in readings))
    drill.record(total, *rows_of(found, footprint.peaks))


def rows_of(found: Iterable[Growth], peaks: dict[tuple[str, str], float]) -> list[Record]:
    """Return a row of the table for each owner: first and last reading of each kind, and growth."""
    rows = []
    for owner, growths_of_owner in groupby(found, attrgetter("owner")):
        listed = list(growths_of_owner)
        if {one.kind for one in listed} == {ROWS} and not any(one.is_leak for one in listed):
            # A line for each table that stayed as it was says nothing.
            continue
        peak = peaks.get((owner, MEMORY))
        rows.append(
            Record(
                drill=f"soak: {owner}",
                watched=f"{len(listed)} kinds",
                over_after_s=0,
                bar_s=0,
                leaks=sum(one.is_leak for one in listed),
                figures={one.kind: one.cell() for one in listed}
                | ({} if peak is None else {"KiB at most": round(peak)}),
            )
        )
    return rows
