"""How many workers the queues need now, by Little's law, and what a person is told of it.

Reads nothing: it judges a snapshot. The formula and the rules for scaling by it are in
docs/scale.md, "Autoscaling".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from integrations.constants import QUEUE_SCHEDULED
from integrations.ops.figures import Capacity, QueueLoad

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integrations.ops.figures import Budget, ProcessFigures, QueueFigures, Snapshot

# What waits should be gone within so long.
DRAIN_WITHIN_S: Final = 300.0
# Of the threads that a queue may use, the share that what arrives may keep busy: above the first
# a burst waits, and below the second a worker is to spare. In between nothing is changed.
BUSY_MAX: Final = 0.7
BUSY_MIN: Final = 0.5
# Until a message of a queue has ended: a sync of a small organisation.
SECONDS_UNKNOWN: Final = 1.0
# As the Procfile starts a worker, while none is there to tell.
THREADS_UNKNOWN: Final = 12
PREFETCH_UNKNOWN: Final = 4
# https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
BUDGET_LENGTH_S: Final = 3_600.0
MINUTE_S: Final = 60


def capacity_of(snapshot: Snapshot) -> Capacity | None:
    """Return what the queues need; None while queues or processes can't be read."""
    if snapshot.queues is None or snapshot.processes is None:
        return None
    alive = [one for one in snapshot.workers if not one.is_gone]
    thread_count, share = _shape(alive)
    due_count = snapshot.runs.due_night_count if snapshot.runs is not None else 0
    loads = tuple(
        _load(one, due_count if one.depth.name == QUEUE_SCHEDULED else 0, len(alive) * share)
        for one in snapshot.queues
        if not one.is_paused
    )
    bound = _bound_by_budgets(snapshot)
    wanted_count = _wanted_count(
        len(alive),
        least=_workers(loads, share=share, thread_count=thread_count, busy=BUSY_MAX),
        most=_workers(loads, share=share, thread_count=thread_count, busy=BUSY_MIN),
        is_bound=bool(bound),
    )
    slots = wanted_count * share
    drained_in_s = _longest(tuple(_drained_in_s(load, slots) for load in loads))
    return Capacity(
        loads=loads,
        alive_count=len(alive),
        wanted_count=wanted_count,
        drained_in_s=drained_in_s,
        is_bound_by_github=bool(bound),
        sentence=_sentence(loads, len(alive), wanted_count, drained_in_s),
        notes=(*bound, *([] if bound else _early(snapshot)), *_waiting(snapshot)),
    )


def _wanted_count(alive_count: int, *, least: int, most: int, is_bound: bool) -> int:
    """Return how many there should be: as many as there are, unless too few or too many."""
    if is_bound:
        least = min(least, max(1, alive_count))
    return max(least, min(alive_count, most))


def _shape(alive: list[ProcessFigures]) -> tuple[int, int]:
    """Return the threads of a worker, and how many of them work on one queue at a time."""
    if not alive:
        return THREADS_UNKNOWN, min(THREADS_UNKNOWN, PREFETCH_UNKNOWN)
    thread_count = max(1, round(sum(one.worker_thread_count for one in alive) / len(alive)))
    prefetch = min(one.prefetch_count or thread_count for one in alive)
    return thread_count, max(1, min(thread_count, prefetch))


def _load(queue: QueueFigures, due_count: int, slot_count: int) -> QueueLoad:
    """Return what one queue asks for. While nights are due, what is sent comes out of them."""
    depth = queue.depth
    fetched_count = max(0, depth.in_flight_count - queue.running_count)
    waiting_count = depth.ready_count + fetched_count + due_count
    arrivals_a_second = 0.0 if due_count else queue.arrived_count / MINUTE_S
    mean_ran_s = SECONDS_UNKNOWN if queue.mean_ran_s is None else queue.mean_ran_s
    load = QueueLoad(
        name=depth.name,
        waiting_count=waiting_count,
        arrivals_a_second=arrivals_a_second,
        mean_ran_s=mean_ran_s,
        drained_in_s=None,
    )
    return QueueLoad(**{**vars(load), "drained_in_s": _drained_in_s(load, slot_count)})


def _drained_in_s(load: QueueLoad, slot_count: float) -> float | None:
    """Return when so many threads are done with what waits; None: it only grows."""
    if not load.waiting_count:
        return 0.0
    left = slot_count - load.busy_threads
    return load.waiting_count * load.mean_ran_s / left if left > 0 else None


def _longest(times: tuple[float | None, ...]) -> float | None:
    known = [one for one in times if one is not None]
    return max(known, default=0.0) if len(known) == len(times) else None


def _workers(loads: tuple[QueueLoad, ...], *, share: int, thread_count: int, busy: float) -> int:
    """Return how many workers keep up and drain what waits in time; one at the least."""
    wanted = [_threads(load, busy=busy) for load in loads]
    of_one_queue = max((math.ceil(one / share) for one in wanted), default=0)
    return max(1, of_one_queue, math.ceil(sum(wanted) / thread_count))


def _threads(load: QueueLoad, *, busy: float) -> float:
    """Return the threads that a queue asks for: arrivals by Little's law, and what waits.

    A message keeps one thread busy at a time, however long it takes.
    """
    draining = load.waiting_count * load.mean_ran_s / DRAIN_WITHIN_S
    return load.busy_threads / busy + min(draining, load.waiting_count)


def _bound_by_budgets(snapshot: Snapshot) -> tuple[str, ...]:
    """Return why more workers would only wait for GitHub: every budget is used up too soon."""
    budgets = snapshot.github.budgets if snapshot.github is not None else ()
    if not budgets or not all(map(_is_used_up_early, budgets)):
        return ()
    return ("Every GitHub budget is used up before its reset: more workers do not help.",)


def _early(snapshot: Snapshot) -> Iterator[str]:
    for budget in snapshot.github.budgets if snapshot.github is not None else ():
        if _is_used_up_early(budget):
            whose = budget.team_name or f"credential {budget.credential_id}"
            yield (
                f"{whose} uses up its {budget.resource} budget before the reset: "
                "more workers do not help there."
            )
            return


def _waiting(snapshot: Snapshot) -> Iterator[str]:
    count = snapshot.runs.waiting_count if snapshot.runs is not None else 0
    if count:
        runs = "1 run waits" if count == 1 else f"{count:,} runs wait"
        yield f"{runs} for GitHub: no worker can hurry that."


def _is_used_up_early(budget: Budget) -> bool:
    """Say whether a credential's hour is spent before it is over, at the pace it had so far."""
    left_s = max(0.0, (budget.reset_at - budget.at).total_seconds())
    past_s = max(1.0, BUDGET_LENGTH_S - left_s)
    return budget.remaining * past_s < (budget.limit - budget.remaining) * left_s


def _sentence(
    loads: tuple[QueueLoad, ...], alive_count: int, wanted_count: int, drained_in_s: float | None
) -> str:
    takes_s = _longest(tuple(load.drained_in_s for load in loads))
    count = sum(load.waiting_count for load in loads)
    would = f"{_count(wanted_count)} would {_drain_in_words(count, drained_in_s)}"
    if not alive_count:
        words = f"No worker is alive; {would}"
    elif wanted_count > alive_count and takes_s is None:
        words = f"{_count(alive_count)} can't keep up; {would}"
    elif wanted_count > alive_count and not count:
        words = f"{_count(alive_count)} {_are(alive_count)} kept too busy; {would}"
    elif wanted_count > alive_count:
        words = f"{_count(alive_count)} would take {_minutes(takes_s)}; {would}"
    elif wanted_count < alive_count:
        words = f"{_count(alive_count)} are more than it takes; {wanted_count} would do"
    else:
        words = f"{_count(alive_count)} {_are(alive_count)} enough"
        if takes_s:
            words += f": what waits takes {_minutes(takes_s)}"
    return f"{words}."


def _drain_in_words(count: int, drained_in_s: float | None) -> str:
    return f"drain this in {_minutes(drained_in_s)}" if count and drained_in_s else "do"


def _count(worker_count: int) -> str:
    return "1 worker" if worker_count == 1 else f"{worker_count:,} workers"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _minutes(seconds: float | None) -> str:
    """Return a time in whole minutes, never less than it is; of more than two hours, in hours."""
    minutes = max(1, math.ceil((seconds or 0) / MINUTE_S - 0.001))
    return f"{minutes} min" if minutes <= 120 else f"{math.ceil(minutes / 60)} h"
