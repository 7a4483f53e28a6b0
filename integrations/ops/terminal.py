"""The dashboard's numbers as text for a terminal, and as JSON for scripts. Reads nothing."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import TYPE_CHECKING, Any

from integrations.masking import masked, masked_within

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from integrations.ops.figures import ProcessFigures, QueueFigures, Snapshot


def as_json(snapshot: Snapshot) -> dict[str, Any]:
    """Return the snapshot as plain values, with instants in ISO 8601 and secrets masked."""
    found: dict[str, Any] = masked_within(_plain(dataclasses.asdict(snapshot)))
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        plain: Any = value.isoformat()
    elif isinstance(value, dict):
        plain = {str(key): _plain(one) for key, one in value.items()}
    elif isinstance(value, list | tuple):
        plain = [_plain(one) for one in value]
    else:
        plain = value
    return plain


def as_text(snapshot: Snapshot) -> str:
    """Return the snapshot as lines of at most about a hundred characters."""
    lines = [f"Rollcall at {snapshot.at:%Y-%m-%d %H:%M:%S} UTC"]
    for part in (_problems, _queues, _processes, _running, _runs, _github, _webhooks):
        lines += ["", *part(snapshot)]
    return masked("\n".join(lines))


def _problems(snapshot: Snapshot) -> Iterator[str]:
    if not snapshot.problems:
        yield "Nothing is wrong."
    for problem in snapshot.problems:
        yield f"{problem.tone.upper():<5}{problem.sentence}"
        yield f"     {problem.mend}"


def _queues(snapshot: Snapshot) -> Iterator[str]:
    if snapshot.queues is None:
        yield "QUEUES       not readable"
        return
    yield from _table(
        ["QUEUE", "READY", "DELAYED", "IN FLIGHT", "DEAD", "OLDEST", "A MINUTE", "FAILED", ""],
        [_queue(one) for one in snapshot.queues],
    )
    if snapshot.capacity is not None:
        yield " ".join((snapshot.capacity.sentence, *snapshot.capacity.notes))


def _queue(figures: QueueFigures) -> list[str]:
    depth, rates = figures.depth, {rate.window: rate for rate in figures.rates}
    minute, hour = rates.get("minute"), rates.get("hour")
    return [
        depth.name,
        f"{depth.ready_count:,}",
        f"{depth.delayed_count:,}",
        f"{depth.in_flight_count:,}",
        f"{depth.dead_count:,}",
        _duration(depth.oldest_age_s),
        f"{minute.count:,}" if minute else "-",
        f"{hour.failure_percent:.1f}%" if hour else "-",
        "paused" if figures.is_paused else "",
    ]


def _processes(snapshot: Snapshot) -> Iterator[str]:
    if snapshot.processes is None:
        yield "PROCESSES    not readable"
        return
    yield from _table(
        ["PROCESS", "KIND", "STATE", "HEARD", "MEMORY", "AT WORK"],
        [
            [
                one.name,
                one.kind,
                "gone" if one.is_gone else "alive",
                _duration((snapshot.at - one.seen_at).total_seconds()),
                f"{one.memory_bytes / 2**20:,.0f} MB",
                _at_work(one, snapshot.at),
            ]
            for one in snapshot.processes
        ],
    )
    if snapshot.held_count is not None:
        yield f"Pushpin holds {snapshot.held_count:,} streams."


def _at_work(process: ProcessFigures, now: datetime) -> str:
    if process.kind == "worker":
        words = f"{len(process.running)} of {process.worker_thread_count} threads"
        if process.dead_consumers:
            words += f", dead: {', '.join(process.dead_consumers)}"
    elif process.kind == "web":
        words = f"{process.stream_count:,} streams, {process.events_a_second:g} events/s"
        if not process.listener_connected:
            words += ", hears nothing"
    elif process.ticked_at is None:
        words = "has not looked yet"
    else:
        words = f"looked {_duration((now - process.ticked_at).total_seconds())} ago"
    return words


def _running(snapshot: Snapshot) -> Iterator[str]:
    rows = [
        [
            worker.name,
            one.actor,
            _duration((snapshot.at - one.since).total_seconds()),
            "-" if one.run_id is None else f"run {one.run_id}",
        ]
        for worker in snapshot.workers
        for one in worker.running
    ]
    if rows:
        yield from _table(["WORKER", "RUNS", "FOR", "ABOUT"], rows)
    else:
        yield "No message is being worked on."


def _runs(snapshot: Snapshot) -> Iterator[str]:
    runs = snapshot.runs
    if runs is None:
        yield "RUNS         not readable"
        return
    yield (
        f"RUNS         {runs.running_count:,} running, {runs.pending_count:,} pending, "
        f"{runs.waiting_count:,} waiting, {runs.stalled_count:,} stalled; "
        f"last day {runs.completed_count:,} complete, {runs.failed_count:,} failed"
    )
    for cause in runs.causes:
        yield f"             {cause.count:,} x {cause.error_code} in {cause.team_count:,} teams"


def _github(snapshot: Snapshot) -> Iterator[str]:
    github = snapshot.github
    if github is None:
        yield "GITHUB       not readable"
        return
    latency = "-" if github.latency_s is None else f"{1000 * github.latency_s:.0f} ms"
    yield (
        f"GITHUB       {github.requests_a_minute:,.0f} requests and "
        f"{github.points_a_minute:,.0f} points a minute, {latency}"
    )
    for status, count in github.errors:
        yield f"             {count:,} x {status} in the last hour"
    for budget in github.budgets[:5]:
        yield (
            f"             {budget.remaining:,} of {budget.limit:,} {budget.resource} left "
            f"to {budget.team_name or budget.credential_id}"
        )


def _webhooks(snapshot: Snapshot) -> Iterator[str]:
    inboxes = snapshot.inboxes
    if inboxes is None:
        yield "WEBHOOKS     not readable"
    else:
        yield (
            f"WEBHOOKS     {inboxes.pending_count:,} wait, the oldest for "
            f"{_duration(inboxes.oldest_age_s)}; {inboxes.failed_count:,} failed in the last day"
        )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(line[i]) for line in (head, *rows)) for i in range(len(head))]
    for line in (head, *rows):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _duration(seconds: float | None) -> str:
    """Return a duration in its largest unit; a dash for none."""
    if seconds is None:
        words = "-"
    elif seconds < 120:
        words = f"{max(0, seconds):.0f} s"
    elif seconds < 2 * 60 * 60:
        words = f"{seconds / 60:.0f} min"
    elif seconds < 2 * 24 * 60 * 60:
        words = f"{seconds / 3600:.0f} h"
    else:
        words = f"{seconds / 86400:.0f} d"
    return words
