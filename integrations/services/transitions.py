"""The one writer of every status: claim, move, write down, and tell the live channel.

Each function is one short transaction that claims by conditional UPDATE: no row means that somebody
was first. What it wrote is published after the commit; publishing never fails a sync. It knows
nothing of GitHub and enqueues nothing.
"""

from __future__ import annotations

import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone, translation

from integrations.constants import (
    ACTIVE_RUN_STATUSES,
    LEASE_LENGTH,
    RUN_MOVES,
    SUBJECT_MOVES,
    SYNC_STATUS_COMPLETE,
    SYNC_STATUS_ERROR,
    SYNC_STATUS_PENDING,
    SYNC_STATUS_SYNCING,
    RunKind,
)
from integrations.live import publish
from integrations.models import (
    GitHubIntegration,
    StatusTransition,
    SyncRun,
    Team,
    TrackedRepository,
)
from integrations.reasons import reason_for
from integrations.services import run_counts
from integrations.services.leases import Lease, fenced_update, unheld

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from integrations.mends import Reason
    from integrations.models import User

logger = structlog.get_logger(__name__)

CANCELLED: Final = "cancelled"
# Of many runs begun together; more would keep whoever began them waiting.
TOLD_AT_ONCE: Final = 50


def begin(run: SyncRun) -> None:
    """Move the run's subject to syncing, in the transaction that made the run's row."""
    Team.objects.take_turn(run.integration.team_id)
    _move_subject(run, SYNC_STATUS_SYNCING, started_at=timezone.now(), error="")
    _record(run, SYNC_STATUS_PENDING, SYNC_STATUS_PENDING)


def begin_all(integration: GitHubIntegration, runs: Sequence[SyncRun]) -> None:
    """As `begin`, for many repositories' runs in the transaction that made them.

    The first ones are told to the live channel one by one; the others are found by its watch.
    """
    if not runs:
        return
    now, team_id = timezone.now(), integration.team_id
    Team.objects.take_turn(team_id)
    TrackedRepository.objects.filter(pk__in=[run.repository_id for run in runs]).update(
        sync_status=SYNC_STATUS_SYNCING, sync_started_at=now, sync_error=""
    )
    last = Team.objects.next_revision(team_id, count=len(runs))
    for revision, run in enumerate(runs, start=last - len(runs) + 1):
        run.revision = revision
    SyncRun.objects.bulk_update(runs, ["revision"], batch_size=500)
    StatusTransition.objects.bulk_create(StatusTransition.of_beginning(run, now) for run in runs)
    for run in runs[:TOLD_AT_ONCE]:
        publish.run_on_commit(run)


def begin_nights(runs: Sequence[SyncRun]) -> None:
    """As `begin`, for the nights of many teams in the transaction that made their runs.

    The live channel's watch tells of them: hardly anybody looks on at night, and rendering ten
    thousand cards would keep the ticker from everything else.
    """
    now = timezone.now()
    revisions = Team.objects.next_revisions([run.integration.team_id for run in runs])
    movable = [status for status, moves in SUBJECT_MOVES.items() if SYNC_STATUS_SYNCING in moves]
    GitHubIntegration.objects.filter(
        pk__in=[run.integration_id for run in runs], member_sync_status__in=movable
    ).update(
        member_sync_status=SYNC_STATUS_SYNCING, member_sync_started_at=now, member_sync_error=""
    )
    for run in runs:
        run.revision = revisions[run.integration.team_id]
    SyncRun.objects.bulk_update(runs, ["revision"])
    StatusTransition.objects.bulk_create(StatusTransition.of_beginning(run, now) for run in runs)


def claim(run_id: int) -> Lease | None:
    """Take the lease of a run that nobody works on and that has nothing to wait for, or None."""
    now, token = timezone.now(), uuid.uuid4()
    free = SyncRun.objects.filter(_free(now), pk=run_id)
    team_id = free.values_list("integration__team_id", flat=True).first()
    if team_id is None:
        return None
    with transaction.atomic():
        Team.objects.take_turn(team_id)
        run = (
            free.select_for_update(of=("self",))
            .select_related("integration__team", "integration__credential", "repository")
            .first()
        )
        if run is None:
            return None
        before = run.status
        run.status = SYNC_STATUS_SYNCING
        run.lease_token, run.lease_expires_at = token, now + LEASE_LENGTH
        if run.started_at is None:
            run.started_at = now
            run_counts.started(run)
        if run.paced_at is None or run.resume_at is not None:
            run.paced_at, run.paced_count = now, run.seen_count
        run.resume_at = None
        run.claim_count += 1
        run.fruitless_claim_count += 1
        run.send_count = 0
        run.save(
            update_fields=[
                "status", "lease_token", "lease_expires_at", "started_at", "resume_at",
                "paced_at", "paced_count",
                "claim_count", "fruitless_claim_count", "send_count",
            ]
        )  # fmt: skip
        _record(run, before, SYNC_STATUS_SYNCING)
    return Lease(run, token)


def _free(now: datetime) -> Q:
    due = Q(resume_at__isnull=True) | Q(resume_at__lte=now)
    return Q(status__in=ACTIVE_RUN_STATUSES) & unheld(now) & due


def wait(lease: Lease, *, resume_at: datetime, reason: str, is_fault: bool = False) -> None:
    """Give the lease back until `resume_at`, when the ticker sends the run again.

    A wait that GitHub asked for does not count as a fruitless claim; one after a fault does.
    Raises LeaseLost.
    """
    run = lease.run
    with transaction.atomic():
        Team.objects.take_turn(run.integration.team_id)
        fenced_update(
            lease,
            lease_token=None,
            lease_expires_at=None,
            resume_at=resume_at,
            wait_count=F("wait_count") + (0 if is_fault else 1),
            fruitless_claim_count=max(0, run.fruitless_claim_count - (0 if is_fault else 1)),
        )
        _record(run, SYNC_STATUS_SYNCING, SYNC_STATUS_SYNCING, reason=reason)
        run_counts.waits(run, reason)


def complete(lease: Lease, *, result: Mapping[str, int], sweep_blocked_by: str = "") -> None:
    """End the run and its subject well. Raises LeaseLost."""
    run, now = lease.run, timezone.now()
    with transaction.atomic():
        Team.objects.take_turn(run.integration.team_id)
        fenced_update(
            lease,
            status=SYNC_STATUS_COMPLETE,
            lease_token=None,
            lease_expires_at=None,
            finished_at=now,
            departed_count=run.departed_count,
            held_count=run.held_count,
            sweep_blocked_by=sweep_blocked_by,
        )
        _move_subject(run, SYNC_STATUS_COMPLETE, completed_at=now, error="", result=dict(result))
        _record(run, SYNC_STATUS_SYNCING, SYNC_STATUS_COMPLETE)
        run_counts.ended(run)
    logger.info("run complete", run_id=run.pk, kind=run.kind, **result)


def cancel(run: SyncRun, *, person: User | None) -> bool:
    """End an active run because a person said so; return whether there was one to end.

    A worker on it finds its lease lost at its next page, which is then not written: the roster
    stays as the last checkpoint left it.
    """
    return fail(run, CANCELLED, person=person)


def fail(
    run: SyncRun,
    reason: str,
    *,
    lease: Lease | None = None,
    url: str = "",
    person: User | None = None,
) -> bool:
    """End the run and its subject in error, in the words of the reason.

    With a lease it is fenced and raises LeaseLost; without one it ends any active run, whoever
    holds it, and returns whether there was one to end.
    """
    words, now = reason_for(reason), timezone.now()
    fields: dict[str, Any] = {
        "status": SYNC_STATUS_ERROR,
        "lease_token": None,
        "lease_expires_at": None,
        "resume_at": None,
        "finished_at": now,
        "error_code": words.code,
        "error_url": url,
        "cancelled_by": person,
    }
    with transaction.atomic():
        Team.objects.take_turn(run.integration.team_id)
        if lease is not None:
            fenced_update(lease, **fields)
        elif not SyncRun.objects.active().filter(pk=run.pk).update(**fields):
            return False
        _move_subject(run, SYNC_STATUS_ERROR, error=_kept_words(words))
        _record(run, run.status, SYNC_STATUS_ERROR, reason=words.code)
        run_counts.ended(run, reason=words.code)
    logger.warning("run failed", run_id=run.pk, kind=run.kind, reason=words.code)
    return True


def _kept_words(reason: Reason) -> str:
    """Return the sentence that the row keeps, in the site's own language: who reads it is open."""
    with translation.override(settings.LANGUAGE_CODE):
        return reason.sentence


def roster_changed(integration: GitHubIntegration) -> None:
    """Tell the live channel that somebody changed the roster by hand."""
    with transaction.atomic():
        revision = Team.objects.next_revision(integration.team_id)
        GitHubIntegration.objects.filter(pk=integration.pk).update(roster_revision=revision)
        transaction.on_commit(partial(publish.publish_roster, integration.pk), robust=True)


def held_people_decided(integration: GitHubIntegration) -> None:
    """Tell the live channel that fewer people wait for a decision: the card and the roster."""
    with transaction.atomic():
        latest = SyncRun.objects.of_members(integration).first()
        if latest is not None:
            latest.revision = Team.objects.next_revision(integration.team_id)
            SyncRun.objects.filter(pk=latest.pk).update(revision=latest.revision)
            publish.run_on_commit(latest)
        roster_changed(integration)


def _move_subject(run: SyncRun, to_status: str, **fields: Any) -> None:
    """Move what the run is about: the members of its integration, or its repository."""
    movable = [status for status, allowed in SUBJECT_MOVES.items() if to_status in allowed]
    if run.kind == RunKind.MEMBERS:
        GitHubIntegration.objects.filter(
            pk=run.integration_id, member_sync_status__in=movable
        ).update(member_sync_status=to_status, **{f"member_sync_{k}": v for k, v in fields.items()})
    elif run.repository_id is not None:
        TrackedRepository.objects.filter(pk=run.repository_id, sync_status__in=movable).update(
            sync_status=to_status, **{f"sync_{k}": v for k, v in fields.items()}
        )


def _record(run: SyncRun, before: str, after: str, *, reason: str = "") -> None:
    """Write a move down under the team's next revision, and publish it after the commit."""
    if before != after and after not in RUN_MOVES[before]:
        raise ValueError(f"a run cannot move from {before} to {after}")
    team_id = run.integration.team_id
    revision = Team.objects.next_revision(team_id)
    StatusTransition.objects.create(
        team_id=team_id,
        run=run,
        from_status=before,
        to_status=after,
        reason=reason,
        attempt=run.claim_count,
        revision=revision,
        at=timezone.now(),
    )
    SyncRun.objects.filter(pk=run.pk).update(revision=revision)
    run.status, run.revision = after, revision
    publish.run_on_commit(run)
