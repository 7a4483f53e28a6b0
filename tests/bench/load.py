"""Everything at once: pages, clicks, streams and webhooks at a stated rate, and what gives way.

As docs/deploy/systemd starts the product on one machine: two web processes, a worker, a ticker. The
nginx before them isn't run; a request goes to the web process that has the fewest, as it would. The
rate rises step by step until people would notice; then it is told which process's core, or what
else, was full. The generator and the stand-in GitHub share the machine's cores with the product.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.db import connection

from tests.bench.crowd_control import CrowdControl
from tests.bench.load_costs import Costs, Meter
from tests.bench.load_site import LARGE_SIZE, SMALL_COUNT, SMALL_SIZE, Site
from tests.bench.table import Row, Samples, percentile
from tests.processes import REPOSITORY
from tests.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.load_generator import Arrival
    from tests.bench.rows import Bench

STREAMS: Final = 200
STATED_RATE: Final = 20
STATED_S: Final = 30
BAR_MS: Final = 150
# Where people notice: https://www.nngroup.com/articles/response-times-3-important-limits/ has it
# at 100 ms for the whole way; ours is the server's part.
NOTICED_MS: Final = 200
STEP_S: Final = 12
# Each a half more than the one before.
STEPS: Final = (30, 45, 68, 100)
WARM_S: Final = 5


@dataclass(frozen=True)
class Step:
    """What came of one rate."""

    rate: float
    latencies_ms: dict[str, list[float]]
    errors: dict[str, int]
    error_count: int
    late_ms: float
    costs: Costs

    @property
    def all_ms(self) -> list[float]:
        return [one for many in self.latencies_ms.values() for one in many]

    @property
    def p95_ms(self) -> float:
        return percentile(self.all_ms, 95)

    @property
    def gives_way(self) -> bool:
        return bool(self.error_count) or self.p95_ms > NOTICED_MS

    @property
    def full(self) -> str:
        """Name what was full."""
        return self.costs.full()


def load(bench: Bench) -> list[Row]:
    """Hold the stated rate, then raise it until something gives way."""
    bench.stack.start(["worker", "scheduler"])
    site = Site(bench)
    with _second_web(bench) as second, CrowdControl() as crowd:
        ports = [bench.stack.port, second.port]
        streams = site.streams(STREAMS)
        for number, port in enumerate(ports):
            wanted = streams[number :: len(ports)]
            opened = crowd.ask("open", port=port, requests=wanted, at_once=20, timeout_s=60)
            assert opened["opened"] == len(wanted), opened
        _step(ports, crowd, site, rate=STATED_RATE, seconds=WARM_S)
        stated = _step(ports, crowd, site, rate=STATED_RATE, seconds=STATED_S)
        held, last = stated, stated
        for rate in STEPS:
            if last.gives_way:
                break
            held, last = last, _step(ports, crowd, site, rate=rate, seconds=STEP_S)
        still_open = crowd.ask("stay", seconds=0.1)["open"]
        alone = _step(ports[:1], crowd, site, rate=STATED_RATE, seconds=STEP_S)
    return [
        *_stated_rows(stated, still_open),
        *_kind_rows(stated),
        _limit_row(held, last),
        _alone_row(alone),
    ]


@contextmanager
def _second_web(bench: Bench) -> Iterator[Stack]:
    """Start another web process beside the bench's, on the same rows."""
    with tempfile.TemporaryDirectory(prefix="rollcall-") as log_dir:
        stack = Stack(log_dir=Path(log_dir), valkey=bench.stack.valkey)
        try:
            stack.start(["web"])
            yield stack
        finally:
            stack.stop()


def _step(
    ports: list[int], crowd: CrowdControl, site: Site, *, rate: float, seconds: float
) -> Step:
    """Send so many requests a second for so long, while the streams are read."""
    arrivals = site.timetable(rate, seconds)
    crowd.tell("stay", seconds=seconds)
    meter = Meter()
    outcome = _generate(ports, arrivals, seconds=seconds)
    costs = meter.lap(ended={"generator": outcome["cpu_s"]})
    crowd.answer()
    step = Step(
        rate=rate,
        latencies_ms=outcome["latencies_ms"],
        errors=outcome["errors"],
        error_count=outcome["error_count"],
        late_ms=percentile(outcome["late_ms"], 95),
        costs=costs,
    )
    print(
        f"  {rate}/s: p95 {step.p95_ms:.0f} ms, {step.errors or 'no error'}, "
        f"generator late by {step.late_ms:.1f} ms (p95); {costs}; full: {step.full}",
        file=sys.stderr,
        flush=True,
    )
    return step


def _generate(ports: list[int], arrivals: list[Arrival], *, seconds: float) -> dict[str, Any]:
    """Have them sent by a process that does nothing else."""
    timetable = {
        "ports": ports,
        "seconds": seconds,
        "arrivals": [[one.due_s, one.kind, one.request, one.status] for one in arrivals],
    }
    generator = subprocess.run(
        [sys.executable, "-m", "tests.bench.load_generator"],
        cwd=REPOSITORY,
        input=json.dumps(timetable),
        stdout=subprocess.PIPE,
        text=True,
        timeout=seconds + 60,
        check=True,
    )
    outcome: dict[str, Any] = json.loads(generator.stdout)
    return outcome


def _stated_rows(step: Step, still_open: int) -> list[Row]:
    engine = "PostgreSQL" if connection.vendor == "postgresql" else "SQLite"
    return [
        Row(
            f"mixed traffic, {step.rate} requests a second for {STATED_S} s, {STREAMS} streams, "
            f"{SMALL_COUNT} teams of {SMALL_SIZE} people and one of {LARGE_SIZE:,}, {engine}, "
            "two web processes",
            f"{_words(step.all_ms)}; {step.error_count} errors, {still_open} streams still open",
            f"p95 {BAR_MS} ms, 0 errors, {STREAMS} streams",
            "-",
            step.p95_ms <= BAR_MS and not step.error_count and still_open == STREAMS,
            Samples("ms", BAR_MS, step.all_ms),
        ),
        Row(
            f"  its CPU in {step.costs.wall_s:.0f} s; others' work on the machine",
            f"{step.costs}; others {step.costs.others:.1f} cores",
            "-",
            "-",
            True,
        ),
    ]


def _kind_rows(step: Step) -> list[Row]:
    errors = {
        kind: sum(count for why, count in step.errors.items() if why.startswith(f"{kind}: "))
        for kind in step.latencies_ms
    }
    return [
        Row(
            f"  of these: {kind} ({len(took_ms)})",
            f"{_words(took_ms)}; {errors[kind]} errors",
            "0 errors",
            "-",
            not errors[kind],
        )
        for kind, took_ms in sorted(step.latencies_ms.items())
    ]


def _limit_row(held: Step, last: Step) -> Row:
    """Tell the highest rate that held, and what was full at the one that did not."""
    if last.gives_way:
        why = f"{last.error_count} errors" if last.error_count else f"p95 {last.p95_ms:,.0f} ms"
        gave = f"at {last.rate} a second ({why}) full: {last.full}"
    else:
        held, gave = last, f"nothing gave way; the most is taken by: {last.full}"
    return Row(
        f"the rate at which people notice (p95 over {NOTICED_MS} ms, or an error)",
        f"{held.rate} a second hold (p95 {held.p95_ms:.0f} ms); {gave}",
        f"{STATED_RATE} a second hold",
        "-",
        not held.gives_way,
    )


def _alone_row(step: Step) -> Row:
    """Tell what one web process holds: it has seen the rows of the tables by then."""
    return Row(
        f"  afterwards {step.rate} a second for {STEP_S} s, all of them to one of the two",
        f"{_words(step.all_ms)}; {step.error_count} errors; web {step.costs.by_name['web']:.1f} s "
        f"of CPU in {step.costs.wall_s:.0f} s",
        "0 errors",
        "-",
        not step.error_count,
    )


def _words(took_ms: list[float]) -> str:
    p50, p95, p99 = (percentile(took_ms, percent) for percent in (50, 95, 99))
    return f"p50 {p50:.0f}, p95 {p95:.0f}, p99 {p99:.0f} ms"
