"""Pieces of pages that are rendered once for all who see the same.

Most of a page is the same at the next request: the bar at its top, its filters, the rows of its
table; and when a roster moves, every open page of its team asks for its table at one moment. What
a piece shows is its key, so that there is nothing to forget when something changes. Knows no query.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from functools import wraps
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVarTuple

from django.middleware.csrf import get_token
from django.template.loader import render_to_string
from django.utils.safestring import mark_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from django.http import HttpRequest
    from django.utils.safestring import SafeString

# Of all kinds together. A row takes 3.3 KB with what it is kept by: these are the rows of twenty
# teams of 240 people in two languages. A simulation of the mixture of tests/bench/load.py finds
# three in five of its rows among 2,000 kept, and after a while all but one in a hundred among
# 10,000.
KEPT_BYTES_MAX: Final = 32 * 1024 * 1024
# What a piece is kept by, and its place.
BYTES_BESIDE: Final = 1_000
# Stands for the form's token, which is each person's own; nobody can know it and write it.
TOKEN_MARK: Final = secrets.token_hex(16)

Given = TypeVarTuple("Given")


class Shelf:
    """Pieces by what they were rendered from; that not asked for the longest makes room for others.

    They are kept as bytes: one dash beyond Latin-1 has a string take twice as much.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.byte_count = 0
        self._pieces: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._pieces)

    def keeps(self, render: Callable[[*Given], str]) -> Callable[[*Given], bytes]:
        """Have a function's pieces kept by all that it is given."""

        @wraps(render)
        def piece_of(*given: *Given) -> bytes:
            by = (render, *given)
            piece = self._found(by)
            if piece is None:
                piece = render(*given).encode()
                self._keep(by, piece)
            return piece

        return piece_of

    def clear(self) -> None:
        with self._lock:
            self._pieces.clear()
            self.byte_count = 0

    def _found(self, by: tuple[Any, ...]) -> bytes | None:
        with self._lock:
            piece = self._pieces.get(by)
            if piece is not None:
                self._pieces.move_to_end(by)
            return piece

    def _keep(self, by: tuple[Any, ...], piece: bytes) -> None:
        with self._lock:
            if by in self._pieces:
                # Another thread rendered the same meanwhile.
                return
            self._pieces[by] = piece
            self.byte_count += len(piece) + BYTES_BESIDE
            while self.byte_count > self.bytes_max:
                _, oldest = self._pieces.popitem(last=False)
                self.byte_count -= len(oldest) + BYTES_BESIDE


shelf: Final = Shelf(KEPT_BYTES_MAX)


def rendered(template: str, context: Mapping[str, Any], *, team_slug: str) -> str:
    """Render a piece that knows no person. It is for whoever keeps it by all of its context.

    A team's slug is all of a request that it may know: the rest differs from one to the next.
    """
    known = {"request": {"team": {"slug": team_slug}}, "csrf_token": TOKEN_MARK}
    return render_to_string(template, {**context, **known})


def form_of(html: str, marks: Mapping[str, str]) -> str:
    """Make a form of what was rendered with marks: `form % values` puts a value for each."""
    form = html.replace("%", "%%")
    for name, mark in marks.items():
        form = form.replace(mark, f"%({name})s")
    return form


def for_person(request: HttpRequest, pieces: Iterable[bytes]) -> SafeString:
    """Put pieces together for this person."""
    return mark_safe(b"".join(pieces).decode().replace(TOKEN_MARK, get_token(request)))
