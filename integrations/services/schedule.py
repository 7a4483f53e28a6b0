"""The nightly full read: when each team's is due, and starting what is.

The plan is a column: a ticker claims it by writing the next night into it, so that each night is
started by one ticker only, and one that nobody was there for is caught up.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Case, Q, Value, When

from integrations.constants import SCHEDULE_JITTER, SYNC_STATUS_PENDING, RunTrigger
from integrations.models import GitHubIntegration, SyncRun
from integrations.services.runs import runs_in_the_way, start_nights, start_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integrations.services.runs import StartedRun

logger = structlog.get_logger(__name__)

# What one look of the ticker plans: the rest waits for the next look.
BATCH_SIZE: Final = 500
# Nights that may wait for a worker: so many, or what the workers did in the last seconds if that
# is more: two looks of the ticker, with some to spare. Whatever else is due waits as a date. As
# messages, 10,000 of them would lie before everything else that is scheduled.
WAITING_MIN: Final = 50
WAITING_LENGTH: Final = timedelta(seconds=6)
# Nights that are started together, in one short transaction.
TOGETHER: Final = 25


def plan(integration: GitHubIntegration, *, now: datetime) -> None:
    """Write down when the next read is due after now; none while it is off or unconnected."""
    wanted = (
        integration.schedule_enabled and integration.is_connected and integration.has_organization
    )
    integration.next_sync_at = next_night(integration, after=now) if wanted else None
    integration.save(update_fields=["next_sync_at"])


def next_night(integration: GitHubIntegration, *, after: datetime) -> datetime:
    """Return the integration's first instant after `after`, in UTC."""
    today = after.astimezone(zone_of(integration)).date()
    # The window may begin before midnight: yesterday's is looked at too.
    nights = (_instant(integration, today + timedelta(days=days)) for days in range(-1, 4))
    return next(at for at in nights if at > after)


def zone_of(integration: GitHubIntegration) -> ZoneInfo:
    """Return the team's time zone; UTC for one that this machine doesn't know any more."""
    try:
        return ZoneInfo(integration.schedule_time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def _instant(integration: GitHubIntegration, day: date) -> datetime:
    """Return the integration's instant in the window that begins on this day.

    A hash spreads the integrations over the window, evenly and the same every night; another one,
    of the date as well, moves each a little.
    """
    begins_at = datetime.combine(
        day, time(integration.schedule_from_hour), tzinfo=zone_of(integration)
    ).astimezone(UTC)
    length_s = integration.schedule_hours * 3600
    jitter_s = int(SCHEDULE_JITTER.total_seconds())
    place_s = jitter_s + _hash(f"{integration.pk}") % (length_s - 2 * jitter_s)
    moved_s = _hash(f"{integration.pk} {day}") % (2 * jitter_s + 1) - jitter_s
    return begins_at + timedelta(seconds=place_s + moved_s)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def start_due(now: datetime) -> list[SyncRun]:
    """Start the reads that are due, each by one ticker; return the runs that this one made.

    No more than the workers can take up soon. Nothing is started beside a run that is under way,
    nor with a refused credential.
    """
    _plan_missing(now)
    due = GitHubIntegration.objects.filter(next_sync_at__lte=now).select_related("credential")
    if not due.exists():
        return []
    room = min(BATCH_SIZE, _room(now))
    batches = _batches(list(due.order_by("next_sync_at", "pk")[:room]))
    return [run for batch in batches for run in _start_batch(batch, now)]


def _room(now: datetime) -> int:
    """Return how many more nights may wait for a worker."""
    active = SyncRun.objects.active_by_index()
    waiting = active.filter(status=SYNC_STATUS_PENDING, trigger=RunTrigger.SCHEDULE)
    lately = GitHubIntegration.objects.filter(member_sync_completed_at__gt=now - WAITING_LENGTH)
    return max(0, max(WAITING_MIN, lately.count()) - waiting.count())


def _batches(due: list[GitHubIntegration]) -> Iterator[list[GitHubIntegration]]:
    for first in range(0, len(due), TOGETHER):
        yield due[first : first + TOGETHER]


def _start_batch(batch: list[GitHubIntegration], now: datetime) -> list[SyncRun]:
    """Start these nights together where nothing speaks against it, the others one by one."""
    with_care = runs_in_the_way(batch)
    plain = [
        one
        for one in batch
        if one.pk not in with_care and one.credential is not None and one.credential.is_active
    ]
    together: list[SyncRun] = []
    if len(plain) > 1:
        try:
            together = _start_together(plain, now)
        except (IntegrityError, _TakenElsewhere):
            # Somebody clicked, or another ticker was there: each by itself finds out which.
            plain = []
    else:
        plain = []
    rest = [one for one in batch if one not in plain]
    return together + [run for one in rest if (run := _start(one, now)) is not None]


def _start_together(integrations: list[GitHubIntegration], now: datetime) -> list[SyncRun]:
    """Claim these nights and start their runs in a few statements, in one transaction.

    Raises IntegrityError for a run that was begun meanwhile and _TakenElsewhere for a night that
    was claimed meanwhile; then nothing was done.
    """
    following = [When(pk=one.pk, then=Value(next_night(one, after=now))) for one in integrations]
    with transaction.atomic():
        # As in `_start`: the runs first.
        runs = start_nights(integrations)
        rows = GitHubIntegration.objects.filter(
            pk__in=[one.pk for one in integrations], next_sync_at__lte=now
        )
        if rows.update(next_sync_at=Case(*following)) != len(integrations):
            raise _TakenElsewhere
    logger.info("nightly reads started", count=len(runs), first_run_id=runs[0].pk)
    return runs


def _start(integration: GitHubIntegration, now: datetime) -> SyncRun | None:
    """Claim one night and start its run, in one transaction: both or neither."""
    seen = integration.next_sync_at
    following = next_night(integration, after=now)
    credential = integration.credential
    started: StartedRun | None = None
    try:
        with transaction.atomic():
            # The run first and the integration's row after it, as every other start does it: the
            # other way round, PostgreSQL finds a click at the same moment to be a deadlock.
            if credential is not None and credential.is_active:
                started = start_run(integration, trigger=RunTrigger.SCHEDULE)
            rows = GitHubIntegration.objects.filter(pk=integration.pk, next_sync_at=seen)
            if not rows.update(next_sync_at=following):
                raise _TakenElsewhere
    except _TakenElsewhere:
        return None
    if started is None or started.joined:
        return None
    logger.info("nightly read started", run_id=started.run.pk, due_at=str(seen))
    return started.run


class _TakenElsewhere(Exception):
    """Another ticker had this night first: what was begun for it is rolled back."""


def _plan_missing(now: datetime) -> None:
    """Give a time to integrations that have none, and take it from those that want none."""
    unwanted = Q(schedule_enabled=False) | Q(credential=None) | Q(organization_id=None)
    planned = GitHubIntegration.objects.filter(unwanted, next_sync_at__isnull=False)
    if planned.exists():
        planned.update(next_sync_at=None)
    missing = GitHubIntegration.objects.filter(next_sync_at=None).exclude(unwanted)
    for integration in missing[:BATCH_SIZE]:
        plan(integration, now=now)
