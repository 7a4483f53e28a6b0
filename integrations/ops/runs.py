"""Runs across all teams: which wait, run or stand still, what failed and why; retry and cancel."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.db.models import Case, Count, Max, Q, Value, When
from django.db.models.functions import Coalesce, Greatest

from integrations import tasks
from integrations.constants import (
    ACTIVE_RUN_STATUSES,
    SYNC_STATUS_COMPLETE,
    SYNC_STATUS_ERROR,
    OperatorActKind,
    RunKind,
    RunTrigger,
)
from integrations.models import GitHubIntegration, StatusTransition, SyncRun
from integrations.ops import acts
from integrations.ops.figures import RunFigures, RunGroup, RunLine
from integrations.reasons import reason_for
from integrations.services import transitions
from integrations.services.runs import start_run

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from integrations.models import User

PENDING: Final = "pending"
RUNNING: Final = "running"
WAITING: Final = "waiting"
STALLED: Final = "stalled"
FAILED: Final = "failed"
STATES: Final = (STALLED, RUNNING, WAITING, PENDING, FAILED)

LINES_MAX: Final = 50
FOUND_MAX: Final = 200
# The ticker takes up a run within 20 s of whatever befell it; what still stands then needs a look.
STALLED_AFTER: Final = timedelta(seconds=30)
LOOK_BACK: Final = timedelta(days=1)
CANCELLED: Final = "cancelled"


class RunNotFound(LookupError):
    """There is no such run."""


class RunRefused(Exception):
    """The act makes no sense for this run; the text says why, to the operator."""


def read_runs(now: datetime) -> RunFigures:
    """Count and list runs across teams: nine queries, however many there are."""
    states = _active(now).order_by().values_list("state").annotate(count=Count("pk"))
    counts = dict(states)
    ended = SyncRun.objects.filter(finished_at__gt=now - LOOK_BACK)
    failed = ended.filter(status=SYNC_STATUS_ERROR).exclude(error_code=CANCELLED)
    unanswered = _active(now).filter(state__in=[PENDING, STALLED], send_count__gt=0)
    order = Case(*(When(state=s, then=Value(i)) for i, s in enumerate(STATES)))
    lines = _active(now).order_by(order, "pk")[:LINES_MAX]
    return RunFigures(
        pending_count=counts.get(PENDING, 0),
        running_count=counts.get(RUNNING, 0),
        waiting_count=counts.get(WAITING, 0),
        stalled_count=counts.get(STALLED, 0),
        failed_count=failed.count(),
        completed_count=ended.filter(status=SYNC_STATUS_COMPLETE).count(),
        unanswered_count=unanswered.count(),
        lines=_lines(lines),
        causes=_causes(failed),
        due_night_count=GitHubIntegration.objects.filter(next_sync_at__lte=now).count(),
    )


def waiting_runs(now: datetime) -> tuple[RunLine, ...]:
    """Return the runs that GitHub asked to wait, those that go on first at the top."""
    return _lines(_active(now).filter(state=WAITING).order_by("resume_at")[:LINES_MAX])


def find_runs(
    now: datetime, *, state: str = "", team_slug: str = "", cause: str = ""
) -> list[RunLine]:
    """Return up to 200 runs: active ones, or the failed of the last day by their cause.

    Unknown values find nothing.
    """
    if state == FAILED or cause:
        rows: QuerySet[Any] = SyncRun.objects.filter(
            finished_at__gt=now - LOOK_BACK, status=SYNC_STATUS_ERROR
        ).annotate(state=Value(FAILED), stood_since=Coalesce("finished_at", "created_at"))
        rows = rows.filter(error_code=cause) if cause else rows.exclude(error_code=CANCELLED)
    else:
        rows = _active(now)
        if state:
            rows = rows.filter(state=state)
    if team_slug:
        rows = rows.filter(integration__team__slug=team_slug)
    return list(_lines(rows.order_by("-pk")[:FOUND_MAX]))


def retry(run_id: int, person: User | None) -> SyncRun:
    """Start an ended run's work anew, or send an active run's message again; return the run.

    Raises RunNotFound, RunRefused and QueueUnreachable.
    """
    run = _run(run_id)
    if run.is_active:
        _send_again(run)
        started = run
    else:
        started = _start_again(run, person)
    acts.note(person, OperatorActKind.RETRY_RUN, f"run {run.pk} of {run.integration.team.slug}")
    return started


def cancel(run_id: int, person: User | None) -> bool:
    """End an active run; return whether there was one to end. Raises RunNotFound."""
    run = _run(run_id)
    was_active = transitions.cancel(run, person=person)
    if was_active:
        subject = f"run {run.pk} of {run.integration.team.slug}"
        acts.note(person, OperatorActKind.CANCEL_RUN, subject)
    return was_active


def _run(run_id: int) -> SyncRun:
    runs = SyncRun.objects.select_related(
        "integration__team", "integration__credential", "repository", "applies"
    )
    run = runs.filter(pk=run_id).first()
    if run is None:
        raise RunNotFound(f"There is no run {run_id}.")
    return run


def _send_again(run: SyncRun) -> None:
    if run.kind == RunKind.REPOSITORY:
        tasks.sync_repository_manual_later(run)
    else:
        tasks.sync_github_members_later(run)


def _start_again(run: SyncRun, person: User | None) -> SyncRun:
    integration = run.integration
    if not (integration.is_connected and integration.has_organization):
        raise RunRefused("The team is not connected to GitHub any more.")
    if run.applies_id is not None:
        raise RunRefused("It applied a preview; the team has to look at a new one.")
    started = start_run(
        integration,
        trigger=RunTrigger.MANUAL,
        person=person,
        repository=run.repository,
        is_preview=run.is_preview,
    )
    if not started.joined:
        with transaction.atomic():
            _send_again(started.run)
    return started.run


def _active(now: datetime) -> QuerySet[Any]:
    """Return the active runs, each with its state and since when it has stood there."""
    is_held = Q(lease_token__isnull=False, lease_expires_at__gt=now)
    stood_since = Greatest(
        "created_at",
        Coalesce("enqueued_at", "created_at"),
        Coalesce("lease_expires_at", "created_at"),
        Coalesce("resume_at", "created_at"),
    )
    return SyncRun.objects.filter(status__in=ACTIVE_RUN_STATUSES).annotate(
        stood_since=stood_since,
        state=Case(
            When(is_held, then=Value(RUNNING)),
            When(resume_at__gt=now, then=Value(WAITING)),
            When(stood_since__lt=now - STALLED_AFTER, then=Value(STALLED)),
            default=Value(PENDING),
        ),
    )


def _lines(rows: QuerySet[Any]) -> tuple[RunLine, ...]:
    runs = list(rows.select_related("integration__team"))
    reasons = _latest_reasons([run.pk for run in runs if run.state == WAITING])
    return tuple(
        RunLine(
            id=run.pk,
            team_id=run.integration.team_id,
            team_name=run.integration.team.name,
            team_slug=run.integration.team.slug,
            kind=run.kind,
            trigger=run.trigger,
            state=run.state,
            since=(run.started_at or run.created_at) if run.state == RUNNING else run.stood_since,
            resume_at=run.resume_at,
            reason=run.error_code or reasons.get(run.pk, ""),
            page_count=run.page_count,
            seen_count=run.seen_count,
            expected_count=run.expected_count,
            claim_count=run.claim_count,
        )
        for run in runs
    )


def _latest_reasons(run_ids: list[int]) -> dict[int, str]:
    """Return why each of these runs waits: the reason of its latest move."""
    latest = (
        StatusTransition.objects.filter(run__in=run_ids)
        .order_by()
        .values("run")
        .annotate(latest=Max("pk"))
        .values("latest")
    )
    return dict(StatusTransition.objects.filter(pk__in=latest).values_list("run", "reason"))


def _causes(failed: QuerySet[Any]) -> tuple[RunGroup, ...]:
    groups = (
        failed.order_by()
        .values("error_code")
        .annotate(
            count=Count("pk"),
            team_count=Count("integration", distinct=True),
            last_at=Max("finished_at"),
        )
        .order_by("-count")
    )
    return tuple(
        RunGroup(
            error_code=group["error_code"],
            sentence=str(reason_for(group["error_code"]).sentence),
            count=group["count"],
            team_count=group["team_count"],
            last_at=group["last_at"],
        )
        for group in groups
    )
