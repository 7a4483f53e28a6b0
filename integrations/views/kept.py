"""Pieces of pages that are rendered once for all who see the same.

Most of a page is the same at the next request: the bar at its top, its filters, the rows of its
table; and when a roster moves, every open page of its team asks for its table at one moment. What
a piece shows is its key, so that there is nothing to forget when something changes. Knows no query.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from django.middleware.csrf import get_token
from django.template.loader import render_to_string
from django.utils.safestring import mark_safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from django.http import HttpRequest
    from django.utils.safestring import SafeString

# Three kilobytes each. Twenty teams of 240 people in two languages are ten thousand rows; a
# simulation of the mixture of tests/bench/load.py finds three in five of its rows among 2,000 kept,
# and after a while all but one in a hundred among 10,000.
KEPT_ROWS_MAX: Final = 10_000
# Stands for the form's token, which is each person's own; nobody can know it and write it.
TOKEN_MARK: Final = secrets.token_hex(16)


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


def for_person(request: HttpRequest, pieces: Iterable[str]) -> SafeString:
    """Put pieces together for this person."""
    return mark_safe("".join(pieces).replace(TOKEN_MARK, get_token(request)))
