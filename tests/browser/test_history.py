"""Previews, held people and cancelling, in a real Chromium against the real processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from integrations.models import GitHubIntegration, HeldDeparture, SyncRun
from tests.syncing import remove

if TYPE_CHECKING:
    from collections.abc import Callable

    from integrations.models import User
    from tests.sandbox_control import SandboxOrganization
    from tests.stack import Stack

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.browser,
    pytest.mark.processes,
]

CARD = "#member-sync-status"


@pytest.fixture
def page(
    stack: Stack,
    open_window: Callable[..., Page],
    alice: User,
    integration: GitHubIntegration,
    wait_until: Callable[..., None],
) -> Page:
    """The members page after a first sync, with its admin in front of it."""
    stack.post(reverse("github_members_sync", args=[integration.team.slug]), user=alice)
    wait_until(lambda: SyncRun.objects.filter(status="complete").exists(), timeout_s=20)
    page = open_window(alice)
    page.goto(reverse("github_members", args=[integration.team.slug]))
    return page


def test_a_preview_comes_by_itself_and_is_applied(
    page: Page, organization: SandboxOrganization
) -> None:
    organization.slow_down(400)
    [gone], added = remove(organization, 1), organization.add()
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("What would change")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("link", name=f"@{gone}")).to_be_visible()
    expect(page.get_by_text(f"@{added['login']}")).to_be_visible()
    page.get_by_role("button", name="Apply these changes").click()
    expect(page.locator(CARD)).to_have_attribute("data-state", "complete", timeout=30_000)
    expect(page.locator(CARD)).to_contain_text("1 joined")
    expect(page.get_by_text("240 active people")).to_be_visible()


def test_held_people_are_reviewed_and_removed(
    page: Page, organization: SandboxOrganization
) -> None:
    remove(organization, 30)
    page.get_by_role("button", name="Sync now").click()
    expect(page.locator(CARD)).to_have_attribute("data-state", "held", timeout=30_000)
    page.get_by_role("link", name="Review names").click()
    page.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Keep the chosen").click()
    expect(page.get_by_text("1 person is kept.")).to_be_visible()
    expect(page.locator(CARD)).to_contain_text("29 people are missing")
    page.get_by_role("link", name="Review names").click()
    page.get_by_role("link", name="Decide about all").click()
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator(CARD)).to_have_attribute("data-state", "complete")
    assert not HeldDeparture.objects.exists()


def test_a_sync_is_cancelled_from_its_card(
    page: Page, organization: SandboxOrganization, integration: GitHubIntegration
) -> None:
    organization.slow_down(2000)
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    page.get_by_role("button", name="Sync now").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(CARD)).to_have_attribute("data-state", "cancelled")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    assert integration.team.members.active().count() == 240
