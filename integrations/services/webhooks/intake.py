"""Store a delivery before it is answered, and have one message sent however many arrive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from integrations.constants import (
    CLOCKS_APART_MAX,
    RESEND_AFTER,
    WEBHOOK_LEASE,
    WEBHOOK_RETRY_AFTER_MAX,
    DeliveryStatus,
)
from integrations.github import webhooks
from integrations.github.reading import storable
from integrations.models import WebhookDelivery, WebhookInbox
from integrations.services.leases import unheld

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from integrations.github.webhooks import Payload

logger = structlog.get_logger(__name__)

KEPT_HEADERS: Final = (
    "Content-Type",
    "User-Agent",
    "X-GitHub-Delivery",
    "X-GitHub-Event",
    "X-GitHub-Hook-ID",
    "X-GitHub-Hook-Installation-Target-ID",
    "X-GitHub-Hook-Installation-Target-Type",
)


@dataclass(frozen=True)
class Stored:
    """A delivery's inbox, and whether it was there already."""

    inbox: WebhookInbox
    is_repeated: bool


def store(
    payload: Payload, *, guid: str, body: bytes, headers: Mapping[str, str], secret_index: int
) -> Stored:
    """Write a delivery down, once; one that GitHub sends again changes nothing."""
    inbox, _ = WebhookInbox.objects.get_or_create(account_id=payload.account_id)
    now = timezone.now()
    try:
        with transaction.atomic():
            WebhookDelivery.objects.create(
                guid=guid,
                inbox=inbox,
                event=payload.event,
                action=storable(payload.action),
                installation_id=payload.installation_id,
                subject_id=payload.subject_id,
                headers={
                    name: storable(headers[name])[:500] for name in KEPT_HEADERS if name in headers
                },
                body=storable(body.decode("utf-8", "replace")),
                happened_at=webhooks.happened_at(guid, received_at=now),
                received_at=now,
                secret_index=secret_index,
            )
    except IntegrityError:
        return Stored(inbox, is_repeated=True)
    return Stored(inbox, is_repeated=False)


def claim_message(inbox: WebhookInbox) -> bool:
    """Say whether a message is to be sent for an inbox now: none is on its way, as far as known."""
    now = timezone.now()
    none_underway = Q(message_at__isnull=True) | Q(message_at__lt=now - RESEND_AFTER)
    # Later than now: written before a clock was set back.
    none_underway |= Q(message_at__gt=now + CLOCKS_APART_MAX)
    return bool(WebhookInbox.objects.filter(none_underway, pk=inbox.pk).update(message_at=now))


def take_back_message(inbox: WebhookInbox) -> None:
    """Say that a message could not be sent: the ticker's next look sends it."""
    WebhookInbox.objects.filter(pk=inbox.pk).update(message_at=None)


def inboxes_to_send(now: datetime, *, limit: int = 100) -> list[WebhookInbox]:
    """Return the inboxes in which something waits that no worker has been told of, or has dropped.

    Each is taken by one ticker only.
    """
    waiting = WebhookDelivery.objects.filter(due(now)).values("inbox")
    free = unheld(now, length=WEBHOOK_LEASE)
    listed = WebhookInbox.objects.filter(free, pk__in=waiting)[:limit]
    return [inbox for inbox in listed if claim_message(inbox)]


def due(now: datetime) -> Q:
    """Match the deliveries that are to be applied now."""
    is_time = Q(next_try_at__isnull=True) | Q(next_try_at__lte=now)
    # Later than the longest pause: written before a clock was set back.
    is_time |= Q(next_try_at__gt=now + WEBHOOK_RETRY_AFTER_MAX + CLOCKS_APART_MAX)
    return Q(status=DeliveryStatus.PENDING) & is_time


def apply_again(delivery: WebhookDelivery) -> None:
    """Have a stored delivery applied once more, as a person asks for it."""
    WebhookDelivery.objects.filter(pk=delivery.pk).update(
        status=DeliveryStatus.PENDING, outcome="", next_try_at=None, attempt_count=0
    )
    logger.info("delivery applied again by hand", delivery_id=delivery.pk)
