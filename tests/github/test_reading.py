"""JSON read with care: the wrong shape raises UnexpectedAnswer and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis.strategies import from_regex

from integrations.github import addresses, reading
from integrations.github.errors import UnexpectedAnswer
from integrations.github.reading import JSON, JSONObject


class TestParseJSON:
    @pytest.mark.parametrize(
        "content", [b"", b"<html>", b'{"a": ', b"\xff\xfe", b"[" * 200_000, b"9" * 5_000]
    )
    def test_garbage_is_an_unexpected_answer(self, content: bytes) -> None:
        with pytest.raises(UnexpectedAnswer):
            reading.parse_json(content)


class TestShapes:
    @pytest.mark.parametrize(
        ("read", "bad"),
        [
            (reading.read_id, None),
            (reading.read_id, "1"),
            (reading.read_id, True),
            (reading.read_id, 0),
            (reading.read_id, -1),
            (reading.read_id, 2**63),
            (reading.read_id, 1.0),
            (reading.read_count, None),
            (reading.read_count, -1),
            (reading.read_count, True),
            (reading.read_count, 10**13),
            (reading.read_flag, None),
            (reading.read_flag, 1),
            (reading.read_optional_flag, "yes"),
            (reading.read_text, 1),
            (reading.read_text, {}),
            (reading.read_required_text, ""),
            (reading.read_required_text, None),
            (reading.read_object, []),
            (reading.read_object, None),
            (reading.read_list, {}),
            (reading.read_list, None),
            (reading.read_instant, "yesterday"),
            (reading.read_instant, "0001-01-01T00:00:00+14:00"),
        ],
    )
    def test_another_type_is_an_unexpected_answer(
        self, read: Callable[[JSONObject, str], object], bad: JSON
    ) -> None:
        with pytest.raises(UnexpectedAnswer, match="`it`"):
            read({"it": bad}, "it")

    @pytest.mark.parametrize("bad", [None, [], "text", 1])
    def test_no_object_is_an_unexpected_answer(self, bad: JSON) -> None:
        with pytest.raises(UnexpectedAnswer):
            reading.as_object(bad)

    @pytest.mark.parametrize("bad", [None, {}, "text", 1])
    def test_no_list_is_an_unexpected_answer(self, bad: JSON) -> None:
        with pytest.raises(UnexpectedAnswer):
            reading.as_list(bad)


class TestTexts:
    def test_null_and_absent_are_empty(self) -> None:
        assert reading.read_text({"name": None}, "name") == ""
        assert reading.read_text({}, "name") == ""

    def test_nul_and_half_surrogates_go(self) -> None:
        text = reading.read_text({"name": "A\0lice \ud83d \U0001f600"}, "name")
        assert text == "Alice ? \U0001f600"
        assert reading.read_text({"name": "A\0lice"}, "name") == "Alice"

    def test_it_is_cut_to_its_length(self) -> None:
        assert reading.read_text({"name": "é" * 300}, "name", length=255) == "é" * 255

    def test_an_email_too_long_to_be_one_is_left_out(self) -> None:
        assert reading.read_email({"email": "a" * 250 + "@example.org"}, "email") == ""

    def test_an_email_stays_as_it_is(self) -> None:
        assert reading.read_email({"email": "Alice@Example.org"}, "email") == "Alice@Example.org"


class TestAddresses:
    @pytest.mark.parametrize(
        "url", ["https://avatars.githubusercontent.com/u/1?v=4", "http://127.0.0.1:8000/a.svg"]
    )
    def test_a_web_address_stays(self, url: str) -> None:
        assert reading.read_url({"avatar_url": url}, "avatar_url") == url

    @pytest.mark.parametrize(
        "url",
        [
            "javascript:alert(1)",
            "data:image/svg+xml,x",
            "//example.org/a",
            "https://",
            "https://example.org/" + "a" * 500,
            "https://example.org:port/",
            "https://[::1/",
            "https://exa mple.org/",
            "https://alice@example.org/a",
            "https://example.org\\@example.com/",
            "https://example.org/a\nb",
            "https://example.org:99999/",
        ],
    )
    def test_anything_else_is_left_out(self, url: str) -> None:
        assert reading.read_url({"avatar_url": url}, "avatar_url") == ""

    @given(url=from_regex(addresses.PLAIN, fullmatch=True))
    def test_what_is_taken_at_a_look_would_be_taken_apart_as_well(self, url: str) -> None:
        assert addresses.is_same_origin(url, url)


class TestInstants:
    def test_it_is_read_in_utc(self) -> None:
        expected = datetime(2026, 11, 23, 11, 30, tzinfo=UTC)
        assert reading.read_instant({"at": "2026-11-23T12:30:00+01:00"}, "at") == expected
        assert reading.read_instant({"at": "2026-11-23T11:30:00Z"}, "at") == expected
        assert reading.read_instant({"at": "2026-11-23T11:30:00"}, "at") == expected

    def test_null_is_none(self) -> None:
        assert reading.read_instant({"at": None}, "at") is None
