"""What Prometheus is told of the present: the gauges of a snapshot. Parts unread are left out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from prometheus_client.core import GaugeMetricFamily

from integrations.constants import QUEUES
from integrations.ops.metric_families import OTHER, PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from integrations.ops.figures import ProcessFigures, Snapshot

KINDS: Final = ("worker", "web", "scheduler")
PARTS: Final = ("redis", "database")


def gauges_of(snapshot: Snapshot, *, is_redis_up: bool) -> Iterator[Metric]:
    """Yield every gauge, those too that have no value at present."""
    up = _gauge("up", "Whether a part answers: 1 or 0.", "part")
    for part in (*PARTS, *(("rabbitmq",) if snapshot.is_rabbitmq else ())):
        is_up = part not in snapshot.unreadable and (part != "redis" or is_redis_up)
        up.add_metric([part], int(is_up))
    yield up
    yield from _of_queues(snapshot)
    yield from _of_capacity(snapshot)
    yield from _of_processes(snapshot)
    yield from _of_webs(snapshot)
    yield from _of_rows(snapshot)
    yield from _of_budgets(snapshot)


def _of_queues(snapshot: Snapshot) -> Iterator[Metric]:
    messages = _gauge("queue_messages", "Messages at the broker.", "queue", "state")
    oldest = _gauge(
        "queue_oldest_seconds", "Age of the message that has been ready longest; 0: none.", "queue"
    )
    paused = _gauge("queue_paused", "Whether operators paused it.", "queue")
    drift = _gauge("queue_drift", "Messages that are in no list: lost to Dramatiq.", "queue")
    counts: dict[tuple[str, str], int] = {}
    for figures in snapshot.queues or ():
        depth = figures.depth
        name = depth.name if depth.name in QUEUES else OTHER
        for state, count in (
            ("ready", depth.ready_count),
            ("delayed", depth.delayed_count),
            ("in_flight", depth.in_flight_count),
            ("dead", depth.dead_count),
        ):
            counts[name, state] = counts.get((name, state), 0) + count
        if name != OTHER:
            oldest.add_metric([name], depth.oldest_age_s or 0)
            paused.add_metric([name], int(figures.is_paused))
            drift.add_metric([name], depth.drift_count)
    for labels, count in counts.items():
        messages.add_metric(labels, count)
    yield from (messages, oldest, paused, drift)


def _of_capacity(snapshot: Snapshot) -> Iterator[Metric]:
    """Yield what to scale by; see docs/scale.md, "Autoscaling"."""
    wanted = _gauge("workers_wanted", "Workers that keep up and drain what waits in 5 minutes.")
    bound = _gauge("workers_bound_by_github", "Whether more would only wait for GitHub: 1 or 0.")
    waiting = _gauge(
        "queue_waiting", "Messages no thread has begun, and nights that are due.", "queue"
    )
    drain = _gauge(
        "queue_drain_seconds", "Time the living workers need for them; +Inf: it grows.", "queue"
    )
    busy = _gauge("queue_busy_threads", "Threads that what arrives keeps busy (λ W).", "queue")
    if snapshot.capacity is not None:
        wanted.add_metric([], snapshot.capacity.wanted_count)
        bound.add_metric([], int(snapshot.capacity.is_bound_by_github))
        for load in snapshot.capacity.loads:
            if load.name in QUEUES:
                takes_s = math.inf if load.drained_in_s is None else load.drained_in_s
                waiting.add_metric([load.name], load.waiting_count)
                drain.add_metric([load.name], takes_s)
                busy.add_metric([load.name], load.busy_threads)
    yield from (wanted, bound, waiting, drain, busy)


def _of_processes(snapshot: Snapshot) -> Iterator[Metric]:
    processes = _gauge("processes", "Processes, alive or gone without a word.", "kind", "state")
    threads = _gauge("worker_threads", "Threads of the workers that are alive.", "state")
    consumers = _gauge("dead_consumers", "Consumer threads that died in workers that live.")
    tick = _gauge("scheduler_tick_age_seconds", "Time since any scheduler last looked.")
    if snapshot.processes is not None:
        for kind in KINDS:
            of_kind = snapshot.of_kind(kind)
            gone_count = sum(one.is_gone for one in of_kind)
            processes.add_metric([kind, "alive"], len(of_kind) - gone_count)
            processes.add_metric([kind, "gone"], gone_count)
        workers = _alive(snapshot.workers)
        total_count = sum(one.worker_thread_count for one in workers)
        busy_count = sum(len(one.running) for one in workers)
        threads.add_metric(["busy"], busy_count)
        threads.add_metric(["idle"], max(0, total_count - busy_count))
        consumers.add_metric([], sum(len(one.dead_consumers) for one in workers))
        ticks = [one.ticked_at for one in _alive(snapshot.schedulers) if one.ticked_at is not None]
        if ticks:
            tick.add_metric([], max(0.0, (snapshot.at - max(ticks)).total_seconds()))
    yield from (processes, threads, consumers, tick)


def _of_webs(snapshot: Snapshot) -> Iterator[Metric]:
    streams = _gauge("streams", "Open streams of viewers that web processes hold.")
    held = _gauge("held_streams", "Streams that Pushpins hold; one a session and team.")
    deaf = _gauge("listeners_down", "Web processes that hear nothing from Redis.")
    if snapshot.processes is not None:
        webs = _alive(snapshot.webs)
        streams.add_metric([], sum(one.stream_count for one in webs))
        deaf.add_metric([], sum(not one.listener_connected for one in webs))
    if snapshot.held_count is not None:
        held.add_metric([], snapshot.held_count)
    yield from (streams, held, deaf)


def _of_rows(snapshot: Snapshot) -> Iterator[Metric]:
    runs = _gauge("runs", "Active runs.", "state")
    pending = _gauge("webhook_inbox_pending", "Webhook deliveries that wait to be applied.")
    oldest = _gauge("webhook_inbox_oldest_seconds", "Age of the oldest of them; 0: none.")
    if snapshot.runs is not None:
        runs.add_metric(["pending"], snapshot.runs.pending_count)
        runs.add_metric(["running"], snapshot.runs.running_count)
        runs.add_metric(["waiting"], snapshot.runs.waiting_count)
        runs.add_metric(["stalled"], snapshot.runs.stalled_count)
    if snapshot.inboxes is not None:
        pending.add_metric([], snapshot.inboxes.pending_count)
        oldest.add_metric([], snapshot.inboxes.oldest_age_s or 0)
    yield from (runs, pending, oldest)


def _of_budgets(snapshot: Snapshot) -> Iterator[Metric]:
    words = "of GitHub's rate budget, of the 20 credentials with the least left."
    remaining = _gauge("github_budget_remaining", f"What is left {words}", "credential", "resource")
    limit = _gauge("github_budget_limit", f"The whole {words}", "credential", "resource")
    if snapshot.github is not None:
        for budget in snapshot.github.budgets:
            labels = [str(budget.credential_id), budget.resource]
            remaining.add_metric(labels, budget.remaining)
            limit.add_metric(labels, budget.limit)
    yield from (remaining, limit)


def _alive(processes: tuple[ProcessFigures, ...]) -> list[ProcessFigures]:
    return [one for one in processes if not one.is_gone]


def _gauge(name: str, words: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, words, labels=labels)
