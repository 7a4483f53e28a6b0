"""GitHub's limits, as its headers tell them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from requests.structures import CaseInsensitiveDict

from integrations.github.limits import RateBudget, is_used_up, retry_at

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
RESET = datetime(2026, 11, 23, 12, 40, tzinfo=UTC)


def headers(**given: object) -> CaseInsensitiveDict[str]:
    return CaseInsensitiveDict(
        {name.replace("_", "-"): str(value) for name, value in given.items()}
    )


def budget_headers(**changes: object) -> CaseInsensitiveDict[str]:
    told = {
        "X_RateLimit_Limit": 5000,
        "X_RateLimit_Remaining": 4990,
        "X_RateLimit_Used": 10,
        "X_RateLimit_Reset": int(RESET.timestamp()),
        "X_RateLimit_Resource": "core",
    }
    return headers(**(told | changes))


class TestRateBudget:
    def test_it_reads_all_five_headers(self) -> None:
        assert RateBudget.from_headers(budget_headers()) == RateBudget(
            limit=5000, remaining=4990, used=10, reset_at=RESET, resource="core"
        )

    def test_it_is_none_where_limits_are_off(self) -> None:
        assert RateBudget.from_headers(headers()) is None

    def test_it_reckons_what_was_used_when_that_is_not_told(self) -> None:
        budget = RateBudget.from_headers(budget_headers(X_RateLimit_Used=""))
        assert budget is not None
        assert budget.used == 10

    @pytest.mark.parametrize("figure", ["", "-1", "soon", "1e3", "١٢", "9" * 30])
    def test_it_is_none_when_a_figure_is_none(self, figure: str) -> None:
        assert RateBudget.from_headers(budget_headers(X_RateLimit_Reset=figure)) is None


class TestRetryAt:
    def test_retry_after_comes_first(self) -> None:
        given = budget_headers(X_RateLimit_Remaining=0, Retry_After=90)
        assert retry_at(given, now=NOW) == NOW + timedelta(seconds=90)

    def test_else_it_is_a_second_past_the_reset_when_nothing_is_left(self) -> None:
        given = budget_headers(X_RateLimit_Remaining=0)
        assert retry_at(given, now=NOW) == RESET + timedelta(seconds=1)

    def test_the_reset_says_nothing_while_something_is_left(self) -> None:
        assert retry_at(budget_headers(X_RateLimit_Remaining=1), now=NOW) is None

    def test_without_a_figure_it_is_none(self) -> None:
        assert retry_at(headers(), now=NOW) is None

    @pytest.mark.parametrize("figure", ["", "-5", "soon", "1.5", "9" * 30])
    def test_a_figure_that_is_none_is_passed_over(self, figure: str) -> None:
        assert retry_at(headers(Retry_After=figure), now=NOW) is None

    def test_the_longest_figure_is_still_a_time(self) -> None:
        assert retry_at(headers(Retry_After="9" * 10), now=NOW) is not None


class TestIsUsedUp:
    @pytest.mark.parametrize(("remaining", "used_up"), [("0", True), ("1", False), ("", False)])
    def test_only_zero_is(self, remaining: str, used_up: bool) -> None:
        assert is_used_up(headers(X_RateLimit_Remaining=remaining)) is used_up
