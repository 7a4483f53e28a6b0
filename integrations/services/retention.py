"""Forget history that is older than its team wants it kept, a batch at a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog
from django.db import transaction
from django.db.models import Max, Q

from integrations.constants import (
    INVITATION_KEPT_FOR,
    MESSAGES_KEPT_FOR,
    OPERATOR_ACTS_KEPT_FOR,
    PREVIEW_KEPT_FOR,
    PRUNE_BATCH_SIZE,
    PRUNE_INTERVAL,
    WEBHOOK_KEPT_FOR,
)
from integrations.models import (
    GitHubIntegration,
    MemberChange,
    MessageAttempt,
    OperatorAct,
    PlannedChange,
    SyncRun,
    TeamInvitation,
    WebhookDelivery,
)

if TYPE_CHECKING:
    from django.db.models import QuerySet

logger = structlog.get_logger(__name__)

# The ticker has runs to send as well: the other teams' turns come at its next looks.
TEAMS_A_LOOK: Final = 10


def prune(now: datetime) -> int:
    """Delete a batch of what is too old, for each team whose turn it is; return how many rows.

    A team's turn is taken by moving it on, so that two tickers never do the same work. A team
    with more than a batch of each kind has its next turn at once.
    """
    deleted_count = 0
    for integration in _take_turns(now):
        counts = [_delete_batch(rows) for rows in _outdated(integration, now)]
        deleted_count += sum(counts)
        if max(counts) >= PRUNE_BATCH_SIZE:
            GitHubIntegration.objects.filter(pk=integration.pk).update(next_prune_at=now)
    deliveries = WebhookDelivery.objects.filter(received_at__lt=now - WEBHOOK_KEPT_FOR)
    invitations = TeamInvitation.objects.filter(expires_at__lt=now - INVITATION_KEPT_FOR)
    attempts = MessageAttempt.objects.filter(finished_at__lt=now - MESSAGES_KEPT_FOR)
    acts = OperatorAct.objects.filter(at__lt=now - OPERATOR_ACTS_KEPT_FOR)
    for rows in (deliveries, invitations, attempts, acts):
        deleted_count += _delete_batch(rows)
    if deleted_count:
        logger.info("history pruned", row_count=deleted_count)
    return deleted_count


def _take_turns(now: datetime) -> list[GitHubIntegration]:
    """Return the teams whose turn it is, moved on: all by one transaction, none where none is."""
    is_due = Q(next_prune_at__isnull=True) | Q(next_prune_at__lte=now)
    due = GitHubIntegration.objects.filter(is_due)
    if not due.exists():
        return []
    with transaction.atomic():
        rows = due.order_by("next_prune_at").select_for_update(skip_locked=True, no_key=True)
        taken = list(rows[:TEAMS_A_LOOK])
        moved = GitHubIntegration.objects.filter(pk__in=[one.pk for one in taken])
        moved.update(next_prune_at=now + PRUNE_INTERVAL)
    return taken


def _outdated(integration: GitHubIntegration, now: datetime) -> list[QuerySet[Any]]:
    plans = PlannedChange.objects.filter(
        run__integration=integration, run__finished_at__lt=now - PREVIEW_KEPT_FOR
    )
    if integration.history_days is None:
        return [plans]
    before = now - timedelta(days=integration.history_days)
    changes = MemberChange.objects.filter(team_id=integration.team_id, at__lt=before)
    # The newest run of each subject stays: the live card and its replay read it.
    newest = (
        integration.runs.order_by()
        .values("kind", "repository")
        .annotate(newest=Max("pk"))
        .values("newest")
    )
    runs = SyncRun.objects.filter(integration=integration, finished_at__lt=before)
    return [plans, changes, runs.exclude(pk__in=newest)]


def _delete_batch(rows: QuerySet[Any]) -> int:
    """Delete the oldest of these rows, with what hangs on them; return how many of them."""
    keys = list(rows.order_by("pk").values_list("pk", flat=True)[:PRUNE_BATCH_SIZE])
    if keys:
        # Django would open a transaction for none as well, and SQLite's one writer be waited for.
        rows.model._default_manager.filter(pk__in=keys).delete()
    return len(keys)
