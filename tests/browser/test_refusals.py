"""What a click says that came to nothing, on the page where it was made."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from integrations.models import SyncRun
from tests.factories import GitHubIntegrationFactory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

    from integrations.models import GitHubIntegration, Team, User
    from tests.browser.conftest import Problems
    from tests.stack import Stack

pytestmark = [
    pytest.mark.browser,
    pytest.mark.processes,
    pytest.mark.django_db(transaction=True),
    pytest.mark.parametrize("stack", [("web",)], indirect=True),
]


@pytest.fixture
def integration(acme: Team) -> GitHubIntegration:
    made: GitHubIntegration = GitHubIntegrationFactory(team=acme, onboarded_at=timezone.now())
    return made


@pytest.fixture(autouse=True)
def _expected_refusals(problems: Problems) -> Iterator[None]:
    """What is refused here, and the stream that is cut, are what these tests are about."""
    yield
    refused = re.compile(r"/live/|ERR_|Failed to load resource|htmx:|Response Status Error")
    problems[:] = [one for one in problems if not refused.search(one)]


@pytest.fixture
def page(
    stack: Stack, open_window: Callable[..., Page], alice: User, acme: Team,
    integration: GitHubIntegration,
) -> Page:  # fmt: skip
    found = open_window(alice)
    # With DEBUG on it puts the refusal's page in this one's place, for those who develop.
    found.route("**/django_htmx/django-htmx*.js", lambda route: route.fulfill(body=""))
    found.goto(reverse("github_members", args=[acme.slug]))
    return found


def test_a_form_that_is_out_of_date_says_so_and_what_to_do(page: Page) -> None:
    page.context.clear_cookies(name=re.compile("csrftoken"))
    page.get_by_role("button", name="Sync now").click()
    toast = page.locator("[data-toasts]")
    expect(toast).to_contain_text("This form is out of date.")
    expect(toast).to_contain_text("reload the page and send it again")
    expect(toast).not_to_contain_text("connection")
    assert not SyncRun.objects.exists()
    # And the page is as usable as before.
    page.reload()
    page.get_by_role("button", name="Sync now").click()
    expect(page.locator("#member-sync-status")).to_have_attribute("data-state", "pending")


def test_without_a_network_the_connection_is_named(page: Page) -> None:
    page.context.set_offline(True)
    page.get_by_role("button", name="Sync now").click()
    expect(page.locator("[data-toasts]")).to_contain_text("Check your connection")
    assert not SyncRun.objects.exists()
