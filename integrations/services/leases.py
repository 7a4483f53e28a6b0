"""The lease of a run: the right to work on it, and every write that its token fences.

Writes places, counts and doubts; the moves of a status are `services/transitions.py`'s.
"""

from __future__ import annotations

import math
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Q
from django.utils import timezone

from integrations.constants import (
    CLOCKS_APART_MAX,
    LEASE_LENGTH,
    PROGRESS_INTERVAL,
    SYNC_STATUS_SYNCING,
)
from integrations.live import publish
from integrations.models import SyncRun, Team
from integrations.telemetry import github_calls
from integrations.telemetry.counters import counters

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

COUNT_FIELDS: Final = (
    "created_count",
    "updated_count",
    "unchanged_count",
    "returned_count",
    "failed_count",
    "page_count",
    "point_count",
)


class LeaseLost(Exception):
    """Another worker holds the run, or it is over: this one must write nothing more."""


@dataclass
class Lease:
    """The right to work on a run: every write of the holder is fenced by its token."""

    run: SyncRun
    token: uuid.UUID
    _told_at_s: float = -math.inf

    def may_tell(self) -> bool:
        """Say whether it is time for another progress event: no eye follows more than ten a second.

        Progress that is not told takes no revision either, so that viewers see no gap.
        """
        now_s = time.monotonic()
        if now_s - self._told_at_s < PROGRESS_INTERVAL.total_seconds():
            return False
        self._told_at_s = now_s
        return True


def unheld(now: datetime, *, length: timedelta = LEASE_LENGTH) -> Q:
    """Match what nobody holds: no lease, one that ran out, or one from another time.

    `length` is that of a whole lease: a run's, or an inbox's. One that ends later than any can was
    written before a clock was set back; waiting for its end would hold the work up for as long.
    Taking it is safe, as every write is fenced.
    """
    return (
        Q(lease_expires_at__isnull=True)
        | Q(lease_expires_at__lte=now)
        | Q(lease_expires_at__gt=now + length + CLOCKS_APART_MAX)
    )


def renew(lease: Lease) -> None:
    """Keep the lease while GitHub takes its time. Raises LeaseLost."""
    fenced_update(lease, lease_expires_at=timezone.now() + LEASE_LENGTH)


def doubt(lease: Lease, reason: str) -> None:
    """Write down why nobody may be concluded to have left after this run. Raises LeaseLost."""
    fenced_update(lease, sweep_blocked_by=reason)
    lease.run.sweep_blocked_by = reason


def checkpoint(
    lease: Lease,
    *,
    counts: Mapping[str, int],
    cursor: str,
    page_size: int,
    expected_count: int | None,
) -> None:
    """Write the place and the counts down, in the transaction that wrote the page's rows.

    Raises LeaseLost, which undoes that transaction.
    """
    run = lease.run
    for name, value in counts.items():
        if name not in COUNT_FIELDS:
            raise ValueError(f"{name} is no count of a run; there are {', '.join(COUNT_FIELDS)}")
        setattr(run, name, getattr(run, name) + value)
    run.cursor, run.page_size, run.expected_count = cursor, page_size, expected_count
    run.fruitless_claim_count = 0
    fields: dict[str, Any] = {name: getattr(run, name) for name in counts}
    github_calls.note_points(counts.get("point_count", 0))
    counters.count("sync_pages", kind=run.kind)
    if lease.may_tell():
        fields["revision"] = run.revision = Team.objects.next_revision(run.integration.team_id)
        publish.run_on_commit(run)
    fenced_update(
        lease,
        **fields,
        cursor=cursor,
        page_size=page_size,
        expected_count=expected_count,
        fruitless_claim_count=0,
        lease_expires_at=timezone.now() + LEASE_LENGTH,
    )


def release(lease: Lease) -> None:
    """Give the lease back at a checkpoint, for the next slice of work. Raises LeaseLost."""
    fenced_update(lease, lease_token=None, lease_expires_at=None)


def fenced_update(lease: Lease, **fields: Any) -> None:
    """Write these columns of the run if the lease still holds. Raises LeaseLost."""
    rows = SyncRun.objects.filter(
        pk=lease.run.pk, status=SYNC_STATUS_SYNCING, lease_token=lease.token
    )
    if not rows.update(**fields):
        raise LeaseLost(f"run {lease.run.pk}")


def restart(lease: Lease) -> None:
    """Forget the place in the list: GitHub doesn't know it any more. Raises LeaseLost.

    The marks stay, so that whoever was seen before is not counted twice.
    """
    fenced_update(lease, cursor="")
    lease.run.cursor = ""
