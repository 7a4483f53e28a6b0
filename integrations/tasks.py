"""Dramatiq actors and, beside each, the function that sends its message.

An actor takes a run's id, claims the run's lease, calls one service, and says again, later or
never. Retries are not Dramatiq's: the run's row says when to go on, and the ticker sends it then.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, cast

import dramatiq
import structlog
from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from integrations.broker import BROKER_FAULTS, is_stopping
from integrations.constants import (
    QUEUE_INTERACTIVE,
    QUEUE_OF_TRIGGER,
    QUEUE_SCHEDULED,
    QUEUE_WEBHOOKS,
    SYNC_STATUS_PENDING,
    RunKind,
)
from integrations.github.errors import GitHubError
from integrations.models import CredentialUnreadable, SyncRun, WebhookInbox
from integrations.services import (
    credentials,
    organization_people,
    recovery,
    retention,
    schedule,
    transitions,
)
from integrations.services.connections import SyncRefused
from integrations.services.leases import LeaseLost
from integrations.services.member_sync import sync_members
from integrations.services.repository_sync import sync_repository
from integrations.services.webhooks import intake, search
from integrations.services.webhooks.details import fill_in
from integrations.services.webhooks.drain import drain
from integrations.telemetry.current import running

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from integrations.broker import RollcallBroker
    from integrations.rabbitmq.broker import QuorumBroker
    from integrations.services.leases import Lease

logger = structlog.get_logger(__name__)

# A slice is 20 s of work; a page that GitHub is slow with may take a minute more.
TIME_LIMIT_MS: Final = 5 * 60 * 1000
# Of many runs started together: enough to keep the workers busy until the ticker looks.
SENT_AT_ONCE: Final = 20

dramatiq.get_broker().declare_queue(QUEUE_SCHEDULED)


class QueueUnreachable(Exception):
    """The message could not be sent; the run says so already."""

    reason = "queue_unreachable"


@dramatiq.actor(queue_name=QUEUE_INTERACTIVE, max_retries=0, time_limit=TIME_LIMIT_MS)
def sync_github_members_task(run_id: int) -> None:
    """Work on a member sync for a slice."""
    _work_on(run_id, sync_members, sync_github_members_later)


@dramatiq.actor(queue_name=QUEUE_INTERACTIVE, max_retries=0, time_limit=TIME_LIMIT_MS)
def sync_repository_manual_task(run_id: int) -> None:
    """Work on one repository's sync for a slice."""
    _work_on(run_id, sync_repository, sync_repository_manual_later)


def sync_github_members_later(run: SyncRun) -> None:
    """Send the message of a sync once the transaction is committed.

    Raises QueueUnreachable, after the run was ended in error.
    """
    transaction.on_commit(partial(_send_or_fail, run))


def sync_repository_manual_later(run: SyncRun) -> None:
    """Send the message of a repository sync; as `sync_github_members_later`."""
    transaction.on_commit(partial(_send_or_fail, run))


def sync_repositories_later(runs: Sequence[SyncRun]) -> None:
    """Send the messages of the first of many runs; the ticker sends the others, and lost ones."""
    transaction.on_commit(partial(_send_first, runs[:SENT_AT_ONCE]))


def _send_first(runs: Sequence[SyncRun]) -> None:
    try:
        for run in runs:
            _send(run)
            recovery.note_sent(run)
    except BROKER_FAULTS as exc:
        logger.warning("queue unreachable, runs left to the ticker", error=str(exc))


@dramatiq.actor(queue_name=QUEUE_SCHEDULED, max_retries=0, time_limit=TIME_LIMIT_MS)
def notify_admins_task(credential_id: int) -> None:
    """Write to a team's admins that GitHub refused their connection."""
    credentials.notify_admins(credential_id)


@dramatiq.actor(queue_name=QUEUE_WEBHOOKS, max_retries=0, time_limit=TIME_LIMIT_MS)
def apply_webhooks_task(inbox_id: int) -> None:
    """Apply what waits in an inbox for a slice, and send what it led to."""
    drained = drain(inbox_id, should_stop=is_stopping)
    if drained is None:
        return
    for run in drained.runs:
        sync_github_members_later(run)
    for integration_id, github_ids in drained.joined.items():
        fill_in(integration_id, github_ids)
    if not drained.is_empty:
        apply_webhooks_later(WebhookInbox(pk=inbox_id))


def apply_webhooks_later(inbox: WebhookInbox) -> None:
    """Send an inbox's message unless one is on its way; a queue that is down loses nothing."""
    if not intake.claim_message(inbox):
        return
    try:
        apply_webhooks_task.send(inbox.pk)
    except BROKER_FAULTS as exc:
        logger.warning("webhooks not sent to the workers", inbox_id=inbox.pk, error=str(exc))
        intake.take_back_message(inbox)


@dramatiq.actor(queue_name=QUEUE_SCHEDULED, max_retries=0, time_limit=TIME_LIMIT_MS)
def read_people_task(integration_id: int) -> None:
    """Read who else belongs to an organisation: the invited, guests, teams."""
    organization_people.read_all(integration_id)


@dramatiq.actor(queue_name=QUEUE_SCHEDULED, max_retries=0, time_limit=TIME_LIMIT_MS)
def search_deliveries_task() -> None:
    """Ask GitHub which deliveries failed, and have them sent again."""
    search.search()


def send_due_work() -> None:
    """Start and send all that is due: what the ticker does at each look.

    A queue that is down loses nothing: whatever was not sent is due at a later look.
    """
    now = timezone.now()
    schedule.start_due(now)
    send_due_runs()
    retention.prune(now)
    for credential_id in credentials.take_notices(now):
        notify_admins_task.send(credential_id)
    for inbox in intake.inboxes_to_send(now):
        apply_webhooks_task.send(inbox.pk)
    for integration_id in organization_people.take_due(now):
        read_people_task.send(integration_id)
    if search.is_due(now):
        search_deliveries_task.send()


def send_due_runs() -> int:
    """Send what the ticker finds due; return how many went. A queue that is down loses nothing."""
    now = timezone.now()
    emptied = _empty_queues() if recovery.some_are_overlooked(now) else frozenset()
    runs = recovery.take_runs_to_send(now, emptied=emptied)
    for sent_count, run in enumerate(runs):
        try:
            _send(run)
        except BROKER_FAULTS as exc:
            logger.warning("run not sent", run_id=run.pk, error=str(exc))
            recovery.note_unsent(runs[sent_count:])
            return sent_count
    return len(runs)


def _empty_queues() -> frozenset[str]:
    """Return the queues that hold nothing; none that we know of while the broker is away."""
    broker = cast("RollcallBroker | QuorumBroker", dramatiq.get_broker())
    try:
        return broker.empty_queues()
    except BROKER_FAULTS:
        return frozenset()


def _send(run: SyncRun) -> None:
    is_repository = run.kind == RunKind.REPOSITORY
    actor = sync_repository_manual_task if is_repository else sync_github_members_task
    queue_name = QUEUE_OF_TRIGGER[run.trigger]
    dramatiq.get_broker().enqueue(actor.message(run.pk).copy(queue_name=queue_name))


def _send_or_fail(run: SyncRun) -> None:
    """Send, and let a pending run that could not be sent say so at once.

    A send that raised may have sent: the actor then finds the run ended and does nothing. A run
    already under way is left to the ticker instead.
    """
    try:
        _send(run)
    except BROKER_FAULTS as exc:
        logger.warning("queue unreachable", run_id=run.pk, error=str(exc))
        if run.status == SYNC_STATUS_PENDING:
            transitions.fail(run, QueueUnreachable.reason)
            raise QueueUnreachable from exc
    else:
        recovery.note_sent(run)


def _work_on(
    run_id: int, work: Callable[..., bool], again_later: Callable[[SyncRun], None]
) -> None:
    """Claim a run, work on it for a slice, and send the next slice's message if one is left."""
    lease = transitions.claim(run_id)
    if lease is None or recovery.give_up_if_fruitless(lease):
        return
    running.about(run_id=run_id, team_id=lease.run.integration.team_id)
    with structlog.contextvars.bound_contextvars(
        run_id=run_id, team_id=lease.run.integration.team_id, attempt=lease.run.claim_count
    ):
        try:
            is_over = _settled(lease, work)
        except LeaseLost:
            logger.info("lease lost")
            return
    if not is_over:
        again_later(lease.run)


def _settled(lease: Lease, work: Callable[..., bool]) -> bool:
    """Work, and settle what went wrong; return whether this run needs no message from us.

    The one broad `except` of the project. Raises LeaseLost.
    """
    try:
        return work(lease, should_stop=is_stopping)
    except GitHubError as exc:
        recovery.settle(lease, exc)
    except (SyncRefused, CredentialUnreadable) as exc:
        transitions.fail(lease.run, exc.reason, lease=lease)
    except (OperationalError, InterfaceError):
        # Our database is away: the lease runs out, and the ticker sends the run again.
        logger.exception("database unavailable in run")
    except LeaseLost:
        raise
    except Exception:
        logger.exception("run failed on our side")
        transitions.fail(lease.run, "internal_error", lease=lease)
        raise
    return True
