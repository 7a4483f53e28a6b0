"""Who has left: concluded only from a complete, undisputed list, by mark and sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.utils import timezone

from integrations.constants import DeactivatedBy, MemberChangeKind
from integrations.models import MemberChange, TeamMember

if TYPE_CHECKING:
    from integrations.models import SyncRun

SWEEP_BATCH_SIZE: Final = 500


def doubt_about(run: SyncRun) -> str:
    """Return why this run's list proves nothing about who is absent, or an empty string."""
    if run.sweep_blocked_by:
        doubt = run.sweep_blocked_by
    elif run.failed_count:
        doubt = "people_skipped"
    elif run.seen_count == 0:
        doubt = "empty_list"
    elif run.expected_count is not None and run.seen_count < run.expected_count:
        doubt = "short_list"
    else:
        doubt = ""
    return doubt


def sweep(run: SyncRun) -> int:
    """Mark as departed everybody whom the run did not see; return how many.

    Called in the transaction that completes the run.
    """
    now = timezone.now()
    absent = (
        TeamMember.objects.active()
        .filter(team_id=run.integration.team_id)
        .exclude(last_seen_run_id=run.mark)
    )
    departed = list(absent.select_for_update().only("team_id", "github_id", "github_username"))
    for start in range(0, len(departed), SWEEP_BATCH_SIZE):
        batch = departed[start : start + SWEEP_BATCH_SIZE]
        TeamMember.objects.filter(pk__in=[member.pk for member in batch]).update(
            is_active=False, deactivated_by=DeactivatedBy.SYNC, left_at=now, updated_at=now
        )
        MemberChange.objects.bulk_create(
            MemberChange(
                team_id=member.team_id,
                github_id=member.github_id,
                github_username=member.github_username,
                kind=MemberChangeKind.LEFT,
                run=run,
                at=now,
            )
            for member in batch
        )
    return len(departed)
