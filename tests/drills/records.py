"""What each drill found, as a row of the table that a run of drills ends with.

A row travels as a property of the test's report, which comes through from any process of xdist.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

PROPERTY: Final = "drill"
HEADINGS: Final = ("drill", "watched", "over after", "bar", "lost", "doubled", "beside it")


@dataclass(frozen=True)
class Record:
    """One drill. Times are seconds after the fault's end."""

    drill: str
    watched: str
    over_after_s: float
    bar_s: float
    lost: int = 0
    doubled: int = 0
    # Kinds of things that grew with the work (test_soak.py).
    leaks: int = 0
    # Whatever else was counted, by name.
    figures: dict[str, Any] = field(default_factory=dict)

    def as_property(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def holds(self) -> bool:
        is_whole = not (self.lost or self.doubled or self.leaks)
        return is_whole and self.over_after_s <= self.bar_s

    def cells(self) -> tuple[str, ...]:
        return (
            self.drill,
            self.watched,
            f"{self.over_after_s:.1f} s",
            f"{self.bar_s:g} s",
            str(self.lost),
            str(self.doubled),
            ", ".join(f"{value} {name}" for name, value in self._beside().items()),
        )

    def _beside(self) -> dict[str, Any]:
        return ({"leaks": self.leaks} if self.leaks else {}) | self.figures


def records_of(reports: Iterable[Any]) -> list[Record]:
    """Return the rows that came with the reports of tests, in their order."""
    return [
        Record(**value)
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == PROPERTY
    ]


def table(records: Iterable[Record]) -> list[str]:
    """Return the lines of the table, its columns as wide as they need to be."""
    rows = [HEADINGS, *(record.cells() for record in records)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
