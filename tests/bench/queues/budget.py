"""Teams that share one person's budget of points, beside teams with budgets of their own."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.test.utils import override_settings

from integrations.constants import SYNC_STATUS_COMPLETE
from integrations.models import SyncRun
from tests.bench.queue_teams import connected_teams
from tests.bench.queues.sending import (
    LATENCY_MS,
    SMALL_SIZE,
    WATCHED_S,
    begin_anew,
    send,
    small_done,
)
from tests.bench.table import Row
from tests.processes import SandboxProcess, wait_until
from tests.sandbox_control import SandboxControl
from tests.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.rows import Bench

SHARING: Final = 40
SHARED_SIZE: Final = 2_000
# A percent of it is left: as many as the threads that ask at once.
POINTS: Final = 400


def a_budget_that_teams_share(bench: Bench) -> list[Row]:
    """Forty teams of one person use up that person's hour; forty of as many people go on."""
    begin_anew(bench)
    return budget_rows(bench, workers=("worker",))


def budget_rows(bench: Bench, *, workers: Sequence[str]) -> list[Row]:
    """Read the teams with these workers, from a GitHub that counts points."""
    with tempfile.TemporaryDirectory(prefix="rollcall-budget-") as directory:
        options = ("--points-per-hour", str(POINTS))
        github = SandboxProcess(*options, log_dir=Path(directory), latency_ms=LATENCY_MS)
        github.start()
        try:
            with override_settings(GITHUB_API_URL=f"{github.url}/api/v3", GITHUB_URL=github.url):
                stack = Stack(log_dir=Path(directory), valkey=bench.stack.valkey)
                return _budget_rows(SandboxControl(github.url), stack, workers)
        finally:
            github.stop()


def _budget_rows(github: SandboxControl, stack: Stack, workers: Sequence[str]) -> list[Row]:
    shared = github.organization(SHARED_SIZE)
    others = [github.organization(SMALL_SIZE) for _ in range(SHARING)]
    stack.start(workers)
    try:
        runs = send(connected_teams([shared], SHARING, github_user_id=shared.id))
        # Each of these has a token of its own.
        apart = connected_teams(others, SHARING)
        apart_s = small_done(apart)
        wait_until(lambda: _are_waiting(runs), timeout_s=60, what="the budget's end")
    finally:
        stack.stop()
    calls = shared.requests()
    asked = {kind: sum(call["kind"] == kind for call in calls) for kind in ("rest", "graphql")}
    beyond_count = sum(max(0, count - POINTS) for count in asked.values())
    pks = [run.pk for run in runs]
    done_count = SyncRun.objects.filter(pk__in=pks, status=SYNC_STATUS_COMPLETE).count()
    by_whom = ", two workers" if len(workers) > 1 else ""
    return [
        Row(
            f"{SHARING} teams of one person's {POINTS} points an hour: requests beyond them"
            f"{by_whom}",
            f"{beyond_count} ({asked['graphql']} for pages; {done_count} teams done, "
            f"{SHARING - done_count} wait for the reset)",
            "0",
            f"{SHARING - done_count} (each finds out by itself)",
            beyond_count == 0 and 0 < done_count < SHARING,
        ),
        Row(
            f"{SHARING} teams with budgets of their own, beside them{by_whom}",
            f"all done in {apart_s:.0f} s",
            f"all, within {WATCHED_S:.0f} s",
            "-",
            apart_s <= WATCHED_S,
        ),
    ]


def _are_waiting(runs: Sequence[SyncRun]) -> bool:
    """Say whether each of them is done, or waits for GitHub."""
    time.sleep(0.2)
    active = SyncRun.objects.active().filter(pk__in=[run.pk for run in runs])
    return not active.filter(resume_at=None).exists()
