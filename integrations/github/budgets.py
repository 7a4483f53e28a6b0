"""Whose rate budget is spent, as far as this process was told: until its reset nothing is asked.

All that a person's tokens ask comes out of one budget, whichever team they were given to; so does
all that an installation asks. GitHub may ban who goes on asking beyond it:
https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from integrations.github.errors import RateLimited
from integrations.github.limits import RESET_MARGIN

if TYPE_CHECKING:
    from integrations.github.limits import RateBudget

REST: Final = "rest"
GRAPHQL: Final = "graphql"
# This share of a budget is left: what other threads and processes have on the way by then.
RESERVE_PERCENT: Final = 1


class Budgets:
    """The spent budgets, by whose they are and of which resource."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._retry_at: dict[tuple[str, str], datetime] = {}

    def refuse_if_spent(self, whose: str, resource: str) -> None:
        """Raise RateLimited, as GitHub would, while nothing is left."""
        with self._lock:
            retry_at = self._retry_at.get((whose, resource))
        if whose and retry_at is not None and datetime.now(UTC) < retry_at:
            raise RateLimited("the budget is spent: not asked", retry_at=retry_at, secondary=False)

    def note(self, whose: str, resource: str, budget: RateBudget | None) -> None:
        """Remember what an answer told; None where limits are off.

        Of answers only: a refusal says itself when to come, and its run remembers it.
        """
        if not whose or budget is None:
            return
        is_spent = budget.remaining <= budget.limit * RESERVE_PERCENT // 100
        now = datetime.now(UTC)
        with self._lock:
            if is_spent:
                known = {key: at for key, at in self._retry_at.items() if at > now}
                self._retry_at = {**known, (whose, resource): budget.reset_at + RESET_MARGIN}
            else:
                # Reset, or raised, since.
                self._retry_at.pop((whose, resource), None)


budgets: Final = Budgets()
