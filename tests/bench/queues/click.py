"""A click while a night of 10,000 teams is due, and what the ticker and a worker do with it."""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import dramatiq
import psutil
from django.db import connection, transaction
from django.utils import timezone

from integrations import tasks
from integrations.constants import QUEUE_SCHEDULED, SLICE_LENGTH, SYNC_STATUS_COMPLETE, RunTrigger
from integrations.models import GitHubIntegration, SyncRun
from integrations.ops import queues as broker_queues
from integrations.services.runs import start_run
from integrations.telemetry.processes import SCHEDULER, read_processes
from integrations.telemetry.redis_clients import broker_client, telemetry_client
from tests.bench.queue_teams import connected_teams
from tests.bench.queues.sending import SMALL_SIZE, WATCHED_S, begin_anew, broker_key, started_at
from tests.bench.table import Row, Samples, percentile
from tests.bench.viewers import admin_of
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import requests

    from tests.bench.rows import Bench
    from tests.processes import Process
    from tests.sandbox_control import SandboxOrganization

TEAM_COUNT: Final = int(os.environ.get("SWEEP_TEAMS", "10000"))
# Of 20 people each, dealt out among the teams.
ORGANIZATION_COUNT: Final = 50
CLICK_EVERY_S: Final = 2.0
CLICKERS: Final = 12
CLICK_BAR_MS: Final = 1_000
NAIVE_PATIENCE_S: Final = 60.0
# A look that takes longer than this keeps whatever else is due waiting for as long.
TICK_BAR_S: Final = 2.0


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
        wait_until(lambda run=run: started_at(run), timeout_s=60, what="a worker")  # type: ignore[misc]
        waits_ms.append((started_at(run) - clicked_at).total_seconds() * 1000)
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
        wait_until(lambda: started_at(run), timeout_s=NAIVE_PATIENCE_S)
    except TimeoutError:
        return None, ahead_count
    return (started_at(run) - sent_at).total_seconds(), ahead_count


def naive_words(seconds: float | None) -> str:
    return f"> {NAIVE_PATIENCE_S:.0f} s" if seconds is None else f"{seconds:.1f} s"


def _sum_of_sends() -> int:
    """Count the messages of nights that workers have ended, or that still wait."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM integrations_messageattempt WHERE queue = %s AND actor = %s",
            [QUEUE_SCHEDULED, tasks.sync_github_members_task.actor_name],
        )
        ended_count = int(cursor.fetchone()[0])
    waiting = broker_client().hvals(broker_key(f"{QUEUE_SCHEDULED}.msgs"))
    name = tasks.sync_github_members_task.actor_name.encode()
    return ended_count + sum(name in payload for payload in waiting)


def _cpu_s(process: Process) -> float:
    """Return the seconds of CPU that a process and its children have spent."""
    root = psutil.Process(process.pid)
    times = [one.cpu_times() for one in (root, *root.children(recursive=True))]
    return sum(one.user + one.system for one in times)
