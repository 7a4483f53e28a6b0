"""Queues at scale: a night of 10,000 teams against a click, one giant against 500 small teams.

With the real ticker and worker, in the database that DATABASE_URL names, else SQLite. Everything
is bounded in time: what a sweep takes in all is told by the rate at which it went.
"""

from __future__ import annotations

from typing import Final

from tests.bench.queues.budget import a_budget_that_teams_share
from tests.bench.queues.click import night_and_click
from tests.bench.queues.giant import few_behind_a_giant, giant_and_small

QUEUES: Final = (
    night_and_click,
    giant_and_small,
    few_behind_a_giant,
    a_budget_that_teams_share,
)
