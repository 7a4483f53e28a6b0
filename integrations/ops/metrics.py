"""`/metrics`: what Prometheus scrapes, for a bearer token or for staff; for others there is none.

Nothing is kept in this process: totals are everybody's, from Redis, gauges come from a snapshot. So
any web process may be asked, and all say the same. It answers within 2 s whatever is away.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

import structlog
from django.conf import settings
from django.db import Error as DatabaseFailure
from django.http import Http404, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from integrations.ops import snapshot
from integrations.ops.metric_families import PREFIX, histograms_of, totals_of
from integrations.ops.metric_gauges import gauges_of
from integrations.ops.reachability import briefly, is_database_away
from integrations.telemetry.counters import Series, read_totals
from integrations.telemetry.redis_clients import telemetry_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest
    from prometheus_client import Metric

logger = structlog.get_logger(__name__)


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer a scrape, in the format that it asks for."""
    if not (_has_token(request) or _is_staff(request)):
        raise Http404
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Everything())
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry), content_type=content_type)


class Everything(Collector):
    """Looks once for each scrape."""

    def describe(self) -> list[Metric]:
        """Say nothing in advance: registering must not cost a look."""
        return []

    def collect(self) -> Iterator[Metric]:
        begun_s = time.monotonic()
        seen = snapshot.take()
        totals: dict[Series, float] | None = None
        if "redis" not in seen.unreadable:
            totals = _read_totals()
        yield from gauges_of(seen, is_redis_up=totals is not None)
        # While Redis is away there are no totals: zeros would look like a restart.
        if totals is not None:
            yield from totals_of(totals)
            yield from histograms_of(totals)
        took = GaugeMetricFamily(f"{PREFIX}scrape_seconds", "How long this look took.")
        took.add_metric([], time.monotonic() - begun_s)
        yield took


def _read_totals() -> dict[Series, float] | None:
    try:
        return read_totals(telemetry_client())
    except RedisError as exc:
        logger.warning("totals not read", error=str(exc))
        return None


def _has_token(request: HttpRequest) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    expected: str = settings.METRICS_TOKEN
    if not expected or scheme.lower() != "bearer":
        return False
    return secrets.compare_digest(token.strip().encode(), expected.encode())


@briefly()
def _is_staff(request: HttpRequest) -> bool:
    """Say whether a member of the staff is signed in; asks the database only if it answers."""
    if settings.SESSION_COOKIE_NAME not in request.COOKIES or is_database_away():
        return False
    user: Any = getattr(request, "user", None)
    try:
        return user is not None and user.is_active and user.is_staff
    except DatabaseFailure:
        return False
