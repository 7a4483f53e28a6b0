"""By the keyboard alone: from signing up through the wizard to a sync, and on the members page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from tests.factories import PASSWORD, GitHubIntegrationFactory, TeamMemberFactory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from integrations.models import Team, User
    from tests.browser.conftest import Problems
    from tests.sandbox_control import SandboxOrganization
    from tests.stack import Stack

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.browser,
    pytest.mark.processes,
]

TAB_COUNT_MAX = 80


@pytest.fixture(autouse=True)
def _expected_aborts(problems: Problems) -> Iterator[None]:
    """htmx complains on the console of each request that a newer one replaces."""
    yield
    problems[:] = [one for one in problems if "htmx:" not in one]


# What has the focus, and whether that can be seen: an outline, a shadow, or a border that changed.
FOCUS = """() => {
  const one = document.activeElement;
  const style = getComputedStyle(one);
  const words = one.getAttribute("aria-label") || one.labels?.[0]?.innerText || one.innerText || "";
  return {
    name: words.trim(),
    tag: one.tagName,
    id: one.id,
    visible: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2
      || style.boxShadow !== "none"
      || getComputedStyle(one, "::before").outlineStyle !== "none",
  };
}"""


def tab_to(page: Page, name: str, *, tag: str = "") -> None:
    """Press Tab until that has the focus; whatever has it on the way must be seen to have it."""
    page.wait_for_load_state("load")
    for _ in range(TAB_COUNT_MAX):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUS)
        if focused["tag"] != "BODY":
            assert focused["visible"], f"no focus to be seen on {focused}"
        if re.search(name, focused["name"]) and (not tag or focused["tag"] == tag):
            return
    raise AssertionError(f"{name!r} was not reached")


class TestTheWholeWay:
    def test_from_sign_up_to_up_to_date(
        self, stack: Stack, open_window: Callable[..., Page], organization: SandboxOrganization
    ) -> None:
        page = open_window()
        page.goto(reverse("account_signup"))
        for label, text in (
            ("Email", "new@example.com"), ("Password", PASSWORD), ("Team name", "Newcomers"),
        ):  # fmt: skip
            tab_to(page, label, tag="INPUT")
            page.keyboard.type(text)
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(r"/onboarding/connect/$"))

        tab_to(page, "personal access token", tag="SUMMARY")
        page.keyboard.press("Enter")
        tab_to(page, "[Tt]oken", tag="INPUT")
        page.keyboard.type(organization.token)
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(r"/github/organization/$"))
        tab_to(page, organization.login, tag="INPUT")
        page.keyboard.press("Space")
        tab_to(page, "Choose and start the first sync")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(r"/onboarding/repositories/$"))
        tab_to(page, "^Skip$")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(r"/onboarding/done/$"))
        tab_to(page, "Go to the members")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(r"/github/members/$"))

        card = page.locator("#member-sync-status")
        expect(card).to_have_attribute("data-state", "complete", timeout=30_000)
        organization.slow_down(300)
        tab_to(page, "Sync now")
        page.keyboard.press("Enter")
        expect(card).to_have_attribute("data-busy", "")
        expect(card).to_have_attribute("data-state", "complete", timeout=30_000)
        assert page.evaluate(FOCUS)["id"] == "sync-now"


@pytest.mark.parametrize("stack", [("web",)], indirect=True)
class TestTheMembersPage:
    @pytest.fixture
    def page(self, stack: Stack, open_window: Callable[..., Page], alice: User, acme: Team) -> Page:
        """Alice's members page, with two pages of people."""
        GitHubIntegrationFactory(team=acme)
        for number in range(60):
            TeamMemberFactory(team=acme, github_username=f"person-{number:02}")
        page = open_window(alice)
        page.goto(reverse("github_members", args=[acme.slug]))
        return page

    def test_what_is_ticked_stays_so_over_pages_refreshes_and_filters(
        self, page: Page, acme: Team
    ) -> None:
        bar = page.locator("#member-bulk")
        expect(bar).to_be_hidden()
        page.get_by_label("Select person-03").focus()
        page.keyboard.press("Space")
        expect(bar).to_contain_text("1 selected")
        page.get_by_role("link", name="Next").click()
        page.get_by_label("Select person-55").check()
        expect(bar).to_contain_text("2 selected")
        page.get_by_role("link", name="Previous").click()
        expect(page.get_by_label("Select person-03")).to_be_checked()
        page.evaluate("document.body.dispatchEvent(new CustomEvent('rollcall:roster'))")
        page.locator("#member-search").fill("person-03")
        expect(page.locator("#member-table tbody tr")).to_have_count(1)
        expect(page.get_by_label("Select person-03")).to_be_checked()
        expect(bar).to_contain_text("2 selected")
        bar.get_by_role("button", name="Switch off").click()
        expect(page.get_by_role("heading")).to_contain_text("Switch 2 people off?")
        page.get_by_role("button", name="Switch them off").click()
        expect(page.get_by_text("2 people switched off.")).to_be_visible()
        assert sorted(
            acme.members.filter(is_active=False).values_list("github_username", flat=True)
        ) == ["person-03", "person-55"]
        expect(bar).to_be_hidden()

    @pytest.mark.parametrize(
        ("label", "count"), [("Select person-03", 1), ("All on this page", 50)]
    )
    @pytest.mark.parametrize("arrival", ["pageshow", "htmx:afterSettle"])
    def test_a_tick_counts_though_the_page_or_its_table_arrives_that_moment(
        self, page: Page, label: str, count: int, arrival: str
    ) -> None:
        box = page.get_by_label(label)
        box.evaluate(
            """(box, arrival) => {
              box.click();
              box.dispatchEvent(new Event(arrival, { bubbles: true }));
            }""",
            arrival,
        )
        expect(page.locator("#member-bulk")).to_contain_text(f"{count} selected")
        expect(box).to_be_checked()

    def test_the_focus_and_the_place_survive_a_refresh(self, page: Page) -> None:
        page.locator("summary", has_text="More filters").scroll_into_view_if_needed()
        name = page.get_by_role("link", name="person-20", exact=True).first
        name.focus()
        before = page.evaluate("scrollY")
        with page.expect_response(re.compile("/members/table/")):
            page.evaluate("document.body.dispatchEvent(new CustomEvent('rollcall:roster'))")
        page.wait_for_function("() => document.activeElement.id.endsWith('-name')")
        assert page.evaluate("document.activeElement.innerText") == "person-20"
        assert abs(page.evaluate("scrollY") - before) <= 1

    def test_a_menu_opens_and_escape_closes_it(self, page: Page) -> None:
        opener = page.locator("summary[aria-label='More about person-00']")
        opener.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name="Changes and access").first).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("link", name="Changes and access").first).to_be_hidden()
        expect(opener).to_be_focused()

    def test_the_search_follows_the_typing_and_the_address_holds_it(self, page: Page) -> None:
        page.locator("#member-search").press_sequentially("person-5", delay=30)
        expect(page.get_by_text("10 people found")).to_be_visible()
        expect(page).to_have_url(re.compile(r"\?q=person-5$"))
        page.locator("summary", has_text="More filters").click()
        page.get_by_label("People a page").select_option("100")
        expect(page).to_have_url(re.compile(r"per_page=100"))
        page.locator("#save-filter").click()
        page.get_by_label("Name", exact=True).fill("The fifties")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_role("link", name="The fifties")).to_be_visible()
