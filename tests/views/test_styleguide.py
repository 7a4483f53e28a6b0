"""The page that shows every state of the card."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpResponse

from integrations.reasons import REASONS
from integrations.views.styleguide import styleguide

if TYPE_CHECKING:
    from django.test import RequestFactory

    from integrations.models import User

pytestmark = pytest.mark.django_db


class TestStyleguide:
    def test_it_shows_every_state_of_the_card(self, rf: RequestFactory, alice: User) -> None:
        request = rf.get("/styleguide/")
        request.user = alice
        SessionMiddleware(lambda _: HttpResponse()).process_request(request)
        MessageMiddleware(lambda _: HttpResponse()).process_request(request)
        text = styleguide(request).content.decode()
        for state in ("never", "pending", "syncing", "waiting", "complete", "error"):
            assert f'data-state="{state}"' in text
        for reason in REASONS:
            assert f"<code>{reason}</code>" in text
