"""Attempts that never ended because their worker died: written down as lost, once.

A dead worker writes nothing. The ticker finds what its last beat said that it was at; any number of
tickers may look, and one of them takes each worker.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from integrations.constants import PROCESS_KEPT_FOR, MessageOutcome
from integrations.models import MessageAttempt
from integrations.telemetry import processes
from integrations.telemetry.counters import counters
from integrations.telemetry.redis_clients import key, telemetry_client

if TYPE_CHECKING:
    from integrations.telemetry.processes import ProcessReport

logger = structlog.get_logger(__name__)

ERROR = "WorkerLost: the worker went without a word while it worked on this"


def write_down(now: datetime) -> int:
    """Write a row for each attempt of a worker that is gone; return how many.

    Raises redis.RedisError and django.db.Error.
    """
    client = telemetry_client()
    lost_count = 0
    for report in processes.read_processes(client):
        is_dead = report.kind == processes.WORKER and report.is_gone(now)
        kept_s = int(PROCESS_KEPT_FOR.total_seconds())
        if is_dead and client.set(key(f"lost:{report.id}"), 1, nx=True, ex=kept_s):
            lost_count += _write(report)
    return lost_count


def _write(report: ProcessReport) -> int:
    attempts = [_attempt(report, one) for one in report.state.get("running", ())]
    MessageAttempt.objects.bulk_create(attempts)
    for attempt in attempts:
        labels = {"queue": attempt.queue, "actor": attempt.actor}
        counters.count("messages", outcome=MessageOutcome.LOST.value, **labels)
        counters.count_over_time(f"queue:{attempt.queue}:{MessageOutcome.LOST.value}")
    logger.warning("worker lost", worker=report.name, message_count=len(attempts))
    return len(attempts)


def _attempt(report: ProcessReport, one: dict[str, Any]) -> MessageAttempt:
    started_at = datetime.fromtimestamp(one["started_at"], UTC)
    ran_s = (report.seen_at - started_at).total_seconds()
    return MessageAttempt(
        message_id=one["message_id"],
        queue=one["queue"],
        actor=one["actor"],
        outcome=MessageOutcome.LOST,
        arguments=one["arguments"],
        error=ERROR,
        enqueued_at=started_at,
        started_at=started_at,
        finished_at=report.seen_at,
        ran_ms=max(0, round(ran_s * 1000)),
        worker=report.name,
        run_id=one["run_id"],
        team_id=one["team_id"],
    )
