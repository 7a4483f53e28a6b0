"""The night of 10,000 teams with two worker processes: what the second one adds, and what stays.

All of it in one run: one worker and then both while the stand-in GitHub answers at once, so that
these two cores are the bound, and both and then one while it takes its time, as GitHub does.
Whatever the number of processes, no run is worked on twice at once, no night begun twice, and
nobody's budget overdrawn.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from django.db.models import Count
from django.utils import timezone

from integrations.constants import SYNC_STATUS_COMPLETE, RunTrigger
from integrations.models import SyncRun
from tests.bench.queues.budget import budget_rows
from tests.bench.queues.click import (
    ORGANIZATION_COUNT,
    TEAM_COUNT,
    Watched,
    click_all_along,
    click_behind_the_night,
    click_row,
    ten_thousand_due,
)
from tests.bench.queues.sending import SMALL_SIZE, WATCHED_S, begin_anew
from tests.bench.table import Row, Samples

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

    from integrations.models import GitHubIntegration
    from tests.bench.rows import Bench

WORKERS: Final = ("worker", "worker-2")
# Of each of the four parts.
PART_S: Final = WATCHED_S / 3
GITHUB_MS: Final = 100
# Where GitHub's time is what a night consists of, a second worker is to add half of one at least.
# Where it answers at once the two cores are full with one, and nothing can be told of the second.
FASTER_BAR: Final = 1.5


def two_workers(bench: Bench) -> list[Row]:
    """Ten thousand nights and clicks with one worker and with two."""
    organizations = [bench.sandbox.organization(SMALL_SIZE) for _ in range(ORGANIZATION_COUNT)]
    clicked = ten_thousand_due(bench, organizations)
    said_before = {name: len(bench.stack[name].output) for name in WORKERS}
    bench.stack.start(["worker"])
    bench.stack.start(["scheduler"])
    one, _ = _part(bench, clicked)
    bench.stack.start(["worker-2"])
    two, waits_ms = _part(bench, clicked)
    naive_s, ahead_count = click_behind_the_night(next(iter(clicked)))
    for organization in organizations:
        organization.slow_down(GITHUB_MS)
    two_slow, _ = _part(bench, clicked)
    bench.stack["worker-2"].stop()
    one_slow, _ = _part(bench, clicked)
    for name in ("scheduler", "worker"):
        bench.stack[name].stop()
    return [
        click_row(waits_ms, naive_s, ahead_count, by_whom=", two workers"),
        _rate_row(0, two=two, one=one),
        _rate_row(GITHUB_MS, two=two_slow, one=one_slow),
        _twice_row([bench.stack[name].output[said_before[name] :] for name in WORKERS]),
    ]


def _part(
    bench: Bench, clicked: Mapping[GitHubIntegration, requests.Session]
) -> tuple[float, list[float]]:
    """Return how many nights were done a second, and the milliseconds that clicks waited."""
    begun_at, watched = timezone.now(), Watched()
    waits_ms = click_all_along(bench, clicked, watched, for_s=PART_S)
    done = SyncRun.objects.filter(status=SYNC_STATUS_COMPLETE, finished_at__gte=begun_at)
    done_count = done.filter(trigger=RunTrigger.SCHEDULE).count()
    return done_count / (time.monotonic() - watched.began_s), waits_ms


def _rate_row(github_ms: int, *, two: float, one: float) -> Row:
    ratio, is_held = two / one, github_ms > 0
    return Row(
        f"nights done by two workers, GitHub answering in {github_ms} ms, and by one",
        f"{two:.1f}/s, {one:.1f}/s: {ratio:.2f} x ({TEAM_COUNT / two / 60:.0f} min for all)",
        f"{FASTER_BAR} x" if is_held else "-",
        "-",
        ratio >= FASTER_BAR or not is_held,
        Samples("x as many", FASTER_BAR, [ratio], is_floor=True) if is_held else None,
    )


def two_workers_and_a_budget(bench: Bench) -> list[Row]:
    """Forty teams of one person's budget, read by two processes that know nothing of each other."""
    begin_anew(bench)
    return budget_rows(bench, workers=WORKERS)


def _twice_row(said: list[str]) -> Row:
    """Count the runs that were taken from a worker on them, and the nights begun again.

    A worker whose run another one has is refused its next write, and says so. Attempts may overlap
    by a moment all the same: who gives a run back at the end of a slice, or when told to stop, has
    sent its next message before its own attempt is over.
    """
    nights = SyncRun.objects.filter(trigger=RunTrigger.SCHEDULE).order_by()
    again = nights.values("integration").annotate(count=Count("pk")).filter(count__gt=1)
    assert all("run complete" in one for one in said), "a worker says nothing of its runs"
    twice_count, begun_again_count = sum(one.count("lease lost") for one in said), again.count()
    return Row(
        "two workers: runs worked on twice at once, nights begun twice",
        f"{twice_count}, {begun_again_count} of {nights.count():,}",
        "0, 0",
        "-",
        not twice_count and not begun_again_count,
    )


TWO_WORKERS: Final = (two_workers, two_workers_and_a_budget)
