"""The shelf of kept pieces: how much it holds, what goes first, and that it says truly how much."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pytest
from django.test import Client
from django.urls import reverse

from integrations.templatetags.kept import piece
from integrations.views import kept, member_rows
from integrations.views.change_rows import change_row
from integrations.views.kept import BYTES_BESIDE, Shelf
from integrations.views.repository_rows import repository_row
from tests.factories import TeamMemberFactory

if TYPE_CHECKING:
    from integrations.models import Team, User

HTML: Final = "<tr></tr>"
SIZE: Final = len(HTML) + BYTES_BESIDE


def shelf_of(count: int) -> tuple[Shelf, list[str]]:
    """Return a shelf with room for so many pieces, and the names that were rendered for it."""
    return Shelf(count * SIZE), []


def test_a_piece_is_rendered_once() -> None:
    shelf, names = shelf_of(2)

    @shelf.keeps
    def row(name: str) -> str:
        names.append(name)
        return HTML

    assert [row("ada"), row("ada")] == [HTML.encode()] * 2
    assert names == ["ada"]
    assert (len(shelf), shelf.byte_count) == (1, SIZE)


def test_what_was_not_asked_for_the_longest_goes_first() -> None:
    shelf, names = shelf_of(2)

    @shelf.keeps
    def row(name: str) -> str:
        names.append(name)
        return HTML

    for name in ("ada", "bob", "ada", "eve", "ada", "bob"):
        row(name)
    assert names == ["ada", "bob", "eve", "bob"]
    assert (len(shelf), shelf.byte_count) == (2, 2 * SIZE)


def test_a_large_piece_takes_the_room_of_many() -> None:
    shelf, _ = shelf_of(10)

    @shelf.keeps
    def row(name: str) -> str:
        return "x" * (8 * SIZE - BYTES_BESIDE) if name == "large" else HTML

    for name in "abcdefghij":
        row(name)
    assert len(shelf) == 10
    row("large")
    assert (len(shelf), shelf.byte_count) == (3, 10 * SIZE)
    for name in "abc":
        row(name)
    assert (len(shelf), shelf.byte_count) == (3, 3 * SIZE)


def test_a_piece_larger_than_the_shelf_is_given_and_not_kept() -> None:
    shelf, _ = shelf_of(1)
    assert shelf.keeps(lambda name: name * 2)(HTML) == HTML.encode() * 2
    assert (len(shelf), shelf.byte_count) == (0, 0)


def test_kinds_given_the_same_are_not_mixed_up() -> None:
    shelf, _ = shelf_of(2)
    assert shelf.keeps(lambda name: f"<b>{name}</b>")("ada") == b"<b>ada</b>"
    assert shelf.keeps(lambda name: f"<i>{name}</i>")("ada") == b"<i>ada</i>"


def test_what_two_render_at_once_is_kept_once() -> None:
    shelf, _ = shelf_of(2)
    both = threading.Barrier(2, timeout=10)

    @shelf.keeps
    def row(name: str) -> str:
        both.wait()
        return HTML

    with ThreadPoolExecutor(2) as hands:
        assert list(hands.map(row, ["ada", "ada"])) == [HTML.encode()] * 2
    assert (len(shelf), shelf.byte_count) == (1, SIZE)


def test_all_kinds_of_pages_share_one() -> None:
    assert kept.shelf.bytes_max == kept.KEPT_BYTES_MAX
    for kind in (piece, member_rows.member_row, change_row, repository_row):
        assert kind.__closure__ is not None
        assert kept.shelf in [cell.cell_contents for cell in kind.__closure__]


@pytest.mark.django_db
def test_rows_take_no_more_memory_than_it_says(alice: User, acme: Team) -> None:
    """A dash beyond Latin-1, which stands for no e-mail, had a row take twice as much."""
    TeamMemberFactory.create_batch(100, team=acme, email="")
    client = Client()
    client.force_login(alice)
    address = reverse("github_members_table", args=["acme"])
    client.get(address, {"per_page": 100})
    kept.shelf.clear()
    tracemalloc.start()
    try:
        client.get(address, {"per_page": 100})
        assert len(kept.shelf) == 100
        said = kept.shelf.byte_count
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        kept.shelf.clear()
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.75 * said < held - left < said
