"""What one web process holds: ten thousand streams, their storm, and what they hear.

Beside it what holds streams in other ways: django-eventstream's own view, and nginx with nchan.
"""

from __future__ import annotations

import base64
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psutil
from django.conf import settings
from django.db import connection

from integrations.constants import RunTrigger
from integrations.live.fragments import member_sync_event
from integrations.models import GitHubIntegration, SyncRun
from integrations.services import transitions
from integrations.services.runs import start_run
from tests.bench.crowd_control import CrowdControl
from tests.bench.stream_comparison import naive_streams, nchan_streams
from tests.bench.stream_teams import REVISION, make_teams
from tests.bench.table import Row, Samples, percentile
from tests.processes import Process, free_port, is_listening
from tests.stack import database_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.stream_teams import Seat, Teams

TEAMS: Final = 2_000
STREAMS: Final = 10_000
LARGE: Final = 8_000
AT_ONCE: Final = 200
FEW: Final = 10
ROUNDS: Final = 40
LARGE_ROUNDS: Final = 6
TIMEOUT_S: Final = 120


@dataclass(frozen=True)
class Load:
    """What a process holds and has used."""

    resident_kib: float
    threads: int
    cpu_s: float


class Web:
    """One uvicorn with the Procfile's options, and what it costs."""

    def __init__(self, directory: Path, *, application: str = "project.asgi:application") -> None:
        self.port = free_port()
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--no-access-log"]
        self._process = Process(
            "-m", "uvicorn", application, *options, "--log-level", "warning",
            "--timeout-graceful-shutdown", "10",
            name=application.partition(":")[0],
            log_dir=directory,
            environment={
                "DATABASE_URL": database_url(),
                "REDIS_URL": settings.REDIS_URL,
                "FIELD_ENCRYPTION_KEYS": base64.urlsafe_b64encode(b"k" * 32).decode(),
            },
        )  # fmt: skip

    @contextmanager
    def running(self) -> Iterator[Web]:
        self._process.start()
        try:
            self._process.wait_ready(lambda: is_listening(self.port))
            yield self
        finally:
            self._process.stop()

    @property
    def output(self) -> str:
        return self._process.output

    def load(self) -> Load:
        process = psutil.Process(self._process.pid)
        used = process.cpu_times()
        return Load(
            process.memory_info().rss / 1024, process.num_threads(), used.user + used.system
        )


def measure(directory: Path) -> list[Row]:
    """Return the rows, on the database that the settings name."""
    teams = make_teams(team_count=TEAMS, people_count=STREAMS, large_count=LARGE)
    naive = naive_streams(
        Web(directory, application="tests.bench.stream_naive:application"), teams.seats
    )
    with Web(directory).running() as web:
        rows = _held(web, teams, naive=str(naive))
        with CrowdControl() as crowd:
            rows += _storm(web, crowd, teams)
        with CrowdControl() as crowd:
            rows += _one_large_team(web, crowd, teams)
        assert "Traceback" not in web.output, web.output[-3000:]
    run = SyncRun.objects.select_related("integration__team").latest("pk")
    fragment = member_sync_event(run.integration, run).data
    return rows + nchan_streams(directory, count=LARGE, fragment=fragment)


def _held(web: Web, teams: Teams, *, naive: str) -> list[Row]:
    """Open all of them; what they hold, and what ten of them hear meanwhile."""
    with CrowdControl() as crowd:
        # The first ones pay for what is made once.
        _open(web, crowd, teams.seats[:AT_ONCE], at_once=AT_ONCE)
        crowd.ask("hang_up")
        time.sleep(1)
        before = web.load()
        opened = _open(web, crowd, teams.seats, at_once=AT_ONCE)
        after = web.load()
        crowd.ask("stay", seconds=5)
        held = web.load()
        # The five of the first team, each with a second tab.
        _open(web, crowd, teams.seats[: FEW // 2], at_once=FEW)
        lags = _few_hear(crowd, teams.seats[0])
        busy, pooled = _connections()
    rate = opened["opened"] / opened["took_s"]
    each_kib = (held.resident_kib - before.resident_kib) / STREAMS
    engine = "PostgreSQL" if connection.vendor == "postgresql" else "SQLite"
    return [
        Row(
            f"streams opened, {STREAMS:,} over {TEAMS:,} teams, signed in, on {engine}",
            f"{rate:,.0f} a second ({opened['took_s']:.1f} s, {after.cpu_s - before.cpu_s:.1f} s "
            f"of CPU, p95 {opened['wait_p95_s'] * 1000:.0f} ms), {opened['lost']} lost",
            "500 a second, 0 lost",
            "-",
            rate >= 500 and opened["opened"] == STREAMS,
            Samples("a second", 500, [rate], is_floor=True),
        ),
        Row(
            f"{STREAMS:,} open streams in one process: each, threads, database connections",
            f"{each_kib:.1f} KiB, {held.threads} threads, {busy} busy ({pooled} in the pool)",
            "30 KiB, 20 threads, 0 busy",
            naive,
            each_kib <= 30 and held.threads <= 20 and busy == 0,
            Samples("KiB each", 30, [each_kib]),
        ),
        Row(
            f"event to {FEW} viewers while {STREAMS:,} are open (p95, the last of them)",
            f"{percentile(lags, 95) * 1000:.1f} ms (median {percentile(lags, 50) * 1000:.1f} ms)",
            "50 ms",
            "-",
            percentile(lags, 95) <= 0.050,
            Samples("ms", 50, [lag * 1000 for lag in lags]),
        ),
    ]


def _few_hear(crowd: CrowdControl, seat: Seat) -> list[float]:
    """Move one team's run again and again; return when the last of its viewers heard, in s."""
    integration = GitHubIntegration.objects.get(team=seat.team)
    lags = []
    for number in range(ROUNDS):
        lags += lags_of(crowd, integration, count=FEW)
        crowd.ask("stay", seconds=0.05 + number % 7 * 0.03)
    return lags


def lags_of(crowd: CrowdControl, integration: GitHubIntegration, *, count: int) -> list[float]:
    """Start a run and end it: how long after the call each event was at the last, in seconds."""
    found = []
    run = None
    for _ in range(2):
        integration.team.refresh_from_db()
        channel = f"team-{integration.team_id}"
        crowd.ask("listen", words=f"id: {channel}:{integration.team.revision + 1}\n")
        crowd.tell("hear", count=count, timeout_s=10)
        begun_s = time.monotonic()
        if run is None:
            run = start_run(integration, trigger=RunTrigger.MANUAL).run
        else:
            transitions.fail(run, "internal_error")
        heard = crowd.answer()["heard_at_s"]
        assert len(heard) == count, f"{len(heard)} of {count} heard"
        found.append(heard[-1] - begun_s)
    return found


def _storm(web: Web, crowd: CrowdControl, teams: Teams) -> list[Row]:
    """All come at one moment, each with the id before the present one, and get what they missed."""
    before = web.load()
    opened = _open(web, crowd, teams.seats, at_once=STREAMS, after_id=REVISION - 1)
    after = web.load()
    crowd.ask("hang_up")
    return [
        Row(
            f"{STREAMS:,} viewers reconnect at one moment, each a state behind",
            f"{opened['opened']:,} served in {opened['took_s']:.1f} s "
            f"({after.cpu_s - before.cpu_s:.1f} s of CPU), {opened['lost']} lost, "
            f"peak {after.threads} threads",
            "all served, 0 lost",
            "-",
            opened["opened"] == STREAMS and after.threads <= 20,
        )
    ]


def _one_large_team(web: Web, crowd: CrowdControl, teams: Teams) -> list[Row]:
    opened = _open(web, crowd, teams.large, at_once=AT_ONCE)
    assert opened["opened"] == LARGE, (opened, web.output[-3000:])
    integration = GitHubIntegration.objects.get(team=teams.large[0].team)
    before, crowd_before = web.load(), crowd.ask("cost")
    lags: list[float] = []
    for _ in range(LARGE_ROUNDS):
        lags += lags_of(crowd, integration, count=LARGE)
    cpu_s = (web.load().cpu_s - before.cpu_s) / len(lags)
    crowd_s = (crowd.ask("cost")["cpu_s"] - crowd_before["cpu_s"]) / len(lags)
    return [
        Row(
            f"event to {LARGE:,} viewers of one team, the last one",
            f"{max(lags) * 1000:.0f} ms (median {percentile(lags, 50) * 1000:.0f} ms, "
            f"{cpu_s:.2f} s of CPU, the viewers' {crowd_s:.2f} s)",
            "500 ms",
            "-",
            max(lags) <= 0.5,
            Samples("ms", 500, [lag * 1000 for lag in lags]),
        )
    ]


def _open(
    web: Web, crowd: CrowdControl, seats: list[Seat], *, at_once: int, after_id: int = REVISION
) -> dict[str, Any]:
    return crowd.ask(
        "open",
        port=web.port,
        requests=[seat.wanted(after_id=after_id) for seat in seats],
        at_once=at_once,
        timeout_s=TIMEOUT_S,
    )


def _connections() -> tuple[int, int]:
    """Count the database connections beside ours: those at work, and all of them."""
    if connection.vendor != "postgresql":
        return 0, 0
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE state <> 'idle'), count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        busy, all_of_them = cursor.fetchone()
    return int(busy), int(all_of_them)
