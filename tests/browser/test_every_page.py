"""Every page, in every look: no violation of axe, no sideways scrolling, nothing from elsewhere."""

from __future__ import annotations

import gzip
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from django.template.loader import render_to_string
from django.urls import reverse
from playwright.sync_api import Page, expect

from tests.browser.everything import NOWHERE, STYLEGUIDE, Everything, fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from integrations.models import GitHubIntegration, Team, User
    from tests.browser.conftest import Problems
    from tests.sandbox_control import SandboxOrganization
    from tests.stack import Stack

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.browser,
    pytest.mark.processes,
]

WEB_ALONE: Final = pytest.mark.parametrize("stack", [("web",)], indirect=True)
SCRIPT_BYTES_MAX: Final = 90_000
STYLE_BYTES_MAX: Final = 25_000
LAYOUT_SHIFT_MAX: Final = 0.05
# 640 px is half of a usual desk: what 200 % zoom leaves of it.
WIDTHS: Final = (640, 360, 320)
# Names what reaches beyond the window's edge.
WIDEST: Final = """(width) => [...document.querySelectorAll("body *")]
  .filter((one) => one.getBoundingClientRect().right > width + 0.5)
  .map((one) => `${one.tagName}.${one.className}`).slice(0, 5)"""
# The style guide shows one component many times, each with its name.
AXE_OPTIONS: Final = {STYLEGUIDE: {"rules": {"landmark-unique": {"enabled": False}}}}
HTML: Final = "text/html; charset=utf-8"


@pytest.fixture
def everything(acme: Team, alice: User, sandbox: object) -> Everything:
    return fill(acme, alice)


@pytest.fixture(autouse=True)
def _expected_refusals(problems: Problems) -> Iterator[None]:
    """That the addresses of nowhere answer 404 is as it should be."""
    yield
    problems[:] = [one for one in problems if "/unknown/" not in one]


def visit(page: Page, address: str) -> None:
    """Go there, and wait for the scripts that write times and marks."""
    if address == NOWHERE:
        # In development Django has a page of its own for it.
        html = render_to_string("404.html")
        page.route(f"**{NOWHERE}", lambda route: route.fulfill(body=html, content_type=HTML))
    page.goto(address, wait_until="domcontentloaded")
    page.wait_for_load_state("load")


@WEB_ALONE
class TestEveryPage:
    # Some forty pages, one after the other.
    @pytest.mark.timeout(300)
    @pytest.mark.parametrize("colours", ["light", "dark"])
    def test_axe_finds_nothing(
        self, stack: Stack, open_window: Callable[..., Page], everything: Everything, alice: User,
        colours: str,
    ) -> None:  # fmt: skip
        found: dict[str, Any] = {}
        for user, addresses in ((None, everything.public), (alice, everything.inside)):
            page = open_window(user, color_scheme=colours, reduced_motion="reduce")
            for address in addresses:
                visit(page, address)
                found |= violations(page, address)
        assert found == {}

    def test_what_opens_is_accessible_too(
        self, stack: Stack, open_window: Callable[..., Page], everything: Everything, alice: User
    ) -> None:
        page = open_window(alice, reduced_motion="reduce")
        visit(page, everything.inside[0])
        found: dict[str, Any] = {}
        page.locator("#member-tick-all").check()
        expect(page.locator("#member-bulk")).to_be_visible()
        for name in ("More filters", "Account"):
            page.locator("summary", has_text=name).or_(
                page.locator(f"summary[aria-label^='{name}']")
            ).first.click()
            found |= violations(page, name)
            page.keyboard.press("Escape")
        visit(page, reverse("team_settings", args=["acme"]))
        page.locator("[data-opens]").first.click()
        found |= violations(page, "dialog")
        assert found == {}

    def test_none_scrolls_sideways(
        self, stack: Stack, open_window: Callable[..., Page], everything: Everything, alice: User
    ) -> None:
        wide = []
        for user, addresses in ((None, everything.public), (alice, everything.inside)):
            page = open_window(user)
            for address in addresses:
                visit(page, address)
                for width in WIDTHS:
                    page.set_viewport_size({"width": width, "height": 800})
                    extent = page.evaluate("document.documentElement.scrollWidth")
                    if extent > width:
                        wide.append((address, width, page.evaluate(WIDEST, width)))
        assert wide == []

    def test_nothing_comes_from_elsewhere_and_nothing_breaks_the_policy(
        self, stack: Stack, open_window: Callable[..., Page], everything: Everything, alice: User,
    ) -> None:  # fmt: skip
        """The roster's names hold markup, and its avatars lead to another host."""
        page = open_window(alice)
        page.add_init_script(
            "addEventListener('securitypolicyviolation', (event) => {"
            " (window.violations ??= []).push(event.violatedDirective); });"
            "window.alert = () => { window.alerted = true; };"
        )
        elsewhere: list[str] = []
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((stack.url, "data:"))
                else elsewhere.append(request.url)
            ),
        )
        for address in everything.inside:
            visit(page, address)
            assert page.evaluate("window.violations ?? []") == [], address
            assert not page.evaluate("window.alerted ?? false"), address
        assert elsewhere == []

    def test_the_eye_is_spared_motion(
        self, stack: Stack, open_window: Callable[..., Page], everything: Everything, alice: User
    ) -> None:
        page = open_window(alice, reduced_motion="reduce")
        visit(page, STYLEGUIDE)
        running = page.evaluate(
            "document.getAnimations().filter((one) =>"
            " one.playState === 'running' && (one.effect.getComputedTiming().activeDuration > 1))"
            ".map((one) => one.animationName ?? one.transitionProperty)"
        )
        assert running == []

    def test_the_roster_prints_as_a_list_and_nothing_else(
        self, stack: Stack, open_window: Callable[..., Page], everything: Everything, alice: User
    ) -> None:
        page = open_window(alice, color_scheme="dark")
        visit(page, everything.inside[0])
        page.emulate_media(media="print")
        expect(page.locator("#member-table table")).to_be_visible()
        expect(page.get_by_text("Ada Lovelace")).to_be_visible()
        for gone in (".topbar", ".toolbar", ".sync-box", ".table__tick >> nth=0", "footer"):
            expect(page.locator(gone)).to_be_hidden()
        assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"

    def test_the_page_is_light(
        self, stack: Stack, open_window: Callable[..., Page], everything: Everything, alice: User
    ) -> None:
        page = open_window(alice)
        weights = {"script": 0, "stylesheet": 0}

        def weigh(response: Any) -> None:
            kind = response.request.resource_type
            if kind in weights:
                weights[kind] += len(gzip.compress(response.body(), 6))

        page.on("requestfinished", lambda request: weigh(request.response()))
        page.goto(everything.inside[0], wait_until="load")
        assert 0 < weights["script"] < SCRIPT_BYTES_MAX
        assert 0 < weights["stylesheet"] < STYLE_BYTES_MAX


def violations(page: Page, where: str) -> dict[str, Any]:
    """Return what axe finds wrong on the page, in few words.

    Every rule is applied; what is in order is not described, which took longer than to find it.
    """
    options = {"resultTypes": ["violations"], **AXE_OPTIONS.get(where, {})}
    result = Axe().run(page, options=options)
    return {
        f"{where}: {one['id']}": [node["html"][:160] for node in one["nodes"][:3]]
        for one in result.response["violations"]
    }


class TestWhileItSyncs:
    def test_the_page_holds_still_and_speaks_seldom(
        self, stack: Stack, open_window: Callable[..., Page], integration: GitHubIntegration,
        organization: SandboxOrganization, alice: User,
    ) -> None:  # fmt: skip
        """Layout shift over a whole sync, and how often a screen reader is spoken to."""
        organization.slow_down(400)
        page = open_window(alice)
        page.add_init_script(
            "window.shift = 0; new PerformanceObserver((list) => {"
            " for (const entry of list.getEntries()) if (!entry.hadRecentInput)"
            " window.shift += entry.value;"
            "}).observe({ type: 'layout-shift', buffered: true });"
            "window.spoken = []; addEventListener('DOMContentLoaded', () => {"
            " for (const speaker of document.querySelectorAll('[data-speaker]'))"
            "  new MutationObserver(() => window.spoken.push("
            "   [speaker.dataset.speaker, performance.now(), speaker.textContent]))"
            "  .observe(speaker, { childList: true, characterData: true, subtree: true }); });"
        )
        page.goto(reverse("github_members", args=["acme"]))
        page.get_by_role("button", name="Sync now").click()
        bar = page.get_by_role("progressbar")
        expect(bar).to_be_visible()
        card = page.locator("#member-sync-status")
        expect(bar).to_have_attribute("aria-valuetext", re.compile(r"^[12]00 of 240$"))
        expect(card).to_have_attribute("data-state", "complete", timeout=30_000)
        expect(page.locator("[data-speaker=urgent]")).to_have_text("Up to date")
        assert page.evaluate("window.shift") <= LAYOUT_SHIFT_MAX
        spoken = page.evaluate("window.spoken")
        polite = [at for kind, at, _ in spoken if kind == "polite"]
        assert all(later - sooner >= 4_900 for sooner, later in pairwise(polite))
        assert [words for kind, _, words in spoken if kind == "urgent"] == ["Up to date"]
