"""Apply what waits in an inbox: a batch in a transaction, one worker at a time.

Each delivery ends in a word for what became of it. One that fails on our side is tried again later
and holds nobody else up.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F, Q
from django.utils import timezone

from integrations.constants import (
    WEBHOOK_ATTEMPTS_MAX,
    WEBHOOK_BATCH_SIZE,
    WEBHOOK_LEASE,
    WEBHOOK_RETRY_AFTER,
    WEBHOOK_SLICE,
    DeliveryStatus,
    RunTrigger,
)
from integrations.github.errors import GitHubError, UnexpectedAnswer
from integrations.models import WebhookDelivery, WebhookInbox
from integrations.services.connections import SyncRefused
from integrations.services.leases import unheld
from integrations.services.runs import start_run
from integrations.services.webhooks import counts, events, intake

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet

    from integrations.models import GitHubIntegration, SyncRun
    from integrations.services.webhooks.events import Outcome

logger = structlog.get_logger(__name__)


@dataclass
class Drained:
    """What is left after a slice of work on an inbox."""

    is_empty: bool = True
    # To be sent: webhooks start reads of what they only hint at.
    runs: list[SyncRun] = field(default_factory=list)
    # Integrations to read in full, whose runs are started once nothing else is locked.
    to_read: list[GitHubIntegration] = field(default_factory=list)
    # Who joined each roster, whose name and e-mail no webhook tells.
    joined: dict[int, set[int]] = field(default_factory=dict)


def drain(inbox_id: int, *, should_stop: Callable[[], bool]) -> Drained | None:
    """Work on an inbox for a slice of time; None when another worker is at it."""
    token = uuid.uuid4()
    if not _claim(inbox_id, token):
        return None
    drained = Drained()
    ends_at = time.monotonic() + WEBHOOK_SLICE.total_seconds()
    try:
        while not should_stop() and time.monotonic() < ends_at:
            batch = _next_batch(inbox_id)
            if not batch:
                break
            _apply(batch, drained)
            if not _claim(inbox_id, token):
                break
    finally:
        # A message that came meanwhile found the lease held and is gone: none is on its way.
        WebhookInbox.objects.filter(pk=inbox_id, lease_token=token).update(
            lease_token=None, lease_expires_at=None, message_at=None
        )
    for integration in drained.to_read:
        drained.runs.append(start_run(integration, trigger=RunTrigger.WEBHOOK).run)
    # After the lease was given back: whoever came meanwhile found it held and went away.
    drained.is_empty = not _waiting(inbox_id).exists()
    return drained


def _claim(inbox_id: int, token: uuid.UUID) -> bool:
    """Take or renew the lease, and with it answer the message that led here."""
    now = timezone.now()
    free = unheld(now, length=WEBHOOK_LEASE) | Q(lease_token=token)
    return bool(
        WebhookInbox.objects.filter(free, pk=inbox_id).update(
            lease_token=token, lease_expires_at=now + WEBHOOK_LEASE, message_at=None
        )
    )


def _waiting(inbox_id: int) -> QuerySet[WebhookDelivery]:
    return WebhookDelivery.objects.select_related("inbox").filter(
        intake.due(timezone.now()), inbox=inbox_id
    )


def _next_batch(inbox_id: int) -> list[WebhookDelivery]:
    waiting = list(_waiting(inbox_id).order_by("pk")[:WEBHOOK_BATCH_SIZE])
    # As they happened, as far as that is known.
    return sorted(waiting, key=lambda one: (one.happened_at, one.pk))


def _apply(batch: list[WebhookDelivery], drained: Drained) -> None:
    """Apply a batch at once; if that fails, one by one, so that one bad one stops no other."""
    try:
        _apply_together(batch, drained)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        if len(batch) > 1:
            logger.exception("webhooks failed together, applying them one by one")
            for one in _still_pending(batch):
                _apply([one], drained)
            return
        logger.exception("webhook failed on our side", delivery_id=batch[0].pk)
        _try_later(batch[0], "internal_error")


def _still_pending(batch: list[WebhookDelivery]) -> list[WebhookDelivery]:
    """Return those of a batch that nothing has become of yet."""
    pending = WebhookDelivery.objects.filter(
        pk__in=[one.pk for one in batch], status=DeliveryStatus.PENDING
    )
    keys = set(pending.values_list("pk", flat=True))
    return [one for one in batch if one.pk in keys]


def _apply_together(batch: list[WebhookDelivery], drained: Drained) -> None:
    """Apply what is about people in one transaction, and whatever else each by itself.

    The others may move runs and integrations, whose rows people's come before.
    """
    about_people = [one for one in batch if events.is_about_people(one)]
    with transaction.atomic():
        outcomes = events.apply_to_people(about_people, drained)
        _write_down(outcomes)
    counts.ended(about_people, outcomes)
    for one in batch:
        if events.is_about_people(one):
            continue
        try:
            outcome = events.apply_one(one, drained)
        except UnexpectedAnswer as exc:
            logger.warning("webhook unreadable", delivery_id=one.pk, error=str(exc))
            outcome = events.UNREADABLE
        except (GitHubError, SyncRefused) as exc:
            logger.warning("webhook not applied", delivery_id=one.pk, reason=exc.reason)
            _try_later(one, exc.reason)
            continue
        _write_down({one.pk: outcome})
        counts.ended([one], {one.pk: outcome})


def _write_down(outcomes: dict[int, Outcome]) -> None:
    """Write what became of deliveries: one statement for each outcome that there is."""
    now = timezone.now()
    by_outcome: dict[Outcome, list[int]] = {}
    for pk, outcome in outcomes.items():
        by_outcome.setdefault(outcome, []).append(pk)
    for outcome, keys in by_outcome.items():
        WebhookDelivery.objects.filter(pk__in=keys).update(
            status=outcome.status,
            outcome=outcome.word,
            applied_at=now,
            attempt_count=F("attempt_count") + 1,
            next_try_at=None,
        )


def _try_later(delivery: WebhookDelivery, word: str) -> None:
    """Count a failed attempt; after the last one the delivery has failed."""
    count = delivery.attempt_count + 1
    has_failed = count >= WEBHOOK_ATTEMPTS_MAX
    WebhookDelivery.objects.filter(pk=delivery.pk).update(
        status=DeliveryStatus.FAILED if has_failed else DeliveryStatus.PENDING,
        outcome=word,
        attempt_count=count,
        next_try_at=None if has_failed else timezone.now() + WEBHOOK_RETRY_AFTER * 2 ** (count - 1),
    )
    counts.failed(for_good=has_failed)
