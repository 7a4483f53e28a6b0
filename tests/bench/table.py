"""One figure, its bar and the naive way beside it; and how they are printed."""

from __future__ import annotations

import json
import math
import os
import platform
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Row:
    """A measured figure. `holds` is whether it is within its bar."""

    name: str
    figure: str
    bar: str
    naive: str
    holds: bool


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def machine() -> str:
    system = f"{platform.system()} {platform.machine()}"
    return f"{system}, {os.cpu_count()} cores, Python {platform.python_version()}"


def as_text(rows: Sequence[Row]) -> str:
    """Set the rows in columns."""
    heads = ("", "what", "measured", "bar", "the naive way, same run")
    lines = [
        ("ok" if row.holds else "MISSED", row.name, row.figure, row.bar, row.naive) for row in rows
    ]
    widths = [max(len(line[n]) for line in [heads, *lines]) for n in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [heads, *lines]
    )


def write_json(rows: Sequence[Row], path: Path) -> None:
    path.write_text(
        json.dumps({"machine": machine(), "rows": [asdict(row) for row in rows]}, indent=2) + "\n"
    )
