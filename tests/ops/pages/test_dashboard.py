"""The operators' dashboard: its pieces, and what it shows without Redis or the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as django_settings
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.urls import reverse

from integrations.ops.pieces import PIECES, context_of, pieces_of
from integrations.ops.views.access import COOKIE, unavailable, was_operator
from integrations.ops.views.dashboard import ops_without_database
from tests.ops import samples
from tests.ops.pages.reading import words_of

if TYPE_CHECKING:
    from django.http import HttpResponse

    from tests.processes import Valkey

pytestmark = pytest.mark.django_db


class TestDashboard:
    def test_it_has_every_piece_in_its_place(self, operator: Client) -> None:
        page = words_of(operator.get(reverse("ops")))
        assert [name for name in PIECES if page.count(f'id="{name}"') != 1] == []
        assert "No worker is alive." in page

    def test_asked_for_pieces_it_gives_nothing_else(self, operator: Client) -> None:
        pieces = words_of(operator.get(reverse("ops"), {"fragment": "1"}))
        assert pieces.count("data-fragment") == len(PIECES)
        assert "<html" not in pieces

    @pytest.mark.parametrize(
        "sample",
        [
            samples.full,
            samples.calm,
            samples.empty,
            samples.without_redis,
            samples.without_database,
        ],
    )
    def test_every_piece_holds_whatever_is_known(self, sample: Any) -> None:
        for name, html in pieces_of(sample()).items():
            assert html.count(f'id="{name}"') == 1
            assert "<script" not in html
            assert "csrf" not in html
            assert "style=" not in html

    def test_well_is_said_in_words(self) -> None:
        assert "All well" in pieces_of(samples.calm())["verdict"]
        assert "10 problems" in pieces_of(samples.full())["verdict"]

    def test_held_streams_stand_beside_the_others_where_there_is_a_pushpin(self) -> None:
        held = "Streams that Pushpin holds</dt><dd>8,204<"
        assert held in pieces_of(samples.full())["streams"]
        assert "Pushpin" not in pieces_of(samples.calm())["streams"]

    def test_what_cannot_be_read_is_said_in_plain_words(self) -> None:
        pieces = pieces_of(samples.without_redis())
        assert "Runs are, since they are rows" in pieces["queues"]
        assert "Acme Rockets" in pieces["runs"]

    def test_without_the_database_there_is_nothing_to_press(self) -> None:
        assert "formaction" in "".join(pieces_of(samples.full()).values())
        assert "formaction" not in "".join(pieces_of(samples.without_database()).values())

    def test_it_stands_while_redis_is_away(self, operator: Client, valkey: Valkey) -> None:
        valkey.stop()
        page = words_of(operator.get(reverse("ops")))
        assert "so this can&#x27;t be shown" in page or "so this can't be shown" in page
        assert operator.get(reverse("ops_messages")).status_code == 200
        message = reverse("ops_message", args=[samples.MESSAGE_ID])
        assert operator.get(message).status_code == 200

    def test_a_visit_leaves_the_cookie_for_a_bad_hour(self, operator: Client) -> None:
        cookie = operator.get(reverse("ops")).cookies[COOKIE]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Strict"
        assert cookie["path"] == "/ops/"
        assert cookie["max-age"] == 3600


class TestWithoutDatabase:
    """What is answered once it is known to be away; that it is comes from ops/reachability.py."""

    def ask(self, query: str = "", **cookies: str) -> HttpResponse:
        request = RequestFactory().get(f"/ops/{query}")
        request.COOKIES.update(cookies)
        return ops_without_database(request)

    def cookies_of(self, operator: Client) -> dict[str, str]:
        operator.get(reverse("ops"))
        return {name: morsel.value for name, morsel in operator.cookies.items()}

    def test_an_operator_of_this_hour_sees_what_redis_tells_and_cannot_act(
        self, operator: Client
    ) -> None:
        cookies = self.cookies_of(operator)
        response = self.ask(**cookies)
        page = words_of(response)
        assert response.status_code == 200
        assert "Rollcall can't reach its database." in page
        assert "<form" not in page
        assert words_of(self.ask("?fragment=1", **cookies)).count("data-fragment") == len(PIECES)

    def test_nobody_else_sees_anything(self, operator: Client) -> None:
        cookies = self.cookies_of(operator)
        another = {**cookies, django_settings.SESSION_COOKIE_NAME: "another"}
        forged = {**cookies, COOKIE: cookies[COOKIE][:-1] + "x"}
        signed_out = {COOKIE: cookies[COOKIE]}
        for given in ({}, another, forged, signed_out):
            response = self.ask(**given)
            assert response.status_code == 503
            assert "Rollcall can't reach its database" in words_of(response)
            assert response.headers["Retry-After"] == "5"

    def test_nobody_is_asked_who_they_are(
        self, operator: Client, django_assert_num_queries: Any
    ) -> None:
        cookies = self.cookies_of(operator)
        with django_assert_num_queries(0):
            unavailable(RequestFactory().get("/ops/"))
            render_to_string("ops/read_only.html", context_of(samples.without_database()))
            assert was_operator_of(cookies)


def was_operator_of(cookies: dict[str, str]) -> bool:
    request = RequestFactory().get("/ops/")
    request.COOKIES.update(cookies)
    return was_operator(request)
