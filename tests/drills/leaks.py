"""Whether a figure grows with the work that is done: what a soak is judged by. Knows no process.

A reading is taken when all work is over, so that what is held for work under way doesn't count. The
slope is Theil and Sen's, the median of the slopes between all pairs of readings: a few odd ones (a
cache that filled, a collection that came late) move it little. https://doi.org/10.2307/2285891
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PER_UNITS: Final = 1_000


@dataclass(frozen=True)
class Reading:
    """What was held when so many units of work had been done: figures by (owner, kind)."""

    units: int
    figures: Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class Growth:
    """How a figure grew, for each thousand units of work, and how much it may."""

    owner: str
    kind: str
    first: float
    last: float
    per_thousand: float
    bound: float

    @property
    def is_leak(self) -> bool:
        return self.per_thousand > self.bound

    def cell(self) -> str:
        """Return it as a cell of the table: from, to, and for each thousand units of what bound."""
        return f"{self.first:.0f}-{self.last:.0f} ({self.per_thousand:+.1f} of {self.bound:g})"


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the median of the slopes between all pairs; raises ValueError without two points."""
    slopes = [(y - x_y) / (x - x_x) for (x_x, x_y), (x, y) in combinations(points, 2) if x != x_x]
    if not slopes:
        raise ValueError("a slope needs two points")
    return median(slopes)


def growths(readings: Sequence[Reading], bounds: Mapping[str, float]) -> list[Growth]:
    """Return how every figure grew over readings that were taken after the warm-up.

    `bounds` are by kind, in units of the figure per thousand units of work. Raises ValueError where
    a kind has none, and where fewer than three readings are left to judge by.
    """
    if len(readings) < 3:
        raise ValueError(f"{len(readings)} readings are too few to judge by")
    found = []
    for owner, kind in readings[-1].figures:
        if kind not in bounds:
            raise ValueError(f"{kind} has no bound")
        points = [
            (float(reading.units), reading.figures[owner, kind])
            for reading in readings
            if (owner, kind) in reading.figures
        ]
        per_thousand = slope(points) * PER_UNITS
        found.append(Growth(owner, kind, points[0][1], points[-1][1], per_thousand, bounds[kind]))
    return found
