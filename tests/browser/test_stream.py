"""The stream in a real browser: cut, hidden, asleep, signed out, held back, and always true again.

The moves are made here, on the rows, as a worker would; the page is left alone.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from integrations.constants import RunTrigger
from integrations.models import SyncRun
from integrations.services import transitions
from integrations.services.runs import start_run
from tests.factories import GitHubIntegrationFactory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from integrations.models import GitHubIntegration, Team, User
    from tests.browser.conftest import Problems
    from tests.stack import Stack

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.browser,
    pytest.mark.processes,
    pytest.mark.parametrize("stack", [("web",)], indirect=True),
]

CARD: Final = "#member-sync-status"
TAB_COUNT: Final = 12
# Headless Chromium never hides a tab: the page is told so, and its own streams are counted.
SHOWN_OR_HIDDEN: Final = """
  let hidden = false;
  Object.defineProperty(document, "hidden", { get: () => hidden });
  Object.defineProperty(document, "visibilityState", { get: () => hidden ? "hidden" : "visible" });
  window.setHidden = (value) => {
    hidden = value;
    document.dispatchEvent(new Event("visibilitychange"));
  };
  window.streams = [];
  window.EventSource = class extends EventSource {
    constructor(...all) { super(...all); window.streams.push(this); }
  };
"""
OPEN_COUNT: Final = "() => window.streams.filter((one) => one.readyState === 1).length"


@pytest.fixture
def integration(acme: Team) -> GitHubIntegration:
    made: GitHubIntegration = GitHubIntegrationFactory(team=acme, onboarded_at=timezone.now())
    return made


@pytest.fixture
def address(acme: Team) -> str:
    return reverse("github_members", args=[acme.slug])


@pytest.fixture(autouse=True)
def _expected_cuts(problems: Problems) -> Iterator[None]:
    """A stream that is cut or refused is what these tests are about."""
    yield
    cut = re.compile(r"/live/|ERR_|Failed to load resource|htmx:")
    problems[:] = [one for one in problems if not cut.search(one)]


def begin(integration: GitHubIntegration) -> None:
    start_run(integration, trigger=RunTrigger.MANUAL)


def end(reason: str = "rate_limited") -> None:
    for run in SyncRun.objects.active().select_related("integration"):
        transitions.fail(run, reason)


def state(page: Page, wanted: str, *, timeout_ms: int = 15_000) -> None:
    expect(page.locator(CARD)).to_have_attribute("data-state", wanted, timeout=timeout_ms)


def is_live(page: Page) -> None:
    """Wait until the page's stream is open; the policy forbids Playwright's own way of waiting."""
    until = time.monotonic() + 15
    while page.evaluate(OPEN_COUNT) != 1:
        assert time.monotonic() < until, "the stream did not open"
        page.wait_for_timeout(50)


@pytest.fixture
def page(open_window: Callable[..., Page], stack: Stack, alice: User, address: str,
         integration: GitHubIntegration) -> Page:  # fmt: skip
    """Alice's members page, its stream open."""
    page = open_window(alice)
    page.context.add_init_script(SHOWN_OR_HIDDEN)
    page.goto(address)
    is_live(page)
    return page


class TestCuts:
    def test_a_restarted_server_is_asked_for_what_came_since(
        self, stack: Stack, page: Page, integration: GitHubIntegration
    ) -> None:
        sent: list[dict[str, str]] = []
        devtools = page.context.new_cdp_session(page)
        devtools.send("Network.enable")
        devtools.on(
            "Network.requestWillBeSentExtraInfo",
            lambda event: sent.append({k.lower(): v for k, v in event["headers"].items()}),
        )
        begin(integration)
        state(page, "pending")
        heard = page.locator(CARD).get_attribute("data-revision")
        stack.web.stop()
        end()
        stack.start(["web"])
        state(page, "error", timeout_ms=30_000)
        asked_from = {one["last-event-id"] for one in sent if "last-event-id" in one}
        assert asked_from
        assert all(one.endswith(f":{heard}") for one in asked_from)

    def test_a_laptop_that_slept_shows_the_present_state(
        self, stack: Stack, page: Page, integration: GitHubIntegration
    ) -> None:
        page.context.set_offline(True)
        begin(integration)
        end()
        page.context.set_offline(False)
        state(page, "error", timeout_ms=30_000)
        is_live(page)

    def test_a_page_gone_back_to_is_live(
        self, stack: Stack, page: Page, integration: GitHubIntegration, acme: Team
    ) -> None:
        page.goto(reverse("github_history", args=[acme.slug]))
        begin(integration)
        page.go_back()
        state(page, "pending")
        end()
        state(page, "error")


class TestHiddenTabs:
    def test_a_hidden_tab_gives_its_stream_back_and_catches_up_when_shown(
        self, stack: Stack, page: Page, integration: GitHubIntegration
    ) -> None:
        page.evaluate("setHidden(true)")
        assert page.evaluate(OPEN_COUNT) == 0
        begin(integration)
        end()
        page.evaluate("setHidden(false)")
        state(page, "error")
        is_live(page)

    def test_of_twelve_tabs_each_is_live_when_shown_and_the_site_answers(
        self, stack: Stack, page: Page, integration: GitHubIntegration, address: str
    ) -> None:
        """Browsers allow six connections to an origin: the seventh open stream would hang it."""
        tabs = [page]
        while len(tabs) < TAB_COUNT:
            tabs[-1].evaluate("setHidden(true)")
            tab = page.context.new_page()
            tab.goto(address)
            is_live(tab)
            tabs.append(tab)
        asked_at = time.monotonic()
        assert tabs[-1].evaluate("fetch(location.href).then((answer) => answer.status)") == 200
        assert time.monotonic() - asked_at < 5
        begin(integration)
        state(tabs[-1], "pending")
        for before, tab in zip(tabs[::-1], tabs[-2::-1], strict=False):
            before.evaluate("setHidden(true)")
            tab.evaluate("setHidden(false)")
            is_live(tab)
            state(tab, "pending")
        end()
        state(tabs[0], "error")


class TestWhoMayListen:
    def test_a_session_that_ended_in_another_tab_is_said(
        self, stack: Stack, page: Page, integration: GitHubIntegration
    ) -> None:
        other = page.context.new_page()
        other.goto(reverse("account_logout"))
        other.get_by_role("button", name="Sign out").last.click()
        expect(page.get_by_text("Your session has ended")).to_be_visible(timeout=20_000)
        assert page.evaluate(OPEN_COUNT) == 0

    def test_so_is_one_whose_password_was_changed_elsewhere(
        self, stack: Stack, page: Page, alice: User
    ) -> None:
        alice.set_password("another long and good one")
        alice.save(update_fields=["password"])
        expect(page.get_by_text("Your session has ended")).to_be_visible(timeout=20_000)

    def test_a_person_taken_out_of_the_team_is_told(
        self, stack: Stack, page: Page, alice: User
    ) -> None:
        alice.memberships.all().delete()
        expect(page.get_by_text("You no longer belong to this team")).to_be_visible(timeout=20_000)

    def test_two_windows_follow_one_sync_each_with_its_own_buttons(
        self, stack: Stack, page: Page, open_window: Callable[..., Page], bob: User, address: str,
        integration: GitHubIntegration,
    ) -> None:  # fmt: skip
        member = open_window(bob)
        member.goto(address)
        begin(integration)
        for window in (page, member):
            state(window, "pending")
        expect(page.get_by_role("button", name="Cancel")).to_be_visible()
        expect(member.get_by_role("button", name="Cancel")).to_have_count(0)
        expect(member.get_by_role("button", name=re.compile("Sync"))).to_have_count(0)
        end("bad_credentials")
        expect(page.get_by_role("link", name="Reconnect GitHub")).to_be_visible()
        expect(member.get_by_text("An admin of your team can mend this.")).to_be_visible()


class TestAProxyThatKeepsItBack:
    def test_the_page_polls_meanwhile_and_streams_again_once_it_can(
        self, stack: Stack, open_window: Callable[..., Page], alice: User, address: str,
        integration: GitHubIntegration,
    ) -> None:  # fmt: skip
        page = open_window(alice)
        page.context.add_init_script(SHOWN_OR_HIDDEN)
        page.clock.install()
        held: list[object] = []
        page.route("**/live/**", lambda route: held.append(route))
        page.goto(address)
        page.clock.run_for(11_000)
        expect(page.get_by_text("Live updates are paused, reconnecting.")).to_be_visible()
        begin(integration)
        page.clock.run_for(4_000)
        state(page, "pending")
        end()
        page.clock.run_for(4_000)
        state(page, "error")
        page.unroute("**/live/**")
        page.clock.run_for(25_000)
        is_live(page)
        expect(page.get_by_text("Live updates are paused, reconnecting.")).to_be_hidden()
        polls: list[str] = []
        page.on("request", lambda request: polls.append(request.url))
        page.clock.run_for(20_000)
        assert [url for url in polls if "/progress/" in url] == []


class TestWhatEndsElsewhere:
    def test_a_toast_tells_of_it_on_another_page(
        self, stack: Stack, open_window: Callable[..., Page], alice: User,
        integration: GitHubIntegration, acme: Team,
    ) -> None:  # fmt: skip
        page = open_window(alice)
        page.goto(reverse("github_repos", args=[acme.slug]))
        begin(integration)
        page.wait_for_timeout(0)
        end()
        expect(page.locator("[data-toasts]")).to_contain_text("Members: The last sync failed")

    def test_a_toast_tells_of_what_ended_before_the_stream_was_open(
        self, stack: Stack, open_window: Callable[..., Page], alice: User,
        integration: GitHubIntegration, acme: Team,
    ) -> None:  # fmt: skip
        page = open_window(alice)
        page.context.add_init_script(SHOWN_OR_HIDDEN)
        page.route("**/live/**", lambda route: route.abort())
        with page.expect_request("**/live/**"):
            page.goto(reverse("github_repos", args=[acme.slug]))
        begin(integration)
        end()
        page.unroute("**/live/**")
        page.evaluate("setHidden(true); setHidden(false)")
        toasts = page.locator("[data-toasts]")
        expect(toasts).to_contain_text("Members: The last sync failed")
        toasts.get_by_role("button").click()
        page.evaluate("setHidden(true); setHidden(false)")
        is_live(page)
        expect(toasts).not_to_contain_text("Members")

    def test_title_icon_and_notification_tell_it_of_a_tab_in_the_background(
        self, stack: Stack, open_window: Callable[..., Page], alice: User, address: str,
        integration: GitHubIntegration,
    ) -> None:  # fmt: skip
        page = open_window(alice)
        page.context.add_init_script(SHOWN_OR_HIDDEN)
        page.context.add_init_script(
            "window.notified = []; window.Notification = class {"
            " constructor(words) { window.notified.push(words); }"
            " static permission = 'default';"
            " static async requestPermission() { return (this.permission = 'granted'); } };"
        )
        page.clock.install()
        page.goto(address)
        begin(integration)
        state(page, "pending")
        page.get_by_role("button", name="Notify me when it is done").click()
        page.evaluate("setHidden(true)")
        expect(page).to_have_title(re.compile(r"^\(…\) Members"))
        end()
        page.clock.run_for(11_000)
        expect(page).to_have_title(re.compile("^Failed: Members"))
        icon = page.locator("link[rel=icon]")
        expect(icon).to_have_attribute("href", re.compile(r"favicon\.bad\.svg$"))
        assert page.evaluate("window.notified") == ["Members: The last sync failed"]
        page.evaluate("setHidden(false)")
        expect(page).to_have_title(re.compile("^Members"))
        expect(icon).to_have_attribute("href", re.compile(r"favicon\.svg$"))

    def test_a_failure_behind_the_wizard_is_mended_without_leaving_the_step(
        self, stack: Stack, open_window: Callable[..., Page], alice: User,
        integration: GitHubIntegration, acme: Team,
    ) -> None:  # fmt: skip
        integration.repositories_listed_at = timezone.now()
        integration.save(update_fields=["repositories_listed_at"])
        page = open_window(alice)
        page.goto(reverse("onboarding_repositories", args=[acme.slug]))
        begin(integration)
        state(page, "pending")
        end()
        page.get_by_role("button", name="Try again").click()
        state(page, "pending")
        expect(page).to_have_url(re.compile("/onboarding/repositories/$"))
