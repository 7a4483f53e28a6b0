"""A real Chromium, and people signed in with it."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from integrations.models import User
    from tests.stack import Stack

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# As root and without a screen; and nothing of it may look for hosts beyond this machine.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    # Playwright's loop runs in this thread, where Django would refuse its ORM to the tests.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Problems(list[str]):
    """What our pages complained of: script errors, violations of the policy, failed requests."""

    def watch(self, page: Page, *, url: str) -> None:
        page.on("pageerror", lambda error: self.append(str(error)))
        page.on("console", lambda message: self._hear(message, url))

    def _hear(self, message: ConsoleMessage, url: str) -> None:
        where = message.location["url"]
        # The sandbox's own pages are not under test here.
        if message.type == "error" and (not where or where.startswith(url)):
            self.append(f"{where}: {message.text}")


@pytest.fixture
def problems() -> Iterator[Problems]:
    """Collects complaints; a test that ends with one fails."""
    found = Problems()
    yield found
    assert not found


@pytest.fixture
def open_window(
    chromium: Browser, stack: Stack, problems: Problems
) -> Iterator[Callable[..., Page]]:
    """`open_window(user=None, **context_options)`: a browser profile of its own, with one page."""
    contexts: list[BrowserContext] = []

    def open_one(user: User | None = None, **options: Any) -> Page:
        context = chromium.new_context(base_url=stack.url, **options)
        contexts.append(context)
        context.set_default_timeout(15_000)
        if user is not None:
            with stack.browser_session(user) as session:
                value = session.cookies.get(settings.SESSION_COOKIE_NAME)
            context.add_cookies(
                [{"name": settings.SESSION_COOKIE_NAME, "value": value or "", "url": stack.url}]
            )
        page = context.new_page()
        problems.watch(page, url=stack.url)
        return page

    yield open_one
    for context in contexts:
        context.close()
