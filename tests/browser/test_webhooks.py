"""The roster moves when GitHub moves: signed deliveries, the real processes, a real Chromium."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from integrations.models import MemberChange, SyncRun, WebhookDelivery
from integrations.services import app_connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from integrations.models import Team, User
    from tests.sandbox_control import SandboxControl, SandboxOrganization
    from tests.stack import Stack

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.browser,
    pytest.mark.processes,
]


@pytest.fixture
def club(
    stack: Stack, sandbox: SandboxControl, acme: Team, alice: User, wait_until: Callable[..., None]
) -> Iterator[SandboxOrganization]:
    """An organisation that GitHub tells us of, read once in full."""
    organization = sandbox.organization(size=12)
    sandbox.change_app(webhook_url=f"{stack.url}/webhooks/github/")
    app_connection.connect(acme, person=alice, installation_id=organization.install())
    stack.post(reverse("github_members_sync", args=["acme"]), user=alice)
    wait_until(lambda: SyncRun.objects.filter(status="complete").exists(), timeout_s=20)
    yield organization
    sandbox.change_app(webhook_url="")


def test_who_joins_on_github_appears_without_a_reload(
    club: SandboxOrganization, open_window: Callable[..., Page], alice: User
) -> None:
    page = open_window(alice)
    page.goto(reverse("github_members", args=["acme"]))
    expect(page.get_by_text("12 active people")).to_be_visible()
    page.evaluate("window.notReloaded = true")
    # Nobody whom the sandbox makes up is called so.
    added = club.add(login=f"newcomer-{club.id}", name="Nora Just Arrived")
    expect(page.get_by_text("13 active people")).to_be_visible(timeout=15_000)
    expect(page.get_by_text(f"@{added['login']}")).to_be_visible()
    # Her name follows, which no webhook tells.
    expect(page.get_by_text("Nora Just Arrived")).to_be_visible(timeout=15_000)
    change = MemberChange.objects.get(github_id=added["id"])
    assert change.webhook_event == "organization.member_added"
    delivery = WebhookDelivery.objects.get(subject_id=added["id"])
    assert delivery.status == "applied"
    club.remove(added["login"])
    expect(page.get_by_text("12 active people")).to_be_visible(timeout=15_000)
    assert page.evaluate("window.notReloaded") is True
    page.get_by_role("link", name="History").click()
    page.get_by_role("link", name="Changes").click()
    expect(page.get_by_text("by webhook").first).to_be_visible()


def test_the_app_is_installed_from_the_wizard(
    stack: Stack,
    sandbox: SandboxControl,
    open_window: Callable[..., Page],
    acme: Team,
    alice: User,
) -> None:
    organization = sandbox.organization(size=12)
    sandbox.change_app(setup_url=f"{stack.url}/github/setup/")
    try:
        page = open_window(alice)
        page.goto(reverse("onboarding_connect", args=["acme"]))
        page.get_by_role("button", name="Install the GitHub App").click()
        page.get_by_label("Sign in as").select_option(organization.owner)
        page.get_by_label("Organisation").select_option(organization.login)
        page.get_by_role("button", name="Install").click()
        page.get_by_label("Sign in as").select_option(organization.owner)
        page.get_by_role("button", name="Authorize").click()
        expect(page.get_by_role("heading", name="Choose repositories to track")).to_be_visible()
        page.goto(reverse("github_members", args=["acme"]))
        expect(page.get_by_text("12 active people")).to_be_visible(timeout=20_000)
        page.goto(reverse("github_connection", args=["acme"]))
        expect(page.get_by_text("members: read")).to_be_visible()
    finally:
        sandbox.change_app(setup_url="")
