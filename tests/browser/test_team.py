"""A team's settings in a real Chromium: inviting and joining, and its end without scripts too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.core import mail
from django.urls import reverse
from playwright.sync_api import Page, expect

from integrations.constants import TeamRole
from integrations.models import Team, TeamInvitation
from integrations.services import invitations
from tests.team.reading import link_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from integrations.models import User

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.browser,
    pytest.mark.processes,
    pytest.mark.parametrize("stack", [("web",)], indirect=True),
]


@pytest.fixture
def address(acme: Team) -> str:
    return reverse("team_settings", args=[acme.slug])


def test_an_admin_invites_and_changes_a_role(
    address: str, alice: User, bob: User, open_window: Callable[..., Page]
) -> None:
    page = open_window(alice)
    page.goto(address)
    page.get_by_label("E-mail address").fill("dora@example.com")
    page.get_by_role("button", name="Invite").click()
    expect(page.get_by_text("An invitation is on its way to dora@example.com.")).to_be_visible()
    page.get_by_label("Change Bob").click()
    page.get_by_role("button", name="Make an admin").locator("visible=true").click()
    expect(page.get_by_text("Bob is an admin now.")).to_be_visible()


def test_the_invited_signs_up_and_joins(
    acme: Team, alice: User, open_window: Callable[..., Page]
) -> None:
    invitations.invite(acme, "dora@example.com", TeamRole.MEMBER, by=alice)
    page = open_window()
    page.goto(link_in(mail.outbox[-1]))
    page.get_by_role("link", name="Create an account to join").click()
    expect(page.get_by_label("Email")).to_have_value("dora@example.com")
    page.get_by_label("Password").fill("a long and good one")
    page.get_by_role("button", name="Create account").click()
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_text("You are in Acme now.")).to_be_visible()


@pytest.mark.parametrize("has_scripts", [True, False])
def test_an_admin_deletes_the_team_by_typing_its_short_name(
    has_scripts: bool, address: str, alice: User, open_window: Callable[..., Page]
) -> None:
    page = open_window(alice, java_script_enabled=has_scripts)
    page.goto(address)
    page.get_by_role("link", name="Delete").click()
    page.get_by_label("Type acme to confirm").fill("acme")
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_text("The team Acme is deleted.")).to_be_visible()
    assert not Team.objects.filter(slug="acme").exists()


@pytest.mark.parametrize("width", [360, 840, 1000, 1280])
def test_nothing_is_wider_than_the_screen(
    width: int, address: str, acme: Team, alice: User, bob: User, open_window: Callable[..., Page]
) -> None:
    Team.objects.filter(pk=acme.pk).update(name="Platform, Tools & Developer Experience")
    long = f"somebody.with.a.long.name@{'long-domain.' * 4}example.com"
    invitations.invite(acme, long, TeamRole.ADMIN, by=alice)
    page = open_window(alice, viewport={"width": width, "height": 900})
    page.goto(address)
    page.get_by_label("Change Bob").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert TeamInvitation.objects.count() == 1
