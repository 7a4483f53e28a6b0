"""How GitHub is asked and how it answers: every process's counts, with the names of the rows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Count, Min

from integrations.constants import DeliveryStatus
from integrations.models import IntegrationCredential, WebhookDelivery
from integrations.ops.figures import Budget, GitHubFigures, InboxFigures
from integrations.telemetry.counters import HOUR, MINUTE

if TYPE_CHECKING:
    from integrations.ops.figures import RunLine
    from integrations.ops.rates import Past

BUDGETS_MAX: Final = 20
LOOK_BACK: Final = timedelta(days=1)


def github_figures(
    past: Past, budgets: dict[str, dict[str, Any]], waiting: tuple[RunLine, ...], now: datetime
) -> GitHubFigures:
    """Put together what was counted, what is left, and who waits."""
    request_count = past.total("github requests", MINUTE)
    seconds = past.total("github seconds", MINUTE)
    errors = past.beginning_with("github errors:", HOUR)
    return GitHubFigures(
        requests_a_minute=request_count,
        points_a_minute=past.a_minute("github points"),
        latency_s=seconds / request_count if request_count else None,
        errors=tuple(sorted((name, round(count)) for name, count in errors.items())),
        request_points=past.points("github requests", HOUR),
        budgets=_budgets(budgets, now),
        waiting_runs=waiting,
    )


def _budgets(told: dict[str, dict[str, Any]], now: datetime) -> tuple[Budget, ...]:
    """Return what is left of those budgets that have not been reset since, the least first."""
    current = {
        name: value
        for name, value in told.items()
        if datetime.fromisoformat(value["reset_at"]) > now
    }
    least = sorted(current.items(), key=lambda one: one[1]["remaining"] / max(1, one[1]["limit"]))
    least = least[:BUDGETS_MAX]
    ids = {int(name.partition(":")[0]) for name, _ in least}
    credentials = IntegrationCredential.objects.select_related("team").in_bulk(ids)
    found = []
    for name, value in least:
        credential_id, _, resource = name.partition(":")
        credential = credentials.get(int(credential_id))
        found.append(
            Budget(
                credential_id=int(credential_id),
                team_name=credential.team.name if credential else "",
                team_slug=credential.team.slug if credential else "",
                github_username=credential.github_username if credential else "",
                resource=resource,
                limit=value["limit"],
                remaining=value["remaining"],
                reset_at=datetime.fromisoformat(value["reset_at"]),
                at=datetime.fromisoformat(value["at"]),
            )
        )
    return tuple(found)


def read_inboxes(now: datetime) -> InboxFigures:
    """Count the deliveries that wait, and those of the last day that failed: two queries."""
    pending = WebhookDelivery.objects.filter(status=DeliveryStatus.PENDING).aggregate(
        count=Count("pk"), oldest=Min("received_at")
    )
    failed = WebhookDelivery.objects.filter(
        received_at__gt=now - LOOK_BACK, status=DeliveryStatus.FAILED
    )
    oldest = pending["oldest"]
    return InboxFigures(
        pending_count=pending["count"],
        failed_count=failed.count(),
        oldest_age_s=(now - oldest).total_seconds() if oldest else None,
    )
