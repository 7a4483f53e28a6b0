"""What is counted of webhook deliveries for the metrics: what became of them, and how late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.utils import timezone

from integrations.constants import DeliveryStatus
from integrations.telemetry.counters import counters

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from integrations.models import WebhookDelivery
    from integrations.services.webhooks.events import Outcome

# Failed on our side, and tried again later.
LATER: Final = "later"


def ended(deliveries: Iterable[WebhookDelivery], outcomes: Mapping[int, Outcome]) -> None:
    """Count what became of deliveries, once that is committed, and how old each was by then."""
    now = timezone.now()
    for one in deliveries:
        if one.pk not in outcomes:
            continue
        counters.count("webhook_deliveries", outcome=outcomes[one.pk].status)
        counters.observe("webhook_apply_seconds", max(0.0, (now - one.received_at).total_seconds()))
        arrived_s = (one.received_at - one.happened_at).total_seconds()
        counters.observe("webhook_arrival_seconds", max(0.0, arrived_s))


def failed(*, for_good: bool) -> None:
    """Count an attempt at a delivery that failed on our side."""
    outcome = DeliveryStatus.FAILED.value if for_good else LATER
    counters.count("webhook_deliveries", outcome=outcome)
