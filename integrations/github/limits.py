"""What GitHub's headers say about its limits. Decides nothing, waits for nothing.

https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from integrations.numbers import whole_number

# The reset is a whole second, and its end is what counts; octokit and PyGithub add one as well.
RESET_MARGIN: Final = timedelta(seconds=1)
# Ten digits of seconds reach the year 2286: longer figures are none.
_DIGITS_MAX: Final = 10


@dataclass(frozen=True)
class RateBudget:
    """How much may still be asked until `reset_at`, of one resource ("core", "graphql")."""

    limit: int
    remaining: int
    used: int
    reset_at: datetime
    resource: str

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> RateBudget | None:
        """Return None where limits are off, as they are on a GitHub Enterprise Server at first."""
        limit = _figure(headers, "x-ratelimit-limit")
        remaining = _figure(headers, "x-ratelimit-remaining")
        reset = _figure(headers, "x-ratelimit-reset")
        if limit is None or remaining is None or reset is None:
            return None
        used = _figure(headers, "x-ratelimit-used")
        return cls(
            limit=limit,
            remaining=remaining,
            used=max(0, limit - remaining) if used is None else used,
            reset_at=datetime.fromtimestamp(reset, UTC),
            resource=headers.get("x-ratelimit-resource", ""),
        )


def is_used_up(headers: Mapping[str, str]) -> bool:
    return _figure(headers, "x-ratelimit-remaining") == 0


def retry_at(headers: Mapping[str, str], *, now: datetime) -> datetime | None:
    """Return when to ask again after a limit, or None when GitHub gave no figure.

    Only for answers that are a limit: x-ratelimit-reset comes with every answer, and on a 502 it
    would have us wait for the rest of an hour.
    """
    wait_s = _figure(headers, "retry-after")
    if wait_s is not None:
        return now + timedelta(seconds=wait_s)
    reset = _figure(headers, "x-ratelimit-reset")
    if reset is not None and is_used_up(headers):
        return datetime.fromtimestamp(reset, UTC) + RESET_MARGIN
    return None


def _figure(headers: Mapping[str, str], name: str) -> int | None:
    return whole_number(headers.get(name, "").strip(), digits_max=_DIGITS_MAX)
