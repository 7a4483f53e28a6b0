"""One figure, its bar and the naive way beside it; and how they are printed and kept."""

from __future__ import annotations

import json
import math
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Sequence

CPU_INFO: Final = Path("/proc/cpuinfo")
VALUES_MAX: Final = 200
LOOP_COUNT: Final = 5_000_000
HEADS: Final = ("what", "measured", "bar", "the naive way, same run")


@dataclass(frozen=True)
class Samples:
    """The numbers behind a row, all in one unit.

    `bar` is what the 95th percentile is held to where there are many, or the one figure; less is
    better, but for rates and ratios, whose `bar` is the least (`is_floor`).
    """

    unit: str
    bar: float
    ours: Sequence[float]
    naive: Sequence[float] = ()
    is_floor: bool = False

    def as_json(self) -> dict[str, Any]:
        sides = {"ours": self.ours, "naive": self.naive}
        return {"unit": self.unit, "bar": self.bar, "is_floor": self.is_floor} | {
            side: summary(values) for side, values in sides.items() if values
        }


@dataclass(frozen=True)
class Row:
    """A measured figure. `holds` is whether it is within its bar."""

    name: str
    figure: str
    bar: str
    naive: str
    holds: bool
    samples: Samples | None = None

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Row:
        """Make the row anew that a process of its own wrote with `asdict`."""
        samples = found.pop("samples", None)
        return cls(**found, samples=Samples(**samples) if samples else None)

    def as_json(self) -> dict[str, Any]:
        kept = {key: value for key, value in asdict(self).items() if key != "samples"}
        return kept | ({"samples": self.samples.as_json()} if self.samples else {})


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Return count, median, 95th percentile and the ends; a few values as they are, of many each
    hundredth.
    """
    return {
        "count": len(values),
        "median": round(percentile(values, 50), 4),
        "p95": round(percentile(values, 95), 4),
        "min": round(min(values), 4),
        "max": round(max(values), 4),
        "values": [round(value, 4) for value in _thinned(values)],
    }


def _thinned(values: Sequence[float]) -> Sequence[float]:
    if len(values) <= VALUES_MAX:
        return values
    return [percentile(values, percent) for percent in range(101)]


def machine() -> str:
    """Name the machine, how busy it was when asked, and how fast: both change from hour to hour."""
    memory_gib = psutil.virtual_memory().total / 2**30
    return (
        f"{platform.system()} {platform.machine()}, {_processor()}{os.cpu_count()} cores, "
        f"{memory_gib:.0f} GiB, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}, "
        f"{LOOP_COUNT:,} squares in {_loop_s():.2f} s"
    )


def _loop_s() -> float:
    """Return how long Python's own work takes here, in seconds: what the other times are worth."""
    begun_s = time.perf_counter()
    total = 0
    for number in range(LOOP_COUNT):
        total += number * number
    return time.perf_counter() - begun_s


def _processor() -> str:
    text = CPU_INFO.read_text() if CPU_INFO.exists() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return f"{names[0]}, " if names else ""


def as_text(rows: Sequence[Row]) -> str:
    """Set the rows in columns."""
    heads = ("", *HEADS)
    lines = [
        ("ok" if row.holds else "MISSED", row.name, row.figure, row.bar, row.naive) for row in rows
    ]
    widths = [max(len(line[n]) for line in [heads, *lines]) for n in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [heads, *lines]
    )


def as_markdown(rows: Sequence[Row]) -> str:
    lines = [(row.name, row.figure + _missed(row), row.bar, row.naive) for row in rows]
    cells = [HEADS, ("---",) * len(HEADS), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells) + "\n"


def _missed(row: Row) -> str:
    return "" if row.holds else " **(missed)**"


def write_json(rows: Sequence[Row], path: Path, *, about: str) -> None:
    kept = {"machine": about, "rows": [row.as_json() for row in rows]}
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
