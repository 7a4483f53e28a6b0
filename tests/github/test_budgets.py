"""A budget that is spent is not asked from, whichever client comes; others are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from integrations.github.budgets import Budgets
from integrations.github.errors import RateLimited
from integrations.github.limits import RateBudget

HOUR_AHEAD = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)


def told(remaining: int, *, reset_at: datetime = HOUR_AHEAD) -> RateBudget:
    return RateBudget(5_000, remaining, 5_000 - remaining, reset_at, "graphql")


def is_refused(budgets: Budgets, whose: str = "person 1", resource: str = "graphql") -> bool:
    try:
        budgets.refuse_if_spent(whose, resource)
    except RateLimited:
        return True
    return False


@pytest.mark.parametrize(("remaining", "refused"), [(51, False), (50, True), (0, True)])
def test_its_last_percent_is_left(remaining: int, refused: bool) -> None:
    budgets = Budgets()
    budgets.note("person 1", "graphql", told(remaining))
    assert is_refused(budgets) is refused


def test_it_says_when_to_come_again() -> None:
    budgets = Budgets()
    budgets.note("person 1", "graphql", told(0))
    with pytest.raises(RateLimited) as caught:
        budgets.refuse_if_spent("person 1", "graphql")
    assert caught.value.retry_at == HOUR_AHEAD + timedelta(seconds=1)


def test_other_people_and_resources_go_on() -> None:
    budgets = Budgets()
    budgets.note("person 1", "graphql", told(0))
    assert not is_refused(budgets, "person 2")
    assert not is_refused(budgets, "person 1", "rest")


def test_after_the_reset_it_is_asked_again() -> None:
    budgets = Budgets()
    budgets.note("person 1", "graphql", told(0, reset_at=HOUR_AHEAD - timedelta(hours=2)))
    assert not is_refused(budgets)


def test_a_better_answer_is_believed() -> None:
    budgets = Budgets()
    budgets.note("person 1", "graphql", told(0))
    budgets.note("person 1", "graphql", told(4_000))
    assert not is_refused(budgets)


def test_without_headers_or_somebody_there_is_no_limit() -> None:
    budgets = Budgets()
    budgets.note("person 1", "graphql", None)
    budgets.note("", "graphql", told(0))
    assert not is_refused(budgets)
    assert not is_refused(budgets, "")
