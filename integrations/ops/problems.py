"""What is wrong right now, said by name and with what to do. Reads nothing: it judges a snapshot.

The queue is compared with the rows here, and with what the workers say they hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from integrations.constants import QUEUE_INTERACTIVE
from integrations.ops.figures import Problem

if TYPE_CHECKING:
    from datetime import datetime

    from integrations.ops.figures import (
        ProcessFigures,
        QueueFigures,
        Snapshot,
    )
    from integrations.ops.queues import StuckAcks

BAD: Final = "bad"
WARN: Final = "warn"

# A click waits this long before somebody should look; other queues may be behind for a while.
INTERACTIVE_AGE_S: Final = 30
OTHER_AGE_S: Final = 15 * 60
INBOX_AGE_S: Final = 60
TICK_AGE_S: Final = 30
BUDGET_PERCENT: Final = 10
# A web process subscribes within a second; a Redis outage shows elsewhere as well.
LISTENER_AWAY_S: Final = 5


def problems_of(snapshot: Snapshot, stuck: Iterable[StuckAcks] = ()) -> tuple[Problem, ...]:
    """Return what is wrong, the worst first. `stuck` is what hangs with workers."""
    found = [
        *_unreadable(snapshot),
        *_of_workers(snapshot),
        *map(_of_stuck, stuck),
        *_of_schedulers(snapshot),
        *_of_webs(snapshot),
        *_of_queues(snapshot),
        *_of_runs(snapshot),
        *_of_github(snapshot),
    ]
    return tuple(sorted(found, key=lambda problem: problem.tone != BAD))


def _unreadable(snapshot: Snapshot) -> Iterator[Problem]:
    mends = {
        "redis": "Start it, or mend REDIS_URL. Syncs go on by themselves once it is back.",
        "rabbitmq": "Start it, or mend BROKER_URL. Syncs go on by themselves once it is back.",
        "database": "Start it, or mend DATABASE_URL. Until then nothing can be shown but queues.",
    }
    for part, sentence in snapshot.unreadable.items():
        yield Problem(f"{part}_away", BAD, sentence, mends.get(part, "Look at the logs."), part)


def _of_workers(snapshot: Snapshot) -> Iterator[Problem]:
    if snapshot.processes is None:
        return
    if not any(not worker.is_gone for worker in snapshot.workers):
        yield Problem(
            "no_worker", BAD, "No worker is alive.",
            "Start one: manage.py rundramatiq. Whatever was asked for waits for it.",
        )  # fmt: skip
    for worker in snapshot.workers:
        if worker.is_gone:
            yield _gone(worker)
        elif worker.dead_consumers:
            names = ", ".join(worker.dead_consumers)
            yield Problem(
                "dead_consumer", BAD, f"Worker {worker.name} fetches nothing of {names} any more.",
                "Restart this worker: its consumer thread died. What it runs goes on elsewhere.",
                worker.name, "#workers",
            )  # fmt: skip


def _of_stuck(stuck: StuckAcks) -> Problem:
    whose = stuck.process_name or "a process that is not in the register any more"
    mend = (
        "Dramatiq gives them back by itself, about a minute after the last word of that process."
        if stuck.is_gone
        else "Restart this worker: it fetched them and will not work on them. Runs go on elsewhere."
    )
    messages = _count(stuck.count, "message", "messages")
    return Problem(
        "stuck_acks", WARN, f"{messages} of {stuck.queue} can't leave {whose}.", mend,
        whose, "#workers",
    )  # fmt: skip


def _gone(process: ProcessFigures) -> Problem:
    return Problem(
        "process_gone", WARN, f"The {process.kind} {process.name} went without a word.",
        "Its runs go on within 20 s. Find out why it died, then forget it here.",
        process.name, "#workers",
    )  # fmt: skip


def _of_schedulers(snapshot: Snapshot) -> Iterator[Problem]:
    if snapshot.processes is None:
        return
    alive = [one for one in snapshot.schedulers if not one.is_gone]
    if not alive:
        yield Problem(
            "no_scheduler", BAD, "No scheduler is alive.",
            "Start one: manage.py run_scheduler. Nights, waits and lost messages need it.",
        )  # fmt: skip
    elif all(one.is_failing or _age_s(one.ticked_at, snapshot.at) > TICK_AGE_S for one in alive):
        yield Problem(
            "scheduler_failing", BAD, "The scheduler's looks fail, or take too long.",
            "Look at its log: database or Redis are away for it.",
        )  # fmt: skip
    yield from (_gone(one) for one in snapshot.schedulers if one.is_gone)


def _of_webs(snapshot: Snapshot) -> Iterator[Problem]:
    for web in snapshot.webs:
        away_s = _age_s(web.listener_since, snapshot.at)
        if web.is_gone:
            yield _gone(web)
        elif not web.listener_connected and away_s > LISTENER_AWAY_S:
            yield Problem(
                "listener_down", BAD, f"Web process {web.name} hears nothing from Redis.",
                "It reconnects by itself; if Redis is well, restart this process.",
                web.name, "#streams",
            )  # fmt: skip


def _of_queues(snapshot: Snapshot) -> Iterator[Problem]:
    for queue in snapshot.queues or ():
        name, depth = queue.depth.name, queue.depth
        if queue.is_paused:
            by = f" by {queue.paused_by}" if queue.paused_by else ""
            yield Problem(
                "queue_paused", WARN, f"The queue {name} is paused{by}.",
                "Resume it when you are done: what is asked for meanwhile waits.", name, "#queues",
            )  # fmt: skip
        elif _is_old(queue):
            yield Problem(
                "queue_old", WARN,
                f"A message has waited in {name} for {round(depth.oldest_age_s or 0)} s.",
                "Start more workers, or pause what floods it.", name, "#queues",
            )  # fmt: skip
        if depth.dead_count:
            letters = _count(depth.dead_count, "dead letter lies", "dead letters lie")
            yield Problem(
                "dead_letters", WARN, f"{letters} in {name}.",
                "Look at why, then requeue or delete them.",
                name, f"messages/?state=dead&queue={name}",
            )  # fmt: skip
        if depth.drift_count:
            messages = _count(depth.drift_count, "message is", "messages are")
            yield Problem(
                "drift", WARN, f"{messages} in no list of {name}.",
                "They are lost to Dramatiq; the runs' rows bring new messages by themselves.",
                name, "#queues",
            )  # fmt: skip


def _is_old(queue: QueueFigures) -> bool:
    age_s = queue.depth.oldest_age_s
    limit_s = INTERACTIVE_AGE_S if queue.depth.name == QUEUE_INTERACTIVE else OTHER_AGE_S
    return age_s is not None and age_s > limit_s


def _of_runs(snapshot: Snapshot) -> Iterator[Problem]:
    if snapshot.runs is None:
        return
    if snapshot.runs.stalled_count:
        stalled = _count(snapshot.runs.stalled_count, "run stands", "runs stand")
        yield Problem(
            "stalled_runs", BAD, f"{stalled} still.",
            "No worker took them up. See that workers and a scheduler are alive, then retry.",
            link="runs/?state=stalled",
        )  # fmt: skip
    if snapshot.queues is not None and (missing := _missing_messages(snapshot)):
        waiting = _count(missing, "waiting run has", "waiting runs have")
        yield Problem(
            "messages_missing", WARN, f"{waiting} no message in any queue.",
            "The scheduler sends them again by itself, at the latest after ten minutes.",
            link="runs/?state=pending",
        )  # fmt: skip
    if snapshot.inboxes is not None and (snapshot.inboxes.oldest_age_s or 0) > INBOX_AGE_S:
        yield Problem(
            "webhooks_behind", WARN,
            f"A webhook has waited for {round(snapshot.inboxes.oldest_age_s or 0)} s.",
            "Look at the webhooks queue and its workers.", link="#webhooks",
        )  # fmt: skip


def _missing_messages(snapshot: Snapshot) -> int:
    """Return by how many the runs that wait for a worker outnumber what the queues hold."""
    if snapshot.is_rabbitmq:
        # What its workers hold is known a second late, and it loses nothing.
        return 0
    assert snapshot.runs is not None
    held = sum(q.depth.ready_count + q.depth.in_flight_count for q in snapshot.queues or ())
    return max(0, snapshot.runs.unanswered_count - held)


def _of_github(snapshot: Snapshot) -> Iterator[Problem]:
    if snapshot.github is None:
        return
    for budget in snapshot.github.budgets:
        if budget.left_percent < BUDGET_PERCENT:
            whose = budget.team_name or f"credential {budget.credential_id}"
            yield Problem(
                "budget_low", WARN,
                f"{whose} has {budget.remaining:,} of {budget.limit:,} {budget.resource} left.",
                "Its runs wait until GitHub's reset and then go on by themselves.",
                whose, "#github",
            )  # fmt: skip


def _age_s(instant: datetime | None, now: datetime) -> float:
    return float("inf") if instant is None else (now - instant).total_seconds()


def _count(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
