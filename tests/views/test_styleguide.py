"""The page that shows every state of the card."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpResponse
from django.utils.html import escape

from integrations.reasons import REASONS
from integrations.views.styleguide import HOSTILE_NAMES, REPOSITORY_STATES, styleguide

if TYPE_CHECKING:
    from django.test import RequestFactory

    from integrations.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def text(rf: RequestFactory, alice: User) -> str:
    request = rf.get("/styleguide/")
    request.user = alice
    SessionMiddleware(lambda _: HttpResponse()).process_request(request)
    MessageMiddleware(lambda _: HttpResponse()).process_request(request)
    return styleguide(request).content.decode()


class TestStyleguide:
    def test_it_shows_every_state_of_the_card(self, text: str) -> None:
        for state in ("never", "pending", "syncing", "waiting", "complete", "error"):
            assert f'data-state="{state}"' in text
        for reason in REASONS:
            assert f"<code>{reason}</code>" in text

    def test_its_tables_show_a_row_for_each_person_and_repository(self, text: str) -> None:
        for number in range(1, 4 + len(HOSTILE_NAMES)):
            assert text.count(f'href="{settings.GITHUB_URL}/person-{number}"') == 1
        for number in range(1, 1 + len(REPOSITORY_STATES)):
            assert f">rocket-{number}<" in text
        assert "&lt;TrackedRepository" not in text

    def test_no_name_is_markup(self, text: str) -> None:
        assert escape(HOSTILE_NAMES[0]) in text
        assert HOSTILE_NAMES[0] not in text
