"""What the tests of kept rows share: which were rendered, and whose token a row's form carries."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.template.loader import render_to_string
from django.test import Client

from integrations.views import kept

if TYPE_CHECKING:
    import pytest

    from integrations.models import User


def rendered_with(monkeypatch: pytest.MonkeyPatch, template: str, name: str) -> list[Any]:
    """Return a list of what a template was given by this name, at each rendering from now on.

    None are kept from before.
    """
    kept.shelf.clear()
    given: list[Any] = []

    def render(wanted: str, context: dict[str, Any]) -> str:
        if wanted == template:
            given.append(context[name])
        return render_to_string(wanted, context)

    monkeypatch.setattr(kept, "render_to_string", render)
    return given


def post_form_of_row(user: User, page: str, row_id: str, action: str, **fields: str) -> None:
    """Send a row's form with the token that the page gave, as somebody who has just signed in."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    html = client.get(page).content.decode()
    token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', html[html.index(f'id="{row_id}"') :])
    assert token is not None
    assert kept.TOKEN_MARK not in html
    response = client.post(action, {**fields, "csrfmiddlewaretoken": token[1]})
    assert response.status_code == HTTPStatus.FOUND
