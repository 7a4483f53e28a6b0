"""What people do, in a real Chromium against the product's real processes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse
from playwright.sync_api import Page, Route, expect

from integrations.models import GitHubIntegration, SyncRun, Team
from tests.factories import TeamMemberFactory

if TYPE_CHECKING:
    from collections.abc import Callable

    from integrations.models import User
    from tests.sandbox_control import SandboxControl, SandboxOrganization
    from tests.stack import Stack

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.browser,
    pytest.mark.processes,
]

CARD = "#member-sync-status"
TABLE = re.compile(r"/members/table/")


def members_page(team: Team) -> str:
    return reverse("github_members", args=[team.slug])


def card_in(page: Page, state: str) -> None:
    """Wait until the live card is in a state."""
    expect(page.locator(CARD)).to_have_attribute("data-state", state, timeout=30_000)


class TestFromSignUpToUpToDate:
    def test_through_the_wizard_with_the_sync_running_behind_it(
        self, stack: Stack, open_window: Callable[..., Page], sandbox: SandboxControl
    ) -> None:
        sandbox.ask("POST", "latency", {"organization": "acme", "ms": 250})
        page = open_window()
        page.goto("/")
        page.get_by_role("link", name="Create account").first.click()
        page.get_by_label("Email").fill("new@example.com")
        page.get_by_label("Password").first.fill("a long and good one")
        page.get_by_label("Team name").fill("Newcomers")
        page.get_by_role("button", name="Create account").click()

        expect(page).to_have_url(re.compile(r"/t/newcomers/onboarding/connect/$"))
        page.get_by_role("button", name="Connect with GitHub").click()
        page.get_by_role("button", name="Authorize").click()

        expect(page).to_have_url(re.compile(r"/t/newcomers/github/organization/$"))
        page.get_by_text("acme", exact=True).click()
        page.get_by_role("button", name=re.compile("first sync")).click()

        expect(page).to_have_url(re.compile(r"/t/newcomers/onboarding/repositories/$"))
        expect(page.get_by_text("Members are syncing in the background.")).to_be_visible()
        expect(page.locator(CARD)).to_have_attribute("data-state", re.compile("pending|syncing"))
        page.locator("input[name=repository]").first.check()
        page.get_by_role("button", name="Save and finish").click()

        expect(page).to_have_url(re.compile(r"/t/newcomers/onboarding/done/$"))
        card_in(page, "complete")
        expect(page.locator(CARD)).to_contain_text("Up to date")
        team = Team.objects.get(slug="newcomers")
        assert team.members.active().count() == 240
        assert team.github.repositories.tracked().count() == 1

    def test_whoever_cancels_at_github_hears_that_nothing_was_connected(
        self, stack: Stack, open_window: Callable[..., Page], alice: User, acme: Team
    ) -> None:
        page = open_window(alice)
        page.goto(reverse("onboarding_connect", args=[acme.slug]))
        page.get_by_role("button", name="Connect with GitHub").click()
        page.get_by_role("button", name="Cancel").click()
        expect(page).to_have_url(re.compile(r"/t/acme/onboarding/connect/$"))
        expect(
            page.get_by_text("You cancelled on GitHub, so nothing was connected.")
        ).to_be_visible()

    def test_a_pasted_token_connects_as_well(
        self,
        stack: Stack,
        open_window: Callable[..., Page],
        alice: User,
        acme: Team,
        organization: SandboxOrganization,
    ) -> None:
        page = open_window(alice)
        page.goto(reverse("onboarding_connect", args=[acme.slug]))
        page.locator("details", has=page.locator("input[name=token]")).locator("summary").click()
        page.locator("input[name=token]").fill(organization.token)
        page.locator("input[name=token]").press("Enter")
        expect(page).to_have_url(re.compile(r"/t/acme/github/organization/$"))
        # The only organisation of this person: chosen already, and still shown.
        expect(page.locator("input[name=organization_id]")).to_be_checked()


class TestTheMembersPage:
    def test_it_goes_from_idle_to_complete_without_a_page_load(
        self,
        stack: Stack,
        open_window: Callable[..., Page],
        alice: User,
        bob: User,
        integration: GitHubIntegration,
        organization: SandboxOrganization,
    ) -> None:
        organization.slow_down(1500)
        clicker, second = open_window(alice), open_window(bob)
        loads: list[str] = []
        for page in (clicker, second):
            page.goto(members_page(integration.team))
            card_in(page, "never")
            page.on(
                "request",
                lambda request: (
                    loads.append(request.url) if request.is_navigation_request() else None
                ),
            )
        expect(second.get_by_role("button", name="Sync now")).to_have_count(0)
        clicker.get_by_role("button", name="Sync now").click()
        for page in (clicker, second):
            card_in(page, "syncing")
            expect(page.get_by_role("progressbar")).to_be_visible()
            # People appear while the sync still runs.
            expect(page.locator("#member-table tbody tr").first).to_be_visible()
            expect(page.locator(CARD)).to_have_attribute("data-state", "syncing")
        for page in (clicker, second):
            card_in(page, "complete")
            expect(page.locator("#member-table tbody tr")).to_have_count(50)
        assert not loads

    def test_a_finished_sync_of_another_window_is_there_when_a_tab_is_shown(
        self,
        stack: Stack,
        open_window: Callable[..., Page],
        alice: User,
        integration: GitHubIntegration,
        wait_until: Callable[..., None],
    ) -> None:
        page = open_window(alice)
        page.goto(members_page(integration.team))
        card_in(page, "never")
        page.goto("about:blank")
        stack.post(reverse("github_members_sync", args=[integration.team.slug]), user=alice)
        wait_until(lambda: SyncRun.objects.filter(status="complete").exists(), timeout_s=20)
        page.go_back()
        card_in(page, "complete")

    def test_a_switch_by_hand_is_seen_by_the_other_window(
        self,
        stack: Stack,
        open_window: Callable[..., Page],
        alice: User,
        bob: User,
        integration: GitHubIntegration,
    ) -> None:
        clicker, second = open_window(alice), open_window(bob)
        clicker.goto(members_page(integration.team))
        clicker.get_by_role("button", name="Sync now").click()
        card_in(clicker, "complete")
        second.goto(members_page(integration.team))
        expect(second.get_by_text("240 active people")).to_be_visible()
        row = clicker.locator("#member-table tbody tr").first
        row.locator("button, input[type=checkbox]").last.click()
        expect(second.get_by_text("239 active people")).to_be_visible()

    def test_a_refresh_of_the_table_does_not_abort_a_switch_under_way(
        self,
        stack: Stack,
        open_window: Callable[..., Page],
        alice: User,
        integration: GitHubIntegration,
        wait_until: Callable[..., None],
    ) -> None:
        page, table = open_window(alice), "#member-table"
        held: list[Route] = []
        stack.post(reverse("github_members_sync", args=[integration.team.slug]), user=alice)
        wait_until(lambda: SyncRun.objects.filter(status="complete").exists(), timeout_s=20)
        # Guests and teams are read next, which refreshes the table of a page that is open by then.
        others = GitHubIntegration.objects.filter(people_read_at__isnull=False, people_due_at=None)
        wait_until(others.exists, timeout_s=20)
        page.goto(members_page(integration.team))
        page.route("**/toggle/", lambda route: held.append(route))
        with page.expect_request("**/toggle/"):
            page.locator(f"{table} tbody tr").first.get_by_role("switch").click()
        with page.expect_response(TABLE):
            page.evaluate("document.body.dispatchEvent(new CustomEvent('rollcall:roster'))")
        held[0].continue_()
        expect(page.locator(table)).to_contain_text("239 active people")

    def test_a_slow_table_arrives_although_the_roster_moves_on(
        self,
        stack: Stack,
        open_window: Callable[..., Page],
        alice: User,
        integration: GitHubIntegration,
        wait_until: Callable[..., None],
    ) -> None:
        page, table = open_window(alice), "#member-table"
        held: list[Route] = []
        page.goto(members_page(integration.team))
        page.route(TABLE, lambda route: held.append(route))
        with page.expect_request(TABLE):
            page.get_by_role("button", name="Sync now").click()
        card_in(page, "complete")
        expect(page.locator(table)).to_contain_text("0 active people")
        assert len(held) == 1
        held[0].continue_()
        expect(page.locator(table)).to_contain_text("240 active people")

    def test_a_refresh_of_the_table_does_not_swallow_a_filter_under_way(
        self,
        stack: Stack,
        open_window: Callable[..., Page],
        alice: User,
        integration: GitHubIntegration,
    ) -> None:
        for name in ("octocat", "hubot"):
            TeamMemberFactory(team=integration.team, github_username=name)
        page, table = open_window(alice), "#member-table"
        held: list[Route] = []
        page.goto(members_page(integration.team))
        page.route(re.compile(r"/members/\?q="), lambda route: held.append(route))
        with page.expect_request(re.compile(r"/members/\?q=")):
            page.locator("#member-search").fill("octocat")
        with page.expect_response(TABLE):
            page.evaluate("document.body.dispatchEvent(new CustomEvent('rollcall:roster'))")
        held[0].continue_()
        expect(page.locator(f"{table} tbody tr")).to_have_count(1)
        expect(page.get_by_text("1 person found")).to_be_visible()

    def test_a_redeployed_server_is_found_again(
        self,
        stack: Stack,
        open_window: Callable[..., Page],
        alice: User,
        integration: GitHubIntegration,
        problems: list[str],
    ) -> None:
        page = open_window(alice)
        page.goto(members_page(integration.team))
        card_in(page, "never")
        stack.web.stop()
        stack.start(["web"])
        stack.post(reverse("github_members_sync", args=[integration.team.slug]), user=alice)
        card_in(page, "complete")
        # While the server was away the browser said so on its console, as it must.
        problems.clear()

    def test_it_works_without_scripts(
        self,
        stack: Stack,
        open_window: Callable[..., Page],
        alice: User,
        integration: GitHubIntegration,
    ) -> None:
        page = open_window(alice, java_script_enabled=False)
        page.goto(members_page(integration.team))
        page.get_by_role("button", name="Sync now").click()
        expect(page).to_have_url(re.compile(r"/t/acme/github/members/"))
        # The page asks for itself again while the sync runs.
        card_in(page, "complete")
        expect(page.locator("#member-table tbody tr")).to_have_count(50)
        page.locator("input[name=q]").fill(integration.credential.github_username)  # type: ignore[union-attr]
        page.locator("input[name=q]").press("Enter")
        expect(page.locator("#member-table tbody tr")).to_have_count(1)


class TestTheLook:
    @pytest.mark.parametrize("width", [360, 390, 768, 1280])
    def test_no_page_scrolls_sideways(
        self,
        width: int,
        stack: Stack,
        open_window: Callable[..., Page],
        alice: User,
        integration: GitHubIntegration,
        wait_until: Callable[..., None],
    ) -> None:
        stack.post(reverse("github_members_sync", args=[integration.team.slug]), user=alice)
        wait_until(lambda: SyncRun.objects.filter(status="complete").exists(), timeout_s=20)
        page = open_window(alice, viewport={"width": width, "height": 800})
        for name in (
            "github_members",
            "github_repos",
            "github_connection",
            "onboarding_connect",
            "github_select_org",
            "onboarding_repositories",
            "onboarding_done",
        ):
            page.goto(reverse(name, args=[integration.team.slug]))
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
