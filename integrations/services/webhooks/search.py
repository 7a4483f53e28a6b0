"""Deliveries that GitHub could not bring us: found by asking it, and asked for again.

GitHub never repeats a delivery by itself and remembers them for three days.
https://docs.github.com/webhooks/using-webhooks/handling-failed-webhook-deliveries
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog
from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from integrations.constants import DELIVERY_SEARCH_BACK, DELIVERY_SEARCH_INTERVAL
from integrations.github import app
from integrations.github.errors import GitHubError
from integrations.models import DeliverySearch, WebhookDelivery
from integrations.services.connections import SyncRefused, client_of_app

if TYPE_CHECKING:
    from datetime import datetime

    from integrations.github.app import Delivery
    from integrations.github.http import GitHubClient

logger = structlog.get_logger(__name__)

ROW: Final = 1
# A search reads this many pages of a hundred at the most; the next one goes on.
PAGES_MAX: Final = 50
# Asking for one is a write; GitHub allows 80 of those a minute.
# https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits
REDELIVERIES_MAX: Final = 60


def is_due(now: datetime) -> bool:
    """Take the next search, if it is due; one ticker only gets it."""
    if not settings.GITHUB_APP_CONFIGURED or not settings.GITHUB_WEBHOOK_SECRETS:
        return False
    # The first one is some way off: a server that has just been set up has missed nothing yet.
    DeliverySearch.objects.get_or_create(
        pk=ROW, defaults={"next_at": now + DELIVERY_SEARCH_INTERVAL}
    )
    free = Q(next_at__isnull=True) | Q(next_at__lte=now)
    rows = DeliverySearch.objects.filter(free, pk=ROW)
    # Asked before it is written: SQLite's one writer is not waited for at every look.
    return rows.exists() and bool(rows.update(next_at=now + DELIVERY_SEARCH_INTERVAL))


def search() -> int:
    """Have everything sent again that failed since the last search; return how many.

    What GitHub refuses to tell is logged and kept beside the search, and asked for at the next.
    """
    began_at = timezone.now()
    row, _ = DeliverySearch.objects.get_or_create(pk=ROW)
    remembered = began_at - DELIVERY_SEARCH_BACK
    since = max(row.searched_until or remembered, remembered)
    try:
        client = client_of_app()
        missed = _missed(_listed_since(client, since))
        for delivery in missed[:REDELIVERIES_MAX]:
            app.redeliver(client, delivery.id)
    except (GitHubError, SyncRefused) as exc:
        logger.warning("failed deliveries not looked for", reason=exc.reason)
        DeliverySearch.objects.filter(pk=ROW).update(error_code=exc.reason)
        return 0
    facts: dict[str, Any] = {"error_code": ""}
    if missed:
        # What failed once more is found again, for as long as GitHub remembers it.
        facts |= {"found_at": began_at, "found_count": len(missed)}
        logger.info("failed deliveries asked for again", count=len(missed))
    else:
        # A little less far than now: an attempt under way while we looked may have failed.
        facts["searched_until"] = began_at - DELIVERY_SEARCH_INTERVAL
    DeliverySearch.objects.filter(pk=ROW).update(**facts)
    return len(missed)


def _listed_since(client: GitHubClient, since: datetime) -> list[Delivery]:
    listed: list[Delivery] = []
    cursor = ""
    for _ in range(PAGES_MAX):
        page = app.deliveries(client, cursor=cursor)
        listed.extend(one for one in page.deliveries if one.delivered_at >= since)
        is_past = any(one.delivered_at < since for one in page.deliveries)
        if is_past or not page.next_cursor or page.next_cursor == cursor:
            break
        cursor = page.next_cursor
    return listed


def _missed(listed: list[Delivery]) -> list[Delivery]:
    """Return the first attempts of what never arrived, oldest first.

    It arrived if any attempt did, or if we have it: an answer may have been lost on its way back.
    """
    arrived = {one.guid for one in listed if one.arrived}
    failed = {one.guid: one for one in listed if one.guid not in arrived}
    known = WebhookDelivery.objects.filter(guid__in=list(failed)).values_list("guid", flat=True)
    for guid in known:
        del failed[guid]
    return sorted(failed.values(), key=lambda one: one.delivered_at)
