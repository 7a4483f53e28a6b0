"""Start a run, or join the one under way. Enqueues nothing: see tasks.py for the message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from integrations.constants import (
    ACTIVE_RUN_STATUSES,
    OTHERS_WAIT,
    QUEUE_OF_TRIGGER,
    RETRY_FROM_PLACE_WITHIN,
    SYNC_STATUS_ERROR,
    RunKind,
    RunTrigger,
)
from integrations.models import SyncRun
from integrations.services import transitions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integrations.models import GitHubIntegration, TrackedRepository, User

# A run may end between our insert that it refused and our look for it; then we insert again.
START_ATTEMPTS: Final = 3
# Ends after which the place in GitHub's list is still good: the list itself was not in doubt.
PLACE_KEPT_AFTER: Final = frozenset(
    {"cancelled", "gave_up", "github_unavailable", "internal_error", "rate_limited"}
)


@dataclass(frozen=True)
class StartedRun:
    """The run that a start ended up with, and whether it was there before."""

    run: SyncRun
    joined: bool


def start_run(
    integration: GitHubIntegration,
    *,
    trigger: str,
    person: User | None = None,
    repository: TrackedRepository | None = None,
    is_preview: bool = False,
    applies: SyncRun | None = None,
) -> StartedRun:
    """Write the run's row and move its subject to syncing, in one transaction.

    A partial unique constraint allows one active run per subject, so that of any number of starts
    at once one makes the run and the others join it. `applies` is the preview whose list the run
    writes instead of GitHub's.
    """
    kind = RunKind.REPOSITORY if repository else RunKind.MEMBERS
    kind = RunKind.PREVIEW if is_preview else kind
    for _ in range(START_ATTEMPTS):
        active = _active_run(integration, repository, kind)
        if active is not None:
            return StartedRun(active, joined=True)
        try:
            with transaction.atomic():
                run = SyncRun.objects.create(
                    integration=integration,
                    organization_id=integration.organization_id,
                    repository=repository,
                    kind=kind,
                    trigger=trigger,
                    requested_by=person,
                    **_beginning(integration, kind, applies),
                )
                transitions.begin(run)
        except IntegrityError:
            continue
        return StartedRun(run, joined=False)
    raise RuntimeError("a run could neither be made nor joined")


def start_tracked(integration: GitHubIntegration, *, person: User | None = None) -> list[SyncRun]:
    """Start a sync of each tracked repository that has none under way: a few statements for all."""
    for _ in range(START_ATTEMPTS):
        try:
            with transaction.atomic():
                runs = SyncRun.objects.bulk_create(_runs_of_tracked(integration, person))
                transitions.begin_all(integration, runs)
        except IntegrityError:
            # Somebody began one of them between our look and our insert: look again.
            continue
        return runs
    raise RuntimeError("tracked repositories were started by others all the time")


def start_nights(integrations: Sequence[GitHubIntegration]) -> list[SyncRun]:
    """Start the scheduled read of each, from the beginning of its list: a few statements for all.

    In the caller's transaction. Raises IntegrityError when one of them has a run under way.
    """
    runs = SyncRun.objects.bulk_create(
        SyncRun(
            integration=integration,
            organization_id=integration.organization_id,
            kind=RunKind.MEMBERS,
            trigger=RunTrigger.SCHEDULE,
        )
        # All in the same order: of two who start some of the same, one waits for the other.
        for integration in sorted(integrations, key=lambda one: one.pk)
    )
    transitions.begin_nights(runs)
    return runs


def others_wait(run: SyncRun) -> bool:
    """Say whether others of its queue have had a message for a while, and no worker yet."""
    queue = QUEUE_OF_TRIGGER[run.trigger]
    waiting = SyncRun.objects.active_by_index().filter(
        trigger__in=[trigger for trigger, name in QUEUE_OF_TRIGGER.items() if name == queue],
        enqueued_at__lte=timezone.now() - OTHERS_WAIT,
        lease_expires_at=None,
        resume_at=None,
    )
    return waiting.exists()


def runs_in_the_way(integrations: Sequence[GitHubIntegration]) -> set[int]:
    """Return those, by id, that have a run under way, or a failed one whose place may be kept."""
    since = timezone.now() - RETRY_FROM_PLACE_WITHIN
    matters = Q(status__in=ACTIVE_RUN_STATUSES) | Q(status=SYNC_STATUS_ERROR, finished_at__gt=since)
    runs = SyncRun.objects.filter(
        matters, integration__in=[one.pk for one in integrations], kind=RunKind.MEMBERS
    )
    return set(runs.order_by().values_list("integration_id", flat=True))


def _runs_of_tracked(integration: GitHubIntegration, person: User | None) -> list[SyncRun]:
    under_way = SyncRun.objects.active().filter(integration=integration, kind=RunKind.REPOSITORY)
    tracked = integration.repositories.tracked().filter(gone_at=None)
    return [
        SyncRun(
            integration=integration,
            organization_id=integration.organization_id,
            repository=repository,
            kind=RunKind.REPOSITORY,
            trigger=RunTrigger.TRACKED,
            requested_by=person,
        )
        for repository in tracked.exclude(pk__in=under_way.values("repository"))
    ]


def _active_run(
    integration: GitHubIntegration, repository: TrackedRepository | None, kind: str
) -> SyncRun | None:
    return (
        SyncRun.objects.active()
        .filter(integration=integration, repository=repository, kind=kind)
        .first()
    )


def _beginning(
    integration: GitHubIntegration, kind: str, applies: SyncRun | None
) -> dict[str, Any]:
    """Return the columns of where a run begins: a preview's list, a failed run's place, or none."""
    if applies is not None:
        planned_count = applies.planned_changes.count() - applies.departed_count
        return {
            "applies": applies,
            "expected_count": planned_count - applies.held_count,
            "sweep_blocked_by": applies.sweep_blocked_by,
        }
    failed = _run_to_continue(integration) if kind == RunKind.MEMBERS else None
    if failed is None:
        return {}
    return {
        "continues": failed,
        "continued_mark": failed.mark,
        "carried_count": failed.seen_count,
        "cursor": failed.cursor,
        "page_size": failed.page_size,
        "expected_count": failed.expected_count,
        "sweep_blocked_by": failed.sweep_blocked_by
        or ("people_skipped" if failed.failed_count else ""),
    }


def _run_to_continue(integration: GitHubIntegration) -> SyncRun | None:
    """Return the failed run whose place a new one may take over, if that is sound.

    Sound is: the latest run, ended a short time ago by something that leaves the list's cursors
    valid, of the same organisation, read with the same connection.
    """
    latest = SyncRun.objects.of_members(integration).select_related("repository").first()
    if latest is None or latest.status != SYNC_STATUS_ERROR or latest.finished_at is None:
        return None
    credential = integration.credential
    is_sound = (
        latest.cursor
        and latest.applies_id is None
        and latest.error_code in PLACE_KEPT_AFTER
        and latest.finished_at > timezone.now() - RETRY_FROM_PLACE_WITHIN
        and latest.organization_id == integration.organization_id
        and credential is not None
        and credential.connected_at < latest.created_at
    )
    return latest if is_sound else None
