"""Made-up snapshots of the whole product: with something of everything, empty, and broken.

Names in them are hostile: whatever shows them has to hold.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from integrations.ops.capacity import capacity_of
from integrations.ops.figures import (
    Budget,
    GitHubFigures,
    InboxFigures,
    ProcessFigures,
    QueueDepth,
    QueueFigures,
    Rate,
    RunFigures,
    RunGroup,
    RunLine,
    RunningMessage,
    Snapshot,
)
from integrations.ops.problems import problems_of

HOSTILE: Final = "<script>alert('ops')</script>"
MESSAGE_ID: Final = "7a0f3d7e-5f0b-4c57-9a39-9f1f6f3c9d01"
EMPTY_RATES: Final = tuple(
    Rate(window, 0, 0, (0,) * count)
    for window, count in (("minute", 12), ("hour", 30), ("day", 24))
)
NO_REDIS: Final = "Redis doesn't answer, so queues and processes can't be shown."
NO_DATABASE: Final = "The database doesn't answer, so runs and GitHub can't be shown."


def full(now: datetime | None = None) -> Snapshot:
    """Return a busy afternoon with a bit of everything that can be wrong."""
    now = now or timezone.now()
    return judged(
        Snapshot(
            at=now,
            queues=_queues(),
            processes=_processes(now),
            runs=_runs(now),
            github=_github(now),
            inboxes=InboxFigures(pending_count=3, failed_count=1, oldest_age_s=4.2),
            took_s=0.021,
            held_count=8_204,
        )
    )


def calm(now: datetime | None = None) -> Snapshot:
    """Return the usual: everything runs and nothing is wrong."""
    now = now or timezone.now()
    taken = full(now)
    queues = tuple(
        dataclasses.replace(
            queue,
            is_paused=False,
            depth=dataclasses.replace(queue.depth, dead_count=0, drift_count=0, oldest_age_s=0.4),
        )
        for queue in taken.queues or ()
    )
    processes = tuple(
        dataclasses.replace(one, dead_consumers=(), listener_connected=True)
        for one in taken.processes or ()
        if not one.is_gone
    )
    assert taken.runs is not None
    assert taken.github is not None
    runs = dataclasses.replace(
        taken.runs, stalled_count=0, failed_count=0, unanswered_count=0, causes=(),
        lines=tuple(line for line in taken.runs.lines if line.state != "stalled"),
    )  # fmt: skip
    github = dataclasses.replace(taken.github, errors=(), budgets=taken.github.budgets[1:])
    return judged(
        dataclasses.replace(
            taken, queues=queues, processes=processes, runs=runs, github=github, held_count=None
        )
    )


def empty(now: datetime | None = None) -> Snapshot:
    """Return a product that was just installed and runs nothing."""
    queues = tuple(
        QueueFigures(QueueDepth(name, 0, 0, 0, 0, None, 0), EMPTY_RATES, False, "", 0, None)
        for name in ("interactive", "scheduled", "webhooks")
    )
    return judged(
        Snapshot(
            at=now or timezone.now(),
            queues=queues,
            processes=(),
            runs=RunFigures(0, 0, 0, 0, 0, 0, 0, (), ()),
            github=GitHubFigures(0.0, 0.0, None, (), (0,) * 60, (), ()),
            inboxes=InboxFigures(0, 0, None),
        )
    )


def without_redis(now: datetime | None = None) -> Snapshot:
    taken = full(now)
    return judged(
        dataclasses.replace(
            taken, queues=None, processes=None, github=None, unreadable={"redis": NO_REDIS},
            took_s=1.62,
        )
    )  # fmt: skip


def without_database(now: datetime | None = None) -> Snapshot:
    taken = full(now)
    return judged(
        dataclasses.replace(
            taken, runs=None, github=None, inboxes=None, unreadable={"database": NO_DATABASE},
            took_s=0.83,
        )
    )  # fmt: skip


def judged(snapshot: Snapshot) -> Snapshot:
    return dataclasses.replace(
        snapshot, problems=problems_of(snapshot), capacity=capacity_of(snapshot)
    )


def _queues() -> tuple[QueueFigures, ...]:
    wave = tuple(3 + (7 * n) % 11 for n in range(30))
    return (
        QueueFigures(
            QueueDepth("interactive", 4, 2, 6, 0, 0.8, 0),
            (
                Rate("minute", 41, 0, wave[:12]),
                Rate("hour", 1_912, 6, wave),
                Rate("day", 30_412, 91, wave[:24]),
            ),
            False, "", 4, 6.0,
        ),
        QueueFigures(
            QueueDepth("scheduled", 12_480, 310, 12, 7, 1_260.0, 3),
            (
                Rate("minute", 96, 12, wave[3:15]),
                Rate("hour", 5_204, 204, wave[::-1]),
                Rate("day", 61_000, 1_204, wave[4:28]),
            ),
            False, "", 12, 6_900.0, arrived_count=96, mean_ran_s=4.4,
        ),
        QueueFigures(
            QueueDepth("webhooks", 210, 0, 0, 0, 42.0, 0),
            (
                EMPTY_RATES[0],
                Rate("hour", 318, 0, (*(0,) * 9, *wave[:21])),
                Rate("day", 9_120, 2, wave[:24]),
            ),
            True, "olga@example.com", 0, None,
        ),
    )  # fmt: skip


def _processes(now: datetime) -> tuple[ProcessFigures, ...]:
    def ago(**length: float) -> datetime:
        return now - timedelta(**length)

    running = (
        RunningMessage(
            MESSAGE_ID, "sync_github_members_task", "scheduled", '{"args": [812]}',
            ago(seconds=42), 812, 3,
        ),
        RunningMessage("8b1f", "drain_webhooks_task", "webhooks", "{}", ago(seconds=1), None, None),
        RunningMessage("9c2f", HOSTILE, "interactive", HOSTILE, ago(minutes=3), 815, 9),
    )  # fmt: skip
    worker = ProcessFigures(
        "w1", "worker", "app-1:4121", ago(hours=7), ago(seconds=1), False, 142_000_000, 24,
        queues=("interactive", "scheduled", "webhooks"), worker_thread_count=12, prefetch_count=4,
        running=running,
    )  # fmt: skip
    return (
        worker,
        dataclasses.replace(
            worker, id="w2", name="app-2:4090", running=(), dead_consumers=("scheduled.DQ",)
        ),
        dataclasses.replace(
            worker, id="w3", name="app-3:77", seen_at=ago(minutes=14), is_gone=True, running=()
        ),
        ProcessFigures(
            "x1", "web", "app-1:4099", ago(days=2), ago(seconds=1), False, 98_000_000, 14,
            stream_count=1_204, watcher_count=2, events_a_second=38.4, listener_since=ago(hours=9),
        ),
        ProcessFigures(
            "x2", "web", "app-2:4077", ago(days=2), ago(seconds=2), False, 97_000_000, 14,
            stream_count=11, listener_connected=False, listener_since=ago(seconds=49),
        ),
        ProcessFigures(
            "s1", "scheduler", "app-1:4100", ago(days=2), ago(seconds=1), False, 71_000_000, 3,
            ticked_at=ago(seconds=3), tick_took_s=0.04,
        ),
    )  # fmt: skip


def _line(number: int, state: str, now: datetime) -> RunLine:
    names = ("Acme Rockets", "Globex", HOSTILE, "Initech " * 6, "محمد الأمين")
    return RunLine(
        id=810 + number,
        team_id=number + 1,
        team_name=names[number % len(names)],
        team_slug=f"team-{number}",
        kind=("members", "repository")[number % 2],
        trigger=("schedule", "manual")[number % 2],
        state=state,
        since=now - timedelta(seconds=19 * (number + 1) ** 2),
        resume_at=now + timedelta(minutes=11, seconds=8) if state == "waiting" else None,
        reason="rate_limited" if state == "waiting" else "",
        page_count=14 if state == "running" else 0,
        seen_count=1_400 if state in {"running", "waiting"} else 0,
        expected_count=2_310 if state == "running" else None,
        claim_count=2 if state == "stalled" else 1,
    )


def _runs(now: datetime) -> RunFigures:
    states = ("stalled", "running", "running", "waiting", "pending", "pending")
    return RunFigures(
        pending_count=214, running_count=16, waiting_count=9, stalled_count=1,
        failed_count=31, completed_count=8_120, unanswered_count=12_900,
        lines=tuple(_line(number, state, now) for number, state in enumerate(states)),
        causes=(
            RunGroup("saml_required", "Your organisation asks for single sign-on (SAML) before it "
                     "shows its members.", 19, 4, now - timedelta(minutes=3)),
            RunGroup("github_unavailable", "GitHub could not be reached.", 12, 11,
                     now - timedelta(hours=5)),
        ),
    )  # fmt: skip


def _github(now: datetime) -> GitHubFigures:
    def budget(number: int, team: str, resource: str, remaining: int) -> Budget:
        return Budget(
            credential_id=number, team_name=team, team_slug=f"team-{number}",
            github_username="octo-owner", resource=resource, limit=5_000, remaining=remaining,
            reset_at=now + timedelta(minutes=17), at=now - timedelta(seconds=9),
        )  # fmt: skip

    return GitHubFigures(
        requests_a_minute=118.0,
        points_a_minute=131.4,
        latency_s=0.31,
        errors=(("403", 12), ("502", 3), ("no answer", 1)),
        request_points=tuple(90 + (13 * n) % 47 for n in range(60)),
        budgets=(
            budget(1, "Acme Rockets", "graphql", 212),
            budget(2, HOSTILE, "core", 3_100),
            budget(3, "Initech", "graphql", 4_990),
        ),
        waiting_runs=(_line(3, "waiting", now), _line(5, "waiting", now)),
    )
