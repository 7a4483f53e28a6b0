"""What is wrong is said by name, with what to do, and nothing is said when all is well."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations.ops.figures import (
    Budget,
    GitHubFigures,
    InboxFigures,
    ProcessFigures,
    QueueDepth,
    QueueFigures,
    RunFigures,
    Snapshot,
)
from integrations.ops.problems import problems_of
from integrations.ops.queues import StuckAcks

NOW = timezone.now()
DEPTH = QueueDepth("interactive", 0, 0, 0, 0, None, 0)
RUNS = RunFigures(0, 0, 0, 0, 0, 0, 0, (), ())
GITHUB = GitHubFigures(0, 0, None, (), (), (), ())


def process(kind: str, **state: Any) -> ProcessFigures:
    facts: dict[str, Any] = {
        "id": kind, "kind": kind, "name": f"host:{len(kind)}", "started_at": NOW, "seen_at": NOW,
        "is_gone": False, "memory_bytes": 1, "thread_count": 1, "ticked_at": NOW,
        "listener_since": NOW - timedelta(minutes=1),
    }  # fmt: skip
    return ProcessFigures(**(facts | state))


WELL = Snapshot(
    at=NOW,
    queues=(QueueFigures(DEPTH, (), False, "", 0, None),),
    processes=(process("worker"), process("web"), process("scheduler")),
    runs=RUNS,
    github=GITHUB,
    inboxes=InboxFigures(0, 0, None),
)


def with_queue(*, is_paused: bool = False, **depth: Any) -> Snapshot:
    figures = QueueFigures(dataclasses.replace(DEPTH, **depth), (), is_paused, "Olga", 0, None)
    return dataclasses.replace(WELL, queues=(figures,))


def with_process(*changed: ProcessFigures) -> Snapshot:
    return dataclasses.replace(WELL, processes=changed)


def with_runs(**counts: Any) -> Snapshot:
    return dataclasses.replace(WELL, runs=dataclasses.replace(RUNS, **counts))


def with_budget(remaining: int) -> Snapshot:
    budget = Budget(1, "Acme", "acme", "ada", "graphql", 5000, remaining, NOW, NOW)
    return dataclasses.replace(WELL, github=dataclasses.replace(GITHUB, budgets=(budget,)))


WEB, WORKER, SCHEDULER = process("web"), process("worker"), process("scheduler")
DEAF_WEB = process("web", listener_connected=False)


def test_all_is_well() -> None:
    assert problems_of(WELL) == ()


@pytest.mark.parametrize(
    ("code", "snapshot"),
    [
        ("no_worker", with_process(WEB, SCHEDULER)),
        ("no_scheduler", with_process(WEB, WORKER)),
        ("dead_consumer", with_process(process("worker", dead_consumers=("a.DQ",)), SCHEDULER)),
        ("scheduler_failing", with_process(WORKER, process("scheduler", is_failing=True))),
        ("scheduler_failing", with_process(WORKER, process("scheduler", ticked_at=None))),
        ("listener_down", with_process(DEAF_WEB, WORKER, SCHEDULER)),
        ("process_gone", with_process(process("web", is_gone=True), WORKER, SCHEDULER)),
        ("queue_paused", with_queue(is_paused=True)),
        ("queue_old", with_queue(ready_count=1, oldest_age_s=31.0)),
        ("dead_letters", with_queue(dead_count=2)),
        ("drift", with_queue(drift_count=2)),
        ("stalled_runs", with_runs(stalled_count=1)),
        ("messages_missing", with_runs(unanswered_count=1)),
        ("webhooks_behind", dataclasses.replace(WELL, inboxes=InboxFigures(1, 0, 61.0))),
        ("budget_low", with_budget(499)),
        ("redis_away", dataclasses.replace(WELL, unreadable={"redis": "It is away."})),
        ("database_away", dataclasses.replace(WELL, unreadable={"database": "It is away."})),
    ],
)  # fmt: skip
def test_each_is_told_with_what_to_do(code: str, snapshot: Snapshot) -> None:
    [problem] = problems_of(snapshot)
    assert problem.code == code
    assert problem.sentence.endswith(".")
    assert problem.mend.endswith(".")
    assert problem.tone in {"bad", "warn"}


@pytest.mark.parametrize(
    "snapshot",
    [
        with_queue(name="scheduled", ready_count=1, oldest_age_s=600.0),
        with_budget(501),
        with_process(
            process("web", listener_connected=False, listener_since=NOW), WORKER, SCHEDULER
        ),
        # As many messages as runs that wait.
        dataclasses.replace(
            with_queue(ready_count=3), runs=dataclasses.replace(RUNS, unanswered_count=3)
        ),
    ],
)
def test_what_will_pass_by_itself_is_none(snapshot: Snapshot) -> None:
    assert problems_of(snapshot) == ()


@pytest.mark.parametrize(("is_gone", "mend"), [(True, "by itself"), (False, "Restart this worker")])
def test_messages_that_hang_with_a_worker_are_told(is_gone: bool, mend: str) -> None:
    stuck = StuckAcks("1", "host:6", "webhooks", 3, 90.0, is_gone)
    [problem] = problems_of(WELL, [stuck])
    assert problem.code == "stuck_acks"
    assert problem.sentence == "3 messages of webhooks can't leave host:6."
    assert mend in problem.mend


def test_the_worst_stands_first() -> None:
    snapshot = dataclasses.replace(with_queue(dead_count=1), processes=())
    assert [one.tone for one in problems_of(snapshot)] == ["bad", "bad", "warn"]


def test_parts_that_can_t_be_read_are_no_problem_of_their_own() -> None:
    blind = Snapshot(at=NOW, queues=None, processes=None, runs=None, github=None, inboxes=None)
    assert problems_of(blind) == ()
