"""Everything on the dashboard at one instant, whatever is away: page, stream, command and metrics.

Redis and the database are asked side by side, each within about a second; a part that can't be
read is None, and why is said in words.
"""

from __future__ import annotations

import dataclasses
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog
from django.db import Error as DatabaseFailure
from django.utils import timezone
from dramatiq.errors import BrokerConnectionError
from redis.exceptions import RedisError

from integrations.live.grip_register import count_holds
from integrations.ops import github, pausing, queues, rates, runs
from integrations.ops.capacity import capacity_of
from integrations.ops.figures import ProcessFigures, QueueFigures, RunningMessage, Snapshot
from integrations.ops.problems import problems_of
from integrations.ops.reachability import briefly, is_database_away
from integrations.rabbitmq.broker import quorum_broker
from integrations.telemetry import processes
from integrations.telemetry.counters import MINUTE, read_latest
from integrations.telemetry.github_calls import BUDGETS
from integrations.telemetry.redis_clients import broker_client, telemetry_client

if TYPE_CHECKING:
    from integrations.ops.figures import GitHubFigures, InboxFigures, QueueDepth, RunFigures
    from integrations.ops.queues import StuckAcks
    from integrations.telemetry.processes import ProcessReport

logger = structlog.get_logger(__name__)

REDIS_PATIENCE_S: Final = 1.6
NO_REDIS: Final = "Redis doesn't answer, so queues and processes can't be shown."
NO_RABBITMQ: Final = "RabbitMQ doesn't answer, so queues can't be shown."
NO_DATABASE: Final = "The database doesn't answer, so runs and GitHub can't be shown."

_threads: Final = ThreadPoolExecutor(4, thread_name_prefix="ops-redis")


@dataclass(frozen=True)
class _FromRedis:
    """What Redis says, and the broker."""

    # None: the broker is RabbitMQ and away.
    depths: list[QueueDepth] | None
    past: rates.Past
    reports: list[ProcessReport]
    stuck: tuple[StuckAcks, ...]
    budgets: dict[str, dict[str, Any]]
    paused: frozenset[str]
    held_count: int | None


@dataclass(frozen=True)
class _FromRows:
    """What the database says."""

    runs: RunFigures
    inboxes: InboxFigures
    paused_by: dict[str, str]


@briefly()
def take() -> Snapshot:
    """Look at everything once. Never raises; takes about two seconds when all is away."""
    begun_s, now = time.monotonic(), timezone.now()
    asked = _threads.submit(_read_redis)
    rows = _read_rows(now)
    told = _told_by_redis(asked, begun_s)
    figures_of_github: GitHubFigures | None = None
    if told is not None and rows is not None:
        figures_of_github = _read_github(told, now)
    snapshot = Snapshot(
        at=now,
        queues=None if told is None else _queues(told, rows, now),
        processes=None if told is None else tuple(_process(one, now) for one in told.reports),
        runs=None if rows is None else rows.runs,
        github=figures_of_github,
        inboxes=None if rows is None else rows.inboxes,
        unreadable={
            **({} if told is not None else {"redis": NO_REDIS}),
            **({"rabbitmq": NO_RABBITMQ} if told is not None and told.depths is None else {}),
            **({} if rows is not None else {"database": NO_DATABASE}),
        },
        is_rabbitmq=quorum_broker() is not None,
        held_count=None if told is None else told.held_count,
    )
    return dataclasses.replace(
        snapshot,
        problems=problems_of(snapshot, () if told is None else told.stuck),
        capacity=capacity_of(snapshot),
        took_s=time.monotonic() - begun_s,
    )


def _read_redis() -> _FromRedis:
    client = telemetry_client()
    # A Redis that hangs is given up at the first question.
    client.ping()
    if quorum_broker() is None:
        broker_client().ping()
    reports = processes.read_processes(client)
    return _FromRedis(
        depths=_read_depths(),
        past=rates.read_past(client),
        reports=reports,
        stuck=tuple(queues.stuck_acks(reports)),
        budgets=read_latest(client, BUDGETS),
        paused=pausing.told(client),
        held_count=count_holds(),
    )


def _read_depths() -> list[QueueDepth] | None:
    try:
        return queues.read_depths()
    except BrokerConnectionError as exc:
        logger.warning("RabbitMQ not read for operators", error=str(exc))
        return None


def _told_by_redis(asked: Future[_FromRedis], begun_s: float) -> _FromRedis | None:
    left_s = max(0.05, REDIS_PATIENCE_S - (time.monotonic() - begun_s))
    try:
        return asked.result(timeout=left_s)
    except (RedisError, TimeoutError) as exc:
        logger.warning("Redis not read for operators", error=str(exc))
        return None


def _read_rows(now: datetime) -> _FromRows | None:
    if is_database_away():
        return None
    try:
        return _FromRows(
            runs=runs.read_runs(now),
            inboxes=github.read_inboxes(now),
            paused_by={
                queue: row.paused_by.display_name if row.paused_by else "the command line"
                for queue, row in pausing.paused().items()
            },
        )
    except DatabaseFailure as exc:
        logger.warning("rows not read for operators", error=str(exc))
        return None


def _read_github(told: _FromRedis, now: datetime) -> GitHubFigures | None:
    try:
        return github.github_figures(told.past, told.budgets, runs.waiting_runs(now), now)
    except DatabaseFailure as exc:
        logger.warning("GitHub's figures not read for operators", error=str(exc))
        return None


def _queues(
    told: _FromRedis, rows: _FromRows | None, now: datetime
) -> tuple[QueueFigures, ...] | None:
    if told.depths is None:
        return None
    working: dict[str, int] = {}
    for report in told.reports:
        if not report.is_gone(now):
            for one in report.state.get("running", ()):
                working[one["queue"]] = working.get(one["queue"], 0) + 1
    paused = told.paused if rows is None else frozenset(rows.paused_by)
    return tuple(
        QueueFigures(
            depth=depth,
            rates=rates.rates_of_queue(told.past, depth.name),
            is_paused=depth.name in paused,
            paused_by="" if rows is None else rows.paused_by.get(depth.name, ""),
            running_count=working.get(depth.name, 0),
            drained_in_s=_drained_in_s(depth, told.past),
            arrived_count=rates.arrived_count(told.past, depth.name),
            mean_ran_s=rates.mean_ran_s(told.past, depth.name),
        )
        for depth in told.depths
    )


def _drained_in_s(depth: QueueDepth, past: rates.Past) -> float | None:
    """Return how long the waiting messages take at the last minute's rate."""
    ended_count = rates.rates_of_queue(past, depth.name)[0].count
    if not (depth.ready_count and ended_count):
        return None
    return depth.ready_count * MINUTE.length_s / ended_count


def _process(report: ProcessReport, now: datetime) -> ProcessFigures:
    state = report.state
    return ProcessFigures(
        id=report.id,
        kind=report.kind,
        name=report.name,
        started_at=report.started_at,
        seen_at=report.seen_at,
        is_gone=report.is_gone(now),
        memory_bytes=report.memory_bytes,
        thread_count=report.thread_count,
        queues=tuple(state.get("queues", ())),
        worker_thread_count=state.get("threads", 0),
        prefetch_count=state.get("prefetch", 0),
        dead_consumers=tuple(state.get("dead_consumers", ())),
        running=tuple(_running(one) for one in state.get("running", ())),
        stream_count=state.get("streams", 0),
        watcher_count=state.get("watchers", 0),
        events_a_second=state.get("events_a_second", 0.0),
        listener_connected=state.get("listener_connected", True),
        listener_since=_instant(state.get("listener_since")),
        ticked_at=_instant(state.get("ticked_at")),
        tick_took_s=state.get("took_s", 0.0),
        is_failing=state.get("is_failing", False),
    )


def _running(one: dict[str, Any]) -> RunningMessage:
    return RunningMessage(
        message_id=one["message_id"],
        actor=one["actor"],
        queue=one["queue"],
        arguments=one["arguments"],
        since=datetime.fromtimestamp(one["started_at"], UTC),
        run_id=one["run_id"],
        team_id=one["team_id"],
    )


def _instant(at_s: float | None) -> datetime | None:
    return datetime.fromtimestamp(at_s, UTC) if at_s else None
