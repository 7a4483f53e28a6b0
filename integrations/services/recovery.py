"""What becomes of a run whose slice of work ended badly, and which runs need a message again.

The row decides: how long to wait, whether to try again, when to give up. Enqueues nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog
from django.db import transaction
from django.db.models import F, Max, Q
from django.utils import timezone

from integrations.constants import (
    CLOCKS_APART_MAX,
    LOST_AFTER,
    MAX_FRUITLESS_CLAIMS,
    MAX_WAITS,
    QUEUE_OF_TRIGGER,
    QUEUE_SCHEDULED,
    REFRESH_WAIT,
    RESEND_AFTER,
    RESEND_AFTER_MAX,
    SENT_BY_STARTER_WITHIN,
    WAIT_MAX,
    WAIT_WITHOUT_FIGURE,
    RunTrigger,
)
from integrations.github.errors import (
    BadCredentials,
    GitHubError,
    InstallationGone,
    RateLimited,
    SamlRequired,
)
from integrations.masking import masked
from integrations.models import CredentialUnreadable, MessageAttempt, PausedQueue, SyncRun
from integrations.services import credentials, transitions
from integrations.services.connections import SyncRefused
from integrations.services.credentials import Refreshing
from integrations.services.leases import unheld

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from integrations.services.leases import Lease

logger = structlog.get_logger(__name__)

# Faults of GitHub or of the network: 2, 4, 8, 16 s, before the last claim gives up.
FAULT_BACKOFF = timedelta(seconds=2)
# A queue of which no attempt ended for so long stands still, as far as a lost message goes.
QUEUE_MOVES_WITHIN = timedelta(seconds=5)
# Messages sent this close to each other may be begun in any order: a look sends many, and each
# worker holds some.
PLACES_APART_MAX = timedelta(seconds=5)
# Between tries after that, of a run that nobody waits for at a screen: with MAX_WAITS, three hours.
OUTAGE_PAUSE = timedelta(minutes=10)


def settle(lease: Lease, error: GitHubError) -> None:
    """Decide what a GitHub error means for the run: wait, again, or the end. Raises LeaseLost."""
    run = lease.run
    logger.warning(
        "GitHub error in run", run_id=run.pk, reason=error.reason, status=error.status,
        request_id=error.request_id,
    )  # fmt: skip
    if isinstance(error, RateLimited):
        _wait_for_github(lease, error)
    elif isinstance(error, BadCredentials):
        _settle_refused_token(lease, error)
    else:
        _try_again_or_fail(lease, error)


def _try_again_or_fail(lease: Lease, error: GitHubError) -> None:
    run = lease.run
    if isinstance(error, InstallationGone) and run.integration.credential is not None:
        credentials.revoke(run.integration.credential)
    is_exhausted = run.fruitless_claim_count >= MAX_FRUITLESS_CLAIMS
    if is_exhausted and not error.permanent and _may_wait_out(run):
        transitions.wait(lease, resume_at=timezone.now() + OUTAGE_PAUSE, reason=error.reason)
        return
    if error.permanent or is_exhausted:
        transitions.fail(run, error.reason, lease=lease, url=_address_that_mends(error))
        return
    delay = FAULT_BACKOFF * 2 ** max(0, run.fruitless_claim_count - 1)
    transitions.wait(lease, resume_at=timezone.now() + delay, reason=error.reason, is_fault=True)


def _address_that_mends(error: GitHubError) -> str:
    """Return where the person is to go, as GitHub said; none with a secret in it.

    The address is kept, and shown to all of the team.
    """
    url = error.url if isinstance(error, SamlRequired) else ""
    return url if masked(url) == url else ""


def _may_wait_out(run: SyncRun) -> bool:
    """Say whether a run outlives an outage of GitHub, for some hours.

    A person at the screen is told soon, and tries again when they like; a night has only itself.
    """
    return QUEUE_OF_TRIGGER[run.trigger] == QUEUE_SCHEDULED and run.wait_count < MAX_WAITS


def _wait_for_github(lease: Lease, error: RateLimited) -> None:
    """Wait as long as GitHub says, else a minute and then ever longer."""
    run, now = lease.run, timezone.now()
    if run.wait_count >= MAX_WAITS:
        transitions.fail(run, error.reason, lease=lease)
        return
    resume_at = error.retry_at or now + min(WAIT_MAX, WAIT_WITHOUT_FIGURE * 2**run.wait_count)
    # A figure beyond any limit's hour is a clock gone wrong, theirs or ours.
    resume_at = min(max(resume_at, now), now + WAIT_MAX)
    transitions.wait(lease, resume_at=resume_at, reason=error.reason)


def _settle_refused_token(lease: Lease, error: BadCredentials) -> None:
    """Get a fresh token and go on, or stop using the one that GitHub refused."""
    credential = lease.run.integration.credential
    try:
        outcome = credentials.refresh(credential) if credential else Refreshing.IMPOSSIBLE
    except (CredentialUnreadable, SyncRefused) as exc:
        transitions.fail(lease.run, exc.reason, lease=lease)
        return
    except GitHubError as exc:
        # GitHub's sign-in pages are down; the refresh token is as good as it was.
        _try_again_or_fail(lease, exc)
        return
    if outcome is Refreshing.IMPOSSIBLE:
        if credential is not None:
            credentials.revoke(credential)
        transitions.fail(lease.run, error.reason, lease=lease)
        return
    pause = REFRESH_WAIT if outcome is Refreshing.ELSEWHERE else timedelta(0)
    transitions.wait(lease, resume_at=timezone.now() + pause, reason="token_refreshed")


def give_up_if_fruitless(lease: Lease) -> bool:
    """End a run that was claimed again and again without a page written; return whether it was."""
    if lease.run.fruitless_claim_count <= MAX_FRUITLESS_CLAIMS:
        return False
    transitions.fail(lease.run, "gave_up", lease=lease)
    return True


def some_are_overlooked(now: datetime) -> bool:
    """Say whether there are runs whose only message no worker has begun for a while."""
    return SyncRun.objects.active_by_index().filter(_overlooked(now)).exists()


def take_runs_to_send(
    now: datetime, *, emptied: Collection[str] = (), limit: int = 500
) -> list[SyncRun]:
    """Return the runs that need a message now, each taken by one ticker only.

    Those are: pending runs whose message never went or got lost, runs whose lease ran out with
    their worker, and runs whose wait is over. Not those of paused queues: they are due when
    operators resume the queue. They are read again, and taken, in one transaction. `emptied` names
    the queues that hold no message: what lay there is lost, and not waited for.
    """
    triggers = [trigger for trigger, queue in QUEUE_OF_TRIGGER.items() if queue in emptied]
    due = _needs_message(now) | _overlooked(now) & Q(trigger__in=triggers)
    candidates = SyncRun.objects.active_by_index().filter(due).order_by("pk")
    paused = set(PausedQueue.objects.values_list("queue", flat=True))
    if paused:
        held_back = [trigger for trigger, queue in QUEUE_OF_TRIGGER.items() if queue in paused]
        candidates = candidates.exclude(trigger__in=held_back)
    if not candidates.exists():
        return []
    candidates = candidates.exclude(_still_queued(now, emptied))
    with transaction.atomic():
        # On PostgreSQL a row that another ticker has in hand is left to it. SQLite has one writer,
        # for whom all the others wait: one transaction, and not one a run.
        rows = candidates.select_for_update(skip_locked=True, no_key=True)
        taken = list(rows.values_list("pk", "send_count")[:limit])
        for send_count in sorted({count for _, count in taken}):
            pks = [pk for pk, count in taken if count == send_count]
            SyncRun.objects.filter(pk__in=pks).update(**_sent(now, send_count))
    runs = SyncRun.objects.filter(pk__in=[pk for pk, _ in taken])
    return list(runs.order_by("pk").select_related("integration", "repository"))


def _overlooked(now: datetime) -> Q:
    """Match the runs whose message nobody has begun, sent once since a worker last had them.

    Once: of those whose messages die, each further one waits longer, whatever the queue holds.
    """
    sent = Q(send_count=1, enqueued_at__lte=now - LOST_AFTER)
    return sent & Q(lease_expires_at=None, resume_at=None)


def _still_queued(now: datetime, emptied: Collection[str]) -> Q:
    """Match the runs whose message lies in a queue that the workers are on the way through.

    A night's queue may be longer than a message's time: sent again, each would lie there twice. It
    is lost once the queue moved past its place, or moves no more.
    """
    moved = MessageAttempt.objects.filter(finished_at__gt=now - QUEUE_MOVES_WITHIN)
    moved = moved.exclude(queue__in=emptied).order_by()
    reached = moved.values_list("queue").annotate(Max("enqueued_at"))
    queued = Q(pk__in=())
    for queue, reached_at in reached:
        of_queue = [trigger for trigger, name in QUEUE_OF_TRIGGER.items() if name == queue]
        place = max(reached_at - PLACES_APART_MAX, now - RESEND_AFTER_MAX)
        queued |= Q(trigger__in=of_queue, enqueued_at__gt=place)
    # Of those that died or waited since, the message came to a worker. One that is later than it
    # can be was written before a clock was set back.
    sent = Q(send_count__gt=0, enqueued_at__lte=now + CLOCKS_APART_MAX)
    return queued & sent & Q(lease_expires_at=None, resume_at=None)


def note_sent(run: SyncRun) -> None:
    """Write down that a message went, so that the ticker leaves it its time."""
    SyncRun.objects.filter(pk=run.pk).update(**_sent(timezone.now(), run.send_count))


def note_unsent(runs: list[SyncRun]) -> None:
    """Write down that these could not be sent after all: the next tick tries again."""
    SyncRun.objects.filter(pk__in=[run.pk for run in runs], send_count__gt=0).update(
        resend_at=timezone.now(), send_count=F("send_count") - 1
    )


def _sent(now: datetime, send_count: int) -> dict[str, Any]:
    """Return the columns of a run whose message goes now.

    A long queue must not be doubled every 15 s: each further message waits twice as long.
    """
    pause = min(RESEND_AFTER_MAX, RESEND_AFTER * 2 ** min(send_count, 10))
    return {"enqueued_at": now, "resend_at": now + pause, "send_count": send_count + 1}


def _is_its_starter_s(now: datetime) -> Q:
    """Match runs that have just begun, whose starter is about to send and to note that it did.

    A tick between that one's commit and its note would send a second message. The ticker starts
    nights itself, and sends most of the tracked repositories.
    """
    begun = Q(created_at__gt=now - SENT_BY_STARTER_WITHIN) & Q(created_at__lte=now)
    is_sent = ~Q(trigger__in=[RunTrigger.SCHEDULE, RunTrigger.TRACKED])
    return begun & is_sent & Q(claim_count=0)


def _needs_message(now: datetime) -> Q:
    """Match, of the runs that are not over, those that are due and have no message on its way."""
    due = Q(resume_at__isnull=True) | Q(resume_at__lte=now)
    overdue = Q(resend_at__lte=now) | Q(resend_at__isnull=True) & ~_is_its_starter_s(now)
    # Later than it can be: written before a clock was set back.
    overdue |= Q(resend_at__gt=now + RESEND_AFTER_MAX + CLOCKS_APART_MAX)
    # What happened since the last message: a worker died, or a wait ended.
    unanswered = Q(enqueued_at__lte=F("lease_expires_at")) | Q(enqueued_at__lte=F("resume_at"))
    return unheld(now) & due & (overdue | unanswered)
