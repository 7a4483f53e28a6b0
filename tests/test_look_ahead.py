"""One page ahead and no further, in order, with none lost."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from integrations.services.github_graphql_sync import FetchedPage, Place
from integrations.services.look_ahead import LookAhead

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE_COUNT = 300


def page_at(place: Place) -> FetchedPage:
    number = int(place.cursor or 0) + 1
    return FetchedPage(
        members=(),
        known_fields=frozenset(),
        place=place,
        next_place=replace(place, cursor=str(number)) if number < PAGE_COUNT else None,
        asked_at=timezone.now(),
    )


def take_all(ahead: LookAhead, *, slowly: Callable[[], object] = lambda: None) -> list[str]:
    taken = []
    while page := ahead.next_page(every_s=5, meanwhile=lambda: None):
        taken.append(page.place.cursor)
        slowly()
    return taken


class TestLookAhead:
    def test_every_page_comes_once_and_in_order(self) -> None:
        with LookAhead(page_at, Place(), may_go_on=lambda: True) as ahead:
            taken = take_all(ahead)
        assert taken == ["", *map(str, range(1, PAGE_COUNT))]
        assert not ahead.ended_early

    def test_it_is_one_page_ahead_at_the_most(self) -> None:
        asked: list[str] = []

        def read(place: Place) -> FetchedPage:
            asked.append(place.cursor)
            return page_at(place)

        most = 0
        with LookAhead(read, Place(), may_go_on=lambda: len(asked) < 50) as ahead:
            taken_count = 0
            while ahead.next_page(every_s=5, meanwhile=lambda: None):
                taken_count += 1
                most = max(most, len(asked) - taken_count)
        # The page in hand, the one offered, and the one on its way.
        assert most <= 2
        assert ahead.ended_early
        assert taken_count == 50

    def test_an_error_comes_after_the_pages_before_it(self) -> None:
        def read(place: Place) -> FetchedPage:
            if place.cursor == "2":
                raise ConnectionError("page 3")
            return page_at(place)

        with LookAhead(read, Place(), may_go_on=lambda: True) as ahead:
            assert ahead.next_page(every_s=5, meanwhile=lambda: None) is not None
            assert ahead.next_page(every_s=5, meanwhile=lambda: None) is not None
            with pytest.raises(ConnectionError, match="page 3"):
                ahead.next_page(every_s=5, meanwhile=lambda: None)

    def test_whoever_waits_long_is_called_in_between(self) -> None:
        gate = threading.Event()
        calls: list[int] = []

        def read(place: Place) -> FetchedPage:
            gate.wait(10)
            return page_at(place)

        def meanwhile() -> None:
            calls.append(1)
            if len(calls) == 3:
                gate.set()

        with LookAhead(read, Place(), may_go_on=lambda: False) as ahead:
            assert ahead.next_page(every_s=0.01, meanwhile=meanwhile) is not None
        assert len(calls) >= 3

    def test_leaving_early_ends_the_thread(self) -> None:
        before = threading.active_count()
        with LookAhead(page_at, Place(), may_go_on=lambda: True) as ahead:
            ahead.next_page(every_s=5, meanwhile=lambda: None)
        assert threading.active_count() == before
