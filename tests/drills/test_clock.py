"""A clock of their own for the processes: it jumps, GitHub is away an hour, and a day goes by."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.db.models import Count, Max
from django.utils import timezone

from integrations.constants import SYNC_STATUS_ERROR, RunTrigger
from integrations.models import GitHubIntegration, StatusTransition, SyncRun
from integrations.services import schedule
from integrations.services.runs import start_run
from tests.drills.harness import (
    IS_FULL,
    MARKS_OF_EVERY_DRILL,
    OVER_WITHIN_AFTER_DEATH_S,
    SITE_COUNT,
    Drill,
)
from tests.processes import wait_until
from tests.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet

    from tests.kills import Site
    from tests.processes import Valkey

pytestmark = MARKS_OF_EVERY_DRILL

PAGE_SIZE = 100
# GitHub is away this long: in the short form past the quick tries and one long pause of a night.
AWAY_FOR = timedelta(hours=1) if IS_FULL else timedelta(minutes=2)
STEP = timedelta(hours=1 if IS_FULL else 6)


class Clock:
    """The clock of the processes: the real one and so many seconds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.ahead = timedelta()
        self.jump(timedelta())

    def jump(self, by: timedelta) -> None:
        self.ahead += by
        # In one step: a process may be reading it.
        moved = self._path.with_suffix(".new")
        moved.write_text(str(self.ahead.total_seconds()))
        moved.replace(self._path)

    def jump_past_waits(self, runs: QuerySet[SyncRun]) -> bool:
        """Jump to when the last of these may go on; return whether any was waiting."""
        latest = runs.aggregate(latest=Max("resume_at"))["latest"]
        if latest is not None:
            self.jump(latest - self.now() + timedelta(seconds=1))
        return latest is not None

    def now(self) -> datetime:
        return timezone.now() + self.ahead


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    path = tmp_path / "clock"
    monkeypatch.setenv("DRILL_CLOCK", str(path))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "clock"))
    return Clock(path)


@pytest.fixture
def stack(transactional_db: None, clock: Clock, valkey: Valkey, tmp_path: Path) -> Iterator[Stack]:
    running = Stack(log_dir=tmp_path, valkey=valkey)
    try:
        running.start(["worker", "scheduler"])
        yield running
    finally:
        running.kill()


def pages_twice(drill: Drill) -> int:
    """Count the pages that were written more than once."""
    return sum(
        site.run.page_count != math.ceil(len(site.truth()) / PAGE_SIZE)
        for site in drill.sites
        if site.run
    )


@pytest.mark.parametrize("jump", [timedelta(hours=2), timedelta(hours=-1)], ids=["+2h", "-1h"])
def test_a_jump_of_the_clock_stops_and_doubles_nothing(
    drill: Drill, clock: Clock, jump: timedelta
) -> None:
    """Runs under way, one whose message is lost, and after the jump a worker that dies."""
    drill.sites_at_work()
    drill.unsent_run()
    clock.jump(jump)
    drill.stack.worker.kill()
    killed_at = clock.now()
    drill.stack.start(["worker"])
    hours = jump / timedelta(hours=1)
    drill.finish(
        f"the clock jumps by {hours:+g} h",
        since=killed_at,
        within_s=OVER_WITHIN_AFTER_DEATH_S,
        doubled=lambda: pages_twice(drill),
    )


def test_a_long_outage_of_github_costs_no_night(drill: Drill, clock: Clock) -> None:
    """Runs of the night wait on their rows; one that a person asked for says so, and ends.

    In any form six waits, each of which the ticker has to find: it looks every two seconds.
    """
    nights = [drill.site() for _ in range(SITE_COUNT)]
    asked = drill.site()
    for site in (*nights, asked):
        # The first page comes, and then GitHub is gone.
        site.organization.fault("server_error", status=503, after=3)
    for site in nights:
        site.run = start_run(site.integration, trigger=RunTrigger.SCHEDULE).run
    asked.start()
    rows = SyncRun.objects.filter(pk__in=[site.run.pk for site in nights if site.run])
    began_at = clock.now()
    while clock.now() - began_at < AWAY_FOR:
        wait_until(
            lambda: rows.filter(lease_token=None, resume_at__gt=clock.now()).count() == len(nights),
            timeout_s=30,
            what="every night waiting on its row",
        )
        wait_until(lambda: not drill.stack.queue_length(), what="no message of a run that waits")
        clock.jump_past_waits(rows)
    asked.run = SyncRun.objects.get(integration=asked.integration)
    assert (asked.run.status, asked.run.error_code) == (SYNC_STATUS_ERROR, "github_unavailable")
    for site in (*nights, asked):
        site.organization.mend()
    back_at = clock.now()
    asked.run = start_run(asked.integration, trigger=RunTrigger.MANUAL).run
    wait_until(lambda: not rows.filter(resume_at=None).active().exists(), timeout_s=30)
    if clock.jump_past_waits(rows):
        back_at = clock.now()
    drill.finish(
        f"GitHub away for {AWAY_FOR // timedelta(minutes=1)} min",
        since=back_at,
        within_s=OVER_WITHIN_AFTER_DEATH_S,
        doubled=lambda: 0,
        waits=StatusTransition.objects.filter(reason="github_unavailable").count(),
    )


def test_a_day_starts_every_night_once(drill: Drill, clock: Clock) -> None:
    """Twenty-four hours in steps: each night is read once, whatever else goes on."""
    sites = [drill.site(size=90) for _ in range(SITE_COUNT)]
    keys = [site.integration.pk for site in sites]
    began_at = clock.now()
    wait_until(
        lambda: not GitHubIntegration.objects.filter(pk__in=keys, next_sync_at=None).exists()
    )
    while clock.now() - began_at < timedelta(hours=24):
        clock.jump(STEP)
        stepped_at = clock.now()
        wait_until(partial(_is_all_done, stepped_at), timeout_s=60, what="what is due being done")
    nights = SyncRun.objects.filter(integration__in=keys, trigger=RunTrigger.SCHEDULE)
    counts = dict(nights.values_list("integration").annotate(Count("pk")))
    expected = {site.integration.pk: _nights(site, began_at, clock.now()) for site in sites}
    for site in sites:
        site.run = nights.filter(integration=site.integration).latest("pk")
    drill.finish(
        f"24 hours in steps of {STEP // timedelta(hours=1)} h",
        since=stepped_at,
        doubled=lambda: sum(counts.get(key, 0) > due for key, due in expected.items()),
        nights=nights.count(),
    )
    assert counts == expected


def _is_all_done(due_by: datetime) -> bool:
    due = GitHubIntegration.objects.filter(next_sync_at__lte=due_by)
    return not due.exists() and not SyncRun.objects.active().exists()


def _nights(site: Site, since: datetime, until: datetime) -> int:
    """Count the integration's nights in between, by its own schedule."""
    count, at = 0, schedule.next_night(site.integration, after=since)
    while at <= until:
        count, at = count + 1, schedule.next_night(site.integration, after=at)
    return count
