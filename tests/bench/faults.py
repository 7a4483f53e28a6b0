"""What a fault costs: a worker killed in the middle of its syncs, and Redis away under viewers."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.utils import timezone

from integrations.models import SyncRun
from tests.bench.faults_naive import NaiveViewers, NaiveWorker
from tests.bench.table import Row, Samples, percentile
from tests.drills.viewers import Audience
from tests.kills import Site
from tests.processes import wait_until

if TYPE_CHECKING:
    from tests.bench.rows import Bench

KILL_COUNT: Final = 5
# Thirty pages of 100 ms: a kill falls into the middle.
SIZE: Final = 3_000
LATENCY_MS: Final = 100
GOES_ON_BAR_S: Final = 20
AWAY_S: Final = 75
TEAM_COUNT: Final = 8
VIEWERS_EACH: Final = 15
SEEN_BAR_S: Final = 5


def worker_killed(bench: Bench) -> list[Row]:
    """Kill a worker with SIGKILL again and again, each time far into a sync.

    The naive one is killed once, before, and watched meanwhile.
    """
    with tempfile.TemporaryDirectory(prefix="rollcall-") as directory:
        naive = NaiveWorker(bench, Path(directory), size=SIZE, latency_ms=LATENCY_MS)
        try:
            naive.be_killed()
            went_on_s, read_again = _kills(bench)
            naive_way = naive.outcome()
        finally:
            naive.stop()
    return [
        Row(
            f"worker killed in the middle of a sync ({KILL_COUNT} times): goes on, reads again",
            f"{max(went_on_s):.1f} s at the most, {max(read_again)} pages at the most",
            f"{GOES_ON_BAR_S} s, 1 page",
            naive_way,
            max(went_on_s) <= GOES_ON_BAR_S and max(read_again) <= 1,
            Samples("s", GOES_ON_BAR_S, went_on_s),
        )
    ]


def _kills(bench: Bench) -> tuple[list[float], list[int]]:
    """Return for each kill when the sync went on, in seconds, and how many pages it read again."""
    bench.stack.start(["worker", "scheduler"])
    went_on_s, read_again = [], []
    for _ in range(KILL_COUNT):
        site = Site.make(bench.sandbox, size=SIZE, latency_ms=LATENCY_MS)
        run = site.start()
        _wait_for_page(run, 4)
        bench.stack.worker.kill()
        killed_at = timezone.now()
        run.refresh_from_db()
        answered = [at for at in site.page_calls_of_run() if at <= killed_at.timestamp()]
        read_again.append(max(0, len(answered) - run.page_count))
        bench.stack.start(["worker"])
        _wait_for_page(run, run.page_count + 1)
        went_on_s.append((timezone.now() - killed_at).total_seconds())
        wait_until(lambda run=run: _is_over(run), timeout_s=60)  # type: ignore[misc]
        assert site.roster() == site.truth()
    return went_on_s, read_again


def _wait_for_page(run: SyncRun, count: int) -> None:
    pages = SyncRun.objects.filter(pk=run.pk, page_count__gte=count)
    wait_until(pages.exists, timeout_s=60, what=f"page {count}")


def _is_over(run: SyncRun) -> bool:
    run.refresh_from_db()
    return not run.is_active


def redis_away(bench: Bench) -> list[Row]:
    """Stop Redis under open streams while runs end, and see when each viewer knows."""
    bench.stack.start(["worker", "scheduler"])
    sites = [Site.make(bench.sandbox, size=SIZE, latency_ms=LATENCY_MS) for _ in range(TEAM_COUNT)]
    with tempfile.TemporaryDirectory(prefix="rollcall-") as directory:
        naive = NaiveViewers(bench, Path(directory), sites[0])
        try:
            naive.open()
            knew_s = _under_viewers(bench, sites)
            naive_way = naive.outcome()
        finally:
            naive.close()
    return [
        Row(
            f"Redis away {AWAY_S} s under {len(knew_s)} viewers: present state after its return",
            f"{max(knew_s):.1f} s at the last (median {percentile(knew_s, 50):.1f} s)",
            f"{SEEN_BAR_S} s",
            naive_way,
            max(knew_s) <= SEEN_BAR_S,
            Samples("s", SEEN_BAR_S, knew_s),
        )
    ]


def _under_viewers(bench: Bench, sites: list[Site]) -> list[float]:
    """Stop Redis while runs go on, start it again, and return when each viewer knew."""
    runs = [site.start() for site in sites]
    for run in runs:
        _wait_for_page(run, 1)
    audience = Audience(bench.stack, sites, each=VIEWERS_EACH)
    try:
        bench.stack.valkey.stop()
        time.sleep(AWAY_S)  # the fault's own length
        bench.stack.valkey.start()
        back_s = time.monotonic()
        assert all(_is_over(run) for run in runs), "a run needed Redis to end"
        return _seen(audience, runs, since_s=back_s)
    finally:
        audience.close()


def _seen(audience: Audience, runs: list[SyncRun], *, since_s: float) -> list[float]:
    """Return for each viewer when, in seconds, the page showed where its team stands."""
    revisions = {run.integration.team_id: run.revision for run in runs}
    knew_s: dict[int, float] = {}

    def all_know() -> bool:
        for number, viewer in enumerate(audience.viewers):
            if number not in knew_s and viewer.card[1] >= revisions[viewer.team_id]:
                knew_s[number] = time.monotonic() - since_s
        return len(knew_s) == len(audience)

    wait_until(all_know, timeout_s=60, what="every viewer knowing")
    return list(knew_s.values())
