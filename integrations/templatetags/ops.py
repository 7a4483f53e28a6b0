"""The looks of the operators' pages: sparklines, spans of time, shares, tones. Plain English.

It knows values only: no request, no query.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from django import template
from django.utils.html import format_html

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.utils.safestring import SafeString

register = template.Library()

SPARK_WIDTH: Final = 100
SPARK_HEIGHT: Final = 24
# What happened once is still seen.
BAR_MIN: Final = 2.5
MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
MEGABYTE: Final = 1024 * 1024
# From here on a failure rate is told in red.
FAILURES_BAD_PERCENT: Final = 5.0

TONES: Final = {
    "stalled": "bad",
    "failed": "bad",
    "dead": "bad",
    "lost": "bad",
    "waiting": "warn",
    "retrying": "warn",
    "retried": "warn",
    "running": "accent",
    "done": "good",
}
WORDS: Final = {
    "stalled": "Stands still",
    "failed": "Failed",
    "waiting": "Waiting for GitHub",
    "pending": "Waiting for a worker",
    "running": "Running",
    "ready": "Ready",
    "delayed": "Delayed",
    "retrying": "Retrying",
    "dead": "Dead",
    "done": "Done",
    "retried": "Will be retried",
    "skipped": "Skipped",
    "lost": "Worker lost",
}


@register.filter
def ops_tone(state: str) -> str:
    """Return the colour role of a run's or a message's state."""
    return TONES.get(state, "neutral")


@register.filter
def ops_words(state: str) -> str:
    """Return a state in words."""
    return WORDS.get(state, state)


@register.filter
def span(seconds: float | None) -> str:
    """Return a length of time in its two largest units: "0.4 s", "12 s", "3 min 5 s", "2 d 4 h".

    Whole numbers stay whole.
    """
    if seconds is None:
        return "–"
    if seconds < MINUTE:
        digits = 1 if 0 < seconds < 10 and seconds % 1 else 0
        return f"{max(0, seconds):.{digits}f} s"
    whole = int(seconds)
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


@register.filter
def span_ms(milliseconds: int | None) -> str:
    """Return a length of time that is kept in milliseconds."""
    return span(None if milliseconds is None else milliseconds / 1000)


@register.filter
def since(at: datetime | None, now: datetime) -> str:
    """Return how long ago an instant was, in whole seconds: it is shown beside others that tick."""
    return span(None if at is None else max(0, round((now - at).total_seconds())))


@register.filter
def until(at: datetime | None, now: datetime) -> str:
    """Return how long it is until an instant; "now" when it has passed."""
    seconds = 0.0 if at is None else (at - now).total_seconds()
    return span(round(seconds)) if seconds >= 1 else "now"


@register.filter
def megabytes(size_bytes: int) -> str:
    """Return an amount of memory."""
    return f"{size_bytes / MEGABYTE:,.0f} MB"


@register.filter
def share(percent: float) -> str:
    """Return a share so that a small one is not told as none."""
    if 0 < percent < 1:
        return "< 1 %"
    return f"{percent:.0f} %"


@register.filter
def is_high(percent: float) -> bool:
    """Say whether a failure rate deserves red."""
    return percent >= FAILURES_BAD_PERCENT


@register.filter
def lookup(mapping: Mapping[Any, Any], key: object) -> Any:
    """Return what a mapping holds for a key, or None."""
    return mapping.get(key)


@register.filter
def field(query: object, name: str) -> Any:
    """Return one field of a query as a form holds it."""
    value = getattr(query, name)
    return "" if value is None else value


@register.simple_tag
def sparkline(points: Sequence[int], label: str) -> SafeString:
    """Draw counts, the oldest first, as bars; the label says what they are of.

    Attributes of SVG only: the policy forbids inline style.
    """
    highest = max(points, default=0)
    width = SPARK_WIDTH / max(1, len(points))
    bars = "".join(
        f"M{index * width:.1f} {SPARK_HEIGHT}v-{_height(count, highest):.1f}"
        f"h{width * 0.75:.1f}V{SPARK_HEIGHT}z"
        for index, count in enumerate(points)
        if count
    )
    return format_html(
        '<svg class="spark" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" '
        'aria-label="{}, at most {} in one of {} parts"><path class="spark__bars" d="{}"/></svg>',
        SPARK_WIDTH,
        SPARK_HEIGHT,
        label,
        highest,
        len(points),
        bars,
    )


def _height(count: int, highest: int) -> float:
    return max(BAR_MIN, count * (SPARK_HEIGHT - 1) / highest)
