"""The plots of docs/bench: where each figure stands against its bar, and how latencies spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from tests.bench.table import percentile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from tests.bench.table import Row, Samples

OURS: Final = "#2563eb"
NAIVE: Final = "#b45309"
BAR: Final = "#475569"
DPI: Final = 130
# Fewer say nothing about how they spread.
SPREAD_MIN: Final = 20
NAME_WIDTH: Final = 76
# What has no room on a logarithmic axis: nothing at all.
LEAST: Final = 1e-3


def draw(rows: Sequence[Row], directory: Path, *, about: str) -> list[Path]:
    """Draw the plots into the directory, and return their paths."""
    measured = [row for row in rows if row.samples and row.samples.ours]
    if not measured:
        return []
    paths = [_against_bars(measured, directory / "bars.png", about=about)]
    spread = [row for row in measured if row.samples and len(row.samples.ours) >= SPREAD_MIN]
    if spread:
        paths.append(_spreads(spread, directory / "latencies.png", about=about))
    return paths


def _against_bars(rows: Sequence[Row], path: Path, *, about: str) -> Path:
    """One line a row: the figure and the naive way's as multiples of the bar, which is 1."""
    figure = Figure(figsize=(11, 0.46 * len(rows) + 1.6))
    axes = figure.subplots()
    for place, row in enumerate(reversed(rows)):
        samples = row.samples
        assert samples is not None
        axes.plot(_multiple(samples, samples.ours), place, "o", color=OURS, zorder=3)
        if samples.naive:
            axes.plot(_multiple(samples, samples.naive), place, "s", color=NAIVE, zorder=3)
    axes.axvline(1, color=BAR, linewidth=1.5)
    axes.axvspan(axes.get_xlim()[0], 1, color=OURS, alpha=0.05)
    _logarithmic(axes, steps=(1.0,))
    axes.set_yticks(range(len(rows)), [_short(row.name) for row in reversed(rows)], fontsize=8)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("times the bar (left of 1 it is held); 95th percentile where there are many")
    axes.plot([], [], "o", color=OURS, label="Rollcall")
    axes.plot([], [], "s", color=NAIVE, label="the naive way, same run")
    axes.legend(loc="lower right", fontsize=8)
    axes.set_title(f"Each figure against its bar\n{about}", fontsize=9, loc="left")
    return _save(figure, path)


def _multiple(samples: Samples, values: Sequence[float]) -> float:
    """Return the figure in bars, such that less is better for rates as well."""
    if samples.is_floor:
        return samples.bar / max(percentile(values, 50), LEAST)
    bar = samples.bar or 1  # nothing at all is allowed: each one over it counts
    return max(percentile(values, 95) / bar, LEAST)


def _spreads(rows: Sequence[Row], path: Path, *, about: str) -> Path:
    """A panel a row: which share of the answers came within how long."""
    columns = 2
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(11, 2.9 * lines))
    grid = figure.subplots(lines, columns, squeeze=False)
    panels = [panel for line in grid for panel in line]
    for panel, row in zip(panels, rows, strict=False):
        assert row.samples is not None
        _spread(panel, row.samples, title=row.name)
    for panel in panels[len(rows) :]:
        panel.remove()
    figure.suptitle(f"How they spread\n{about}", fontsize=9, x=0.01, ha="left")
    return _save(figure, path)


def _spread(axes: Axes, samples: Samples, *, title: str) -> None:
    for values, color, label in (
        (samples.ours, OURS, "Rollcall"),
        (samples.naive, NAIVE, "the naive way"),
    ):
        if values:
            ordered = sorted(max(value, LEAST) for value in values)
            shares = [100 * (place + 1) / len(ordered) for place in range(len(ordered))]
            axes.step(ordered, shares, where="post", color=color, label=label)
    axes.axvline(samples.bar, color=BAR, linestyle="--", linewidth=1, label="bar")
    _logarithmic(axes, steps=(1.0, 2.0, 5.0))
    axes.set_ylim(0, 102)
    axes.grid(alpha=0.3)
    axes.set_xlabel(samples.unit, fontsize=8)
    axes.set_ylabel("%", fontsize=8)
    axes.set_title(_short(title), fontsize=8, loc="left")
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=7, loc="lower right")


def _logarithmic(axes: Axes, *, steps: tuple[float, ...]) -> None:
    """Number the axis with plain figures, at these steps of each power of ten."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=steps, numticks=12))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _short(name: str) -> str:
    return name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 1].rstrip()}…"


def _save(figure: Figure, path: Path) -> Path:
    figure.tight_layout()
    # Without the time and the version, the same figures make the same file.
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    return path
