"""The way to GitHub and back that a person's browser goes when the App is installed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import requests
from django.urls import reverse

if TYPE_CHECKING:
    from django.test import Client

SETUP = "/github/setup/"


def state_of(location: str) -> str:
    return parse_qs(urlsplit(location).query)["state"][0]


def begin(browser: Client) -> str:
    """Press "Install the GitHub App"; return the state that GitHub keeps for us."""
    answer = browser.post(reverse("github_app_install", args=["acme"]))
    assert answer.status_code == 302
    assert "/apps/rollcall-sandbox/installations/new" in answer["Location"]
    return state_of(answer["Location"])


def sign_in(browser: Client, to_github: str, login: str) -> Any:
    """Say yes on GitHub's sign-in page as somebody, and follow back to us."""
    asked = {name: values[0] for name, values in parse_qs(urlsplit(to_github).query).items()}
    consent = requests.post(
        to_github.partition("?")[0],
        data={**asked, "login": login, "action": "authorize"},
        allow_redirects=False,
        timeout=30,
    )
    back = urlsplit(consent.headers["Location"])
    return browser.get(f"{back.path}?{back.query}")


def come_back(
    browser: Client, login: str, *, installation_id: int | str, action: str = "install"
) -> Any:
    """Come back from GitHub's installation page, and sign in there as somebody."""
    params: dict[str, Any] = {
        "state": begin(browser),
        "setup_action": action,
        "installation_id": installation_id,
    }
    to_github = browser.get(SETUP, params)
    assert to_github.status_code == 302, to_github.content
    return sign_in(browser, to_github["Location"], login)


def words(browser: Client, answer: Any) -> str:
    """Return what the page that an answer leads to says, without its markup."""
    page = browser.get(answer["Location"], follow=True).content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))
