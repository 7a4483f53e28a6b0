"""What is counted of runs for the metrics: how long they waited and took, how they ended.

Called inside the transaction of a move, and counts once it is committed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.utils import timezone

from integrations.telemetry.counters import counters

if TYPE_CHECKING:
    from integrations.models import SyncRun

COMPLETE: Final = "complete"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"


def started(run: SyncRun) -> None:
    """Note how long a run waited for its first worker."""
    waited_s = (timezone.now() - run.created_at).total_seconds()
    _after_commit(partial(counters.observe, "run_queue_seconds", max(0.0, waited_s), kind=run.kind))


def waits(run: SyncRun, reason: str) -> None:
    """Count a wait."""
    _after_commit(partial(counters.count, "run_waits", kind=run.kind, reason=reason))


def ended(run: SyncRun, *, reason: str = "") -> None:
    """Count an end: well without a reason."""
    if not reason:
        outcome = COMPLETE
    elif reason == CANCELLED:
        outcome = CANCELLED
    else:
        outcome = FAILED
    took_s = (timezone.now() - (run.started_at or run.created_at)).total_seconds()
    kind = run.kind
    _after_commit(partial(counters.count, "runs", kind=kind, outcome=outcome, reason=reason))
    _after_commit(
        partial(counters.observe, "run_seconds", max(0.0, took_s), kind=kind, outcome=outcome)
    )


def _after_commit(count: partial[None]) -> None:
    transaction.on_commit(count, robust=True)
