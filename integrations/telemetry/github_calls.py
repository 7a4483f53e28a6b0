"""What is asked of GitHub: how often, how long it took, how it ended, what is left of the budget.

`github/transport.py` tells of each exchange; whose budget it is the client
says (`asker`, the credential's id).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from django.utils import timezone

from integrations.github.limits import RateBudget
from integrations.telemetry.counters import counters

if TYPE_CHECKING:
    from integrations.github.transport import Exchange

BUDGETS: Final = "budgets"
NO_ANSWER: Final = "no answer"


def note(exchange: Exchange) -> None:
    """Count one exchange with GitHub."""
    resource = "graphql" if urlsplit(exchange.url).path.endswith("/graphql") else "rest"
    status = NO_ANSWER if exchange.status is None else str(exchange.status)
    counters.count("github_requests", resource=resource, status=status)
    counters.observe("github_request_seconds", exchange.took_s, resource=resource)
    counters.count_over_time("github requests")
    if exchange.status is None or exchange.status >= 400:
        counters.count_over_time(f"github errors:{status}")
    counters.count_over_time("github seconds", exchange.took_s)
    budget = RateBudget.from_headers(exchange.headers)
    if exchange.asker and budget is not None:
        counters.keep_latest(
            BUDGETS,
            f"{exchange.asker}:{budget.resource or resource}",
            {
                "limit": budget.limit,
                "remaining": budget.remaining,
                "reset_at": budget.reset_at.isoformat(),
                "at": timezone.now().isoformat(),
            },
        )


def note_points(points: int) -> None:
    """Count points of GitHub's budget that a page cost."""
    counters.count("github_points", points)
    counters.count_over_time("github points", points)
