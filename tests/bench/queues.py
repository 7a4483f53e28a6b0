"""Queues at scale: a night of 10,000 teams against a click, one giant against 500 small teams.

With the real ticker and worker, in the database that DATABASE_URL names, else SQLite. Everything
is bounded in time: what a sweep takes in all is told by the rate at which it went.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import dramatiq
import psutil
from django.db import connection, transaction
from django.test.utils import override_settings
from django.utils import timezone

from integrations import tasks
from integrations.constants import (
    QUEUE_SCHEDULED,
    SLICE_BESIDE_OTHERS,
    SLICE_LENGTH,
    SYNC_STATUS_COMPLETE,
    RunTrigger,
)
from integrations.models import GitHubIntegration, SyncRun
from integrations.ops import queues as broker_queues
from integrations.services import member_sync, transitions
from integrations.services.runs import start_run
from integrations.telemetry.processes import SCHEDULER, read_processes
from integrations.telemetry.redis_clients import broker_client, telemetry_client
from tests.bench.queue_teams import connected_teams
from tests.bench.table import Row, Samples, percentile
from tests.bench.viewers import admin_of
from tests.processes import SandboxProcess, wait_until
from tests.sandbox_control import SandboxControl
from tests.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import requests

    from tests.bench.rows import Bench
    from tests.processes import Process
    from tests.sandbox_control import SandboxOrganization

TEAM_COUNT: Final = int(os.environ.get("SWEEP_TEAMS", "10000"))
# Of 20 people each, dealt out among the teams.
ORGANIZATION_COUNT: Final = 50
SMALL_SIZE: Final = 20
WATCHED_S: Final = float(os.environ.get("SWEEP_WATCHED_S", "120"))
CLICK_EVERY_S: Final = 2.0
CLICKERS: Final = 12
CLICK_BAR_MS: Final = 1_000
NAIVE_PATIENCE_S: Final = 60.0
# A look that takes longer than this keeps whatever else is due waiting for as long.
TICK_BAR_S: Final = 2.0

LARGE_SIZE: Final = 50_000
SMALL_COUNT: Final = int(os.environ.get("SMALL_TEAMS", "500"))
FEW: Final = 10
LATENCY_MS: Final = 20
HELD_UP_BAR: Final = 1.5

SHARING: Final = 40
SHARED_SIZE: Final = 2_000
# A percent of it is left: as many as the threads that ask at once.
POINTS: Final = 400


@dataclass
class Watched:
    """What was seen while the sweep ran, look by look."""

    ready: list[int] = field(default_factory=list)
    tick_s: list[float] = field(default_factory=list)
    memory_bytes: list[int] = field(default_factory=list)
    all_started_after_s: float | None = None
    began_s: float = field(default_factory=time.monotonic)
    took_s: float = 0.0
    cpu_s: dict[str, float] = field(default_factory=dict)
    done_count: int = 0
    sent_count: int = 0
    started_count: int = 0
    _ticked_at: float = 0.0

    def look(self) -> None:
        depths = {one.name: one for one in broker_queues.read_depths()}
        self.ready.append(depths[QUEUE_SCHEDULED].ready_count)
        for report in read_processes(telemetry_client()):
            if report.kind == SCHEDULER and report.state.get("ticked_at", 0) != self._ticked_at:
                self._ticked_at = report.state["ticked_at"]
                self.tick_s.append(report.state["took_s"])
                self.memory_bytes.append(report.memory_bytes)
        if self.all_started_after_s is None and not due_count():
            self.all_started_after_s = time.monotonic() - self.began_s


def due_count() -> int:
    return GitHubIntegration.objects.filter(next_sync_at__lte=timezone.now()).count()


def ten_thousand_due(
    bench: Bench, organizations: Sequence[SandboxOrganization]
) -> dict[GitHubIntegration, requests.Session]:
    """Begin anew with so many nights due; return the teams whose admins click, signed in."""
    begin_anew(bench)
    clicked = {
        one: bench.stack.browser_session(admin_of(one.team))
        for one in connected_teams(organizations, CLICKERS)
    }
    for session in clicked.values():
        session.headers["HX-Request"] = "true"
    connected_teams(organizations, TEAM_COUNT, next_sync_at=timezone.now())
    return clicked


def night_and_click(bench: Bench) -> list[Row]:
    """Ten thousand teams are due at once, and people click meanwhile."""
    organizations = [bench.sandbox.organization(SMALL_SIZE) for _ in range(ORGANIZATION_COUNT)]
    clicked = ten_thousand_due(bench, organizations)
    bench.stack.start(["worker"])
    bench.stack.start(["scheduler"])
    cpu = {process: _cpu_s(process) for process in (bench.stack.scheduler, bench.stack.worker)}
    watched = Watched()
    waits_ms = click_all_along(bench, clicked, watched)
    watched.took_s = time.monotonic() - watched.began_s
    watched.cpu_s = {process.name: _cpu_s(process) - begun for process, begun in cpu.items()}
    nights = SyncRun.objects.filter(trigger=RunTrigger.SCHEDULE)
    watched.done_count = nights.filter(status=SYNC_STATUS_COMPLETE).count()
    watched.sent_count, watched.started_count = _sum_of_sends(), nights.count()
    naive_s, ahead_count = click_behind_the_night(next(iter(clicked)))
    bench.stack.scheduler.stop()
    bench.stack.worker.stop()
    return [
        click_row(waits_ms, naive_s, ahead_count),
        *_rows_of_the_night(watched),
    ]


def click_row(
    waits_ms: list[float], naive_s: float | None, ahead_count: int, *, by_whom: str = ""
) -> Row:
    """Say how long clicks waited for a worker, and one that lay in the queue of all."""
    return Row(
        f"click to worker while {TEAM_COUNT:,} nights are due{by_whom} ({connection.vendor})",
        f"p50 {percentile(waits_ms, 50):.0f}, p95 {percentile(waits_ms, 95):.0f}, max "
        f"{max(waits_ms):.0f} ms of {len(waits_ms)}",
        f"{CLICK_BAR_MS:,} ms, all",
        f"{naive_words(naive_s)} in one queue behind {ahead_count:,}",
        max(waits_ms) <= CLICK_BAR_MS,
        Samples("ms", CLICK_BAR_MS, waits_ms, [naive_s * 1000] if naive_s else ()),
    )


def _rows_of_the_night(watched: Watched) -> list[Row]:
    a_second = watched.done_count / watched.took_s
    started_s = watched.all_started_after_s
    cpu_ms = 1000 * watched.cpu_s["worker"] / max(1, watched.done_count)
    return [
        Row(
            f"a look of the ticker meanwhile (longest of {len(watched.tick_s)})",
            f"{max(watched.tick_s):.2f} s, p50 {percentile(watched.tick_s, 50):.2f} s; "
            f"{watched.cpu_s['scheduler']:.1f} s of CPU, "
            f"{max(watched.memory_bytes) / 2**20:.0f} MB",
            f"{TICK_BAR_S:.0f} s",
            "-",
            max(watched.tick_s) <= TICK_BAR_S,
            Samples("s", TICK_BAR_S, watched.tick_s),
        ),
        Row(
            f"nights done in {watched.took_s:.0f} s by one worker",
            f"{watched.done_count:,} ({a_second:.1f}/s, so {TEAM_COUNT / a_second / 60:.0f} min "
            f"for all; {cpu_ms:.0f} ms of worker CPU each)",
            "4 h, the window",
            "-",
            TEAM_COUNT / a_second <= 4 * 3600,
        ),
        Row(
            "messages sent for each night that was started",
            f"{watched.sent_count / max(1, watched.started_count):.2f} "
            f"({watched.started_count:,} started"
            + (f", all after {started_s:.0f} s" if started_s else "")
            + f"; queue at most {max(watched.ready):,} deep)",
            "1.5",
            f"{TEAM_COUNT:,} deep, all at once",
            watched.sent_count <= 1.5 * watched.started_count,
        ),
    ]


def click_all_along(
    bench: Bench,
    clicked: Mapping[GitHubIntegration, requests.Session],
    watched: Watched,
    *,
    for_s: float = WATCHED_S,
) -> list[float]:
    """Click every two seconds; return after how many milliseconds a worker had each."""
    waits_ms: list[float] = []
    people = itertools.cycle(clicked.items())
    number = 0
    while time.monotonic() - watched.began_s < for_s:
        watched.look()
        integration, session = next(people)
        number += 1
        clicked_at = timezone.now()
        path = f"/t/{integration.team.slug}/github/members/sync/"
        answer = session.post(f"{bench.stack.url}{path}", timeout=60)
        assert answer.status_code == 200, answer.text[:500]
        run = SyncRun.objects.filter(integration=integration).latest("pk")
        wait_until(lambda run=run: _started_at(run), timeout_s=60, what="a worker")  # type: ignore[misc]
        waits_ms.append((_started_at(run) - clicked_at).total_seconds() * 1000)
        next_s = watched.began_s + number * CLICK_EVERY_S
        while time.monotonic() < next_s:
            time.sleep(min(0.5, max(0.0, next_s - time.monotonic())))
            watched.look()
    return waits_ms


def click_behind_the_night(integration: GitHubIntegration) -> tuple[float | None, int]:
    """Send a click to the nights' queue; return when a worker had it, and how many were ahead."""
    # In one transaction: the ticker must not send it as well.
    with transaction.atomic():
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        SyncRun.objects.filter(pk=run.pk).update(
            enqueued_at=timezone.now(), resend_at=timezone.now() + 10 * SLICE_LENGTH, send_count=1
        )
    ahead_count = next(
        one.ready_count for one in broker_queues.read_depths() if one.name == QUEUE_SCHEDULED
    )
    message = tasks.sync_github_members_task.message(run.pk).copy(queue_name=QUEUE_SCHEDULED)
    sent_at = timezone.now()
    dramatiq.get_broker().enqueue(message)
    try:
        wait_until(lambda: _started_at(run), timeout_s=NAIVE_PATIENCE_S)
    except TimeoutError:
        return None, ahead_count
    return (_started_at(run) - sent_at).total_seconds(), ahead_count


def naive_words(seconds: float | None) -> str:
    return f"> {NAIVE_PATIENCE_S:.0f} s" if seconds is None else f"{seconds:.1f} s"


def _started_at(run: SyncRun) -> Any:
    return SyncRun.objects.values_list("started_at", flat=True).get(pk=run.pk)


def _sum_of_sends() -> int:
    """Count the messages of nights that workers have ended, or that still wait."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM integrations_messageattempt WHERE queue = %s AND actor = %s",
            [QUEUE_SCHEDULED, tasks.sync_github_members_task.actor_name],
        )
        ended_count = int(cursor.fetchone()[0])
    waiting = broker_client().hvals(_key(f"{QUEUE_SCHEDULED}.msgs"))
    name = tasks.sync_github_members_task.actor_name.encode()
    return ended_count + sum(name in payload for payload in waiting)


def _key(name: str) -> str:
    namespace = dramatiq.get_broker().namespace  # type: ignore[attr-defined]
    return f"{namespace}:{name}"


def _cpu_s(process: Process) -> float:
    """Return the seconds of CPU that a process and its children have spent."""
    root = psutil.Process(process.pid)
    times = [one.cpu_times() for one in (root, *root.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def begin_anew(bench: Bench) -> None:
    """Leave no worker, no message and no run of the measurement before."""
    for name in ("scheduler", "worker", "worker-2"):
        bench.stack[name].stop()
    SyncRun.objects.active().delete()
    GitHubIntegration.objects.update(schedule_enabled=False, next_sync_at=None, people_due_at=None)
    for name in broker_client().scan_iter(_key("*")):
        broker_client().delete(name)


def giant_and_small(bench: Bench) -> list[Row]:
    """An organisation of 50,000 beside 500 of 20, in one queue: are the small held up?"""
    begin_anew(bench)
    organizations = [bench.sandbox.organization(SMALL_SIZE) for _ in range(20)]
    large = bench.sandbox.organization(LARGE_SIZE)
    for one in (*organizations, large):
        one.slow_down(LATENCY_MS)
    bench.stack.start(["worker"])
    alone_s = _small_done(connected_teams(organizations, SMALL_COUNT))
    [giant] = _send(connected_teams([large], 1))
    wait_until(lambda: _started_at(giant), what="the giant being begun")
    began_s = time.monotonic()
    beside_s = _small_done(connected_teams(organizations, SMALL_COUNT))
    wait_until(lambda: _is_over([giant]), timeout_s=240, what="the giant's end")
    giant_s = time.monotonic() - began_s
    giant.refresh_from_db()
    bench.stack.worker.stop()
    ratio = beside_s / alone_s
    return [
        Row(
            f"{SMALL_COUNT} teams of {SMALL_SIZE} beside one of {LARGE_SIZE:,}, one worker "
            f"({connection.vendor})",
            f"{ratio:.2f} x as long as without it ({beside_s:.0f} s against {alone_s:.0f} s; "
            f"the giant {giant_s:.0f} s, {giant.claim_count} slices)",
            f"{HELD_UP_BAR} x",
            "-",
            ratio <= HELD_UP_BAR,
            Samples("x as long", HELD_UP_BAR, [ratio]),
        )
    ]


def few_behind_a_giant(bench: Bench) -> list[Row]:
    """Ten small ones come just after an organisation of 50,000, on a worker of one thread."""
    begin_anew(bench)
    first_s = _few_behind_a_giant(bench)
    endless = timedelta(hours=1)
    with mock.patch.multiple(member_sync, SLICE_LENGTH=endless, SLICE_BESIDE_OTHERS=endless):
        naive_s = _few_behind_a_giant(bench)
    return [
        Row(
            f"{FEW} small ones behind the giant on a single thread, all done",
            f"{first_s:.0f} s, after its slice of {SLICE_BESIDE_OTHERS.total_seconds():.0f} s",
            f"{SLICE_LENGTH.total_seconds() + 10:.0f} s",
            f"{naive_s:.0f} s, after all of it (no slices)",
            first_s <= SLICE_LENGTH.total_seconds() + 10,
        ),
    ]


def _send(integrations: Sequence[GitHubIntegration]) -> list[SyncRun]:
    """Start a night's run of each, and send them all."""
    runs = [start_run(one, trigger=RunTrigger.SCHEDULE).run for one in integrations]
    for run in runs:
        tasks.sync_github_members_later(run)
    return runs


def _small_done(integrations: Sequence[GitHubIntegration]) -> float:
    """Return how many seconds it took until all were read."""
    runs = _send(integrations)
    began_at = min(run.created_at for run in runs)
    wait_until(lambda: _is_over(runs), timeout_s=240, what="the small ones' end")
    ended = SyncRun.objects.filter(pk__in=[run.pk for run in runs])
    assert ended.filter(status=SYNC_STATUS_COMPLETE).count() == len(runs)
    last: Any = ended.order_by("-finished_at").values_list("finished_at", flat=True).first()
    return float((last - began_at).total_seconds())


def _is_over(runs: Sequence[SyncRun]) -> bool:
    active = SyncRun.objects.active().filter(pk__in=[run.pk for run in runs])
    if not active.exists():
        return True
    time.sleep(0.2)
    return False


def _few_behind_a_giant(bench: Bench) -> float:
    """Return when a few small ones were done whose messages came after a giant's, on one thread."""
    small = bench.sandbox.organization(SMALL_SIZE)
    large = bench.sandbox.organization(LARGE_SIZE)
    large.slow_down(LATENCY_MS)
    few = connected_teams([small], FEW)
    worker = dramatiq.Worker(dramatiq.get_broker(), worker_timeout=50, worker_threads=1)
    worker.start()
    try:
        [giant] = _send(connected_teams([large], 1))
        wait_until(lambda: _started_at(giant), what="the giant being begun")
        return _small_done(few)
    finally:
        # It finds out at its next page.
        transitions.cancel(giant, person=None)
        worker.stop()


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
        runs = _send(connected_teams([shared], SHARING, github_user_id=shared.id))
        # Each of these has a token of its own.
        apart = connected_teams(others, SHARING)
        apart_s = _small_done(apart)
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


QUEUES: Final = (
    night_and_click,
    giant_and_small,
    few_behind_a_giant,
    a_budget_that_teams_share,
)
