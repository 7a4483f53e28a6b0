"""What counts as a whole number, and what doesn't."""

from __future__ import annotations

import pytest

from integrations.live.channels import team_id_of
from integrations.live.stream import last_id_of
from integrations.numbers import DIGITS_MAX, whole_number


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("7", 7), ("007", 7), ("9" * 18, 10**18 - 1)]
)
def test_digits_are_a_number(text: str, number: int) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize(
    "text", ["", " 7", "7 ", "+7", "-7", "1_000", "1e3", "7.0", "\u00b2", "\u0667", "\uff17",
             "9" * (DIGITS_MAX + 1), "9" * 5_000],
)  # fmt: skip
def test_anything_else_is_none(text: str) -> None:
    assert whole_number(text) is None


def test_a_column_may_take_fewer() -> None:
    assert whole_number("12345", digits_max=4) is None
    assert whole_number("1234", digits_max=4) == 1234


@pytest.mark.parametrize("number", ["9" * 19, "9" * 5_000, "\u00b2", "-1", ""])
def test_no_such_team_has_a_channel_and_no_stream_goes_on_from_there(number: str) -> None:
    assert team_id_of(f"team-{number}") is None
    with pytest.raises(ValueError, match="number"):
        last_id_of(f"team-7:{number}", "team-7")
