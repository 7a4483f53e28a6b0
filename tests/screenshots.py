"""`make screenshots`: the pictures of README.md, taken from the running product.

Starts the product's real processes against the sandbox, walks in as a person, and photographs what
it sees at desk and phone width, light and dark.
"""

from __future__ import annotations

import base64
import importlib
import logging
import os
import re
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import django
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.processes import REPOSITORY, SandboxProcess, Valkey, wait_until
from tests.sandbox_control import app_settings

PICTURES = REPOSITORY / "docs" / "screenshots"
LOOKS: dict[str, dict[str, Any]] = {
    "desk-light": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    "desk-dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "phone-light": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"},
    "phone-dark": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
}
# Three people who come and go, an event of no use, and the installation.
DELIVERIES_SHOWN = 5
EMAIL, PASSWORD = "ada@example.com", "a long and good one"


def main() -> int:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("Chromium is not installed; on Debian: apt-get install chromium", file=sys.stderr)
        return 1
    with ExitStack() as cleanup:
        directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="rollcall-")))
        stack, sandbox = _start(directory, cleanup)
        playwright = cleanup.enter_context(sync_playwright())
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        cleanup.callback(browser.close)
        PICTURES.mkdir(parents=True, exist_ok=True)
        _photograph(browser, stack.url, sandbox)
    print(f"{len(list(PICTURES.glob('*.png')))} pictures in {PICTURES.relative_to(REPOSITORY)}/")
    return 0


def _start(directory: Path, cleanup: ExitStack) -> tuple[Any, Any]:
    valkey = Valkey(directory / "valkey")
    valkey.start()
    cleanup.callback(valkey.kill)
    sandbox = SandboxProcess(log_dir=directory)
    sandbox.start()
    cleanup.callback(sandbox.stop)
    os.environ.update(
        DJANGO_SETTINGS_MODULE="project.settings",
        DATABASE_URL=f"sqlite:///{directory / 'pictures.sqlite3'}",
        REDIS_URL=valkey.url,
        GITHUB_URL=sandbox.url,
        GITHUB_API_URL=f"{sandbox.url}/api/v3",
        GITHUB_CLIENT_ID="sandbox-client",
        GITHUB_CLIENT_SECRET="sandbox-secret",
        GITHUB_WEBHOOK_SECRET="sandbox-webhook-secret",
        **app_settings(sandbox.url),
        FIELD_ENCRYPTION_KEYS=base64.urlsafe_b64encode(os.urandom(32)).decode(),
        DJANGO_ALLOW_ASYNC_UNSAFE="1",
    )
    django.setup()
    logging.disable(logging.CRITICAL)
    importlib.import_module("django.core.management").call_command("migrate", verbosity=0)
    stack = importlib.import_module("tests.stack").Stack(log_dir=directory, valkey=valkey)
    cleanup.callback(stack.stop)
    stack.start()
    control = importlib.import_module("tests.sandbox_control").SandboxControl(sandbox.url)
    return stack, control


def _photograph(browser: Browser, url: str, sandbox: Any) -> None:
    page = browser.new_context(base_url=url, **LOOKS["desk-light"]).new_page()
    page.goto("/")
    _take(page, "landing-desk-light")
    page.goto("/accounts/signup/")
    page.get_by_label("Email").fill(EMAIL)
    page.get_by_label("Password").first.fill(PASSWORD)
    page.get_by_label("Team name").fill("Platform")
    _take(page, "sign-up-desk-light")
    page.get_by_role("button", name="Create account").click()
    _wizard(page, sandbox)
    _every_page(browser, page, url, sandbox)
    _moved_by_webhooks(browser, page, url, sandbox)
    _operations(browser, page, url)


def _operations(browser: Browser, signed_in: Page, url: str) -> None:
    """Look as an operator: this machine's own figures, and a busy afternoon that is made up."""
    models = importlib.import_module("integrations.models")
    samples = importlib.import_module("tests.ops.samples")
    letters = importlib.import_module("tests.ops.letters")
    pieces = importlib.import_module("integrations.ops.pieces")
    models.User.objects.filter(email=EMAIL).update(is_staff=True)
    letters.fill(3, state="dead", queue="scheduled")
    state = signed_in.context.storage_state()
    for look, options in LOOKS.items():
        page = browser.new_context(base_url=url, storage_state=state, **options).new_page()
        page.goto("/ops/")
        expect(page.locator("#verdict")).to_contain_text("dead letters")
        _take(page, f"ops-{look}")
        page.goto("/ops/messages/?state=dead")
        _take(page, f"ops-messages-{look}")
        for name in ("full", "without_redis"):
            html = "".join(pieces.pieces_of(getattr(samples, name)()).values())
            lines = "".join(f"data: {line}\n" for line in html.splitlines())
            _answer_stream(page, f"retry: 600000\n\nevent: sample\n{lines}\n")
            page.goto("/ops/")
            expect(page.locator("#verdict [role=status]")).to_contain_text("problem")
            expect(page.locator("#runs")).to_contain_text("Globex")
            _take(page, f"ops-{name.replace('_', '-')}-{look}")


def _answer_stream(page: Page, body: str) -> None:
    page.unroute_all()
    page.route(
        "**/ops/live/", lambda route: route.fulfill(content_type="text/event-stream", body=body)
    )


def _moved_by_webhooks(browser: Browser, signed_in: Page, url: str, sandbox: Any) -> None:
    """Move the team to the GitHub App, and let GitHub tell of people who come and go."""
    team = "/t/platform/github/"
    sandbox.change_app(webhook_url=f"{url}/webhooks/github/")
    sandbox.ask("POST", "installations", {"organization": "globex"})
    signed_in.goto("/t/platform/onboarding/connect/")
    signed_in.get_by_role("button", name="It is installed already").click()
    signed_in.get_by_role("button", name="Authorize").click()
    card = signed_in.locator("#member-sync-status")
    expect(card).to_have_attribute("data-state", "complete", timeout=60_000)
    sandbox.ask("POST", "people", {"login": "ada-lovelace", "name": "Ada Lovelace"})
    for person in ({"login": "ada-lovelace"}, {}):
        sandbox.ask("POST", "organizations/globex/members", person)
    sandbox.ask("DELETE", "organizations/globex/members/ada-lovelace")
    sandbox.ask(
        "POST", "deliveries", {"organization": "globex", "event": "star", "payload": {"zen": "x"}}
    )

    def all_applied() -> bool:
        signed_in.goto(f"{team}webhooks/")
        rows, waiting = signed_in.locator("tbody tr"), signed_in.locator("td .badge--accent")
        return rows.count() >= DELIVERIES_SHOWN and waiting.count() == 0

    def teams_are_read() -> bool:
        signed_in.goto(f"{team}members/")
        return signed_in.locator("select[name=team]").count() == 1

    wait_until(all_applied, timeout_s=30)
    wait_until(teams_are_read, timeout_s=60)
    state = signed_in.context.storage_state()
    for look, options in LOOKS.items():
        page = browser.new_context(base_url=url, storage_state=state, **options).new_page()
        page.goto(f"{team}members/?team=platform")
        _take(page, f"members-team-{look}")
        page.goto(f"{team}webhooks/")
        expect(page.get_by_text("organization.member_removed")).to_be_visible()
        _take(page, f"webhooks-{look}")
        page.get_by_role("link", name="organization.member_added").first.click()
        expect(page.get_by_text("X-GitHub-Delivery")).to_be_visible()
        _take(page, f"webhook-{look}")
        page.goto("/t/platform/onboarding/connect/")
        _take(page, f"connect-{look}")
        page.goto(f"{team}connection/")
        _take(page, f"connection-app-{look}")


def _wizard(page: Page, sandbox: Any) -> None:
    page.wait_for_url(re.compile("onboarding/connect"))
    _take(page, "wizard-1-desk-light")
    page.get_by_role("button", name="Connect with GitHub").click()
    page.get_by_role("button", name="Authorize").click()
    page.get_by_text("globex", exact=True).click()
    _take(page, "wizard-2-desk-light")
    sandbox.ask("POST", "latency", {"organization": "globex", "ms": 120})
    page.get_by_role("button", name=re.compile("first sync")).click()
    page.wait_for_url(re.compile("onboarding/repositories"))
    expect(page.locator("#member-sync-status progress")).to_be_visible()
    _take(page, "wizard-3-desk-light")
    page.get_by_role("button", name="Save and finish").click()
    page.wait_for_url(re.compile("onboarding/done"))
    _take(page, "wizard-4-desk-light")
    expect(page.locator("#member-sync-status")).to_have_attribute(
        "data-state", "complete", timeout=60_000
    )


def _every_page(browser: Browser, signed_in: Page, url: str, sandbox: Any) -> None:
    team = "/t/platform/github/"
    state = signed_in.context.storage_state()
    for look, options in LOOKS.items():
        page = browser.new_context(base_url=url, storage_state=state, **options).new_page()
        for name in ("members", "repositories", "history", "settings", "connection"):
            page.goto(f"{team}{name}/")
            _take(page, f"{name}-{look}")
        for name, listed in (("run", "history"), ("member", "members")):
            page.goto(f"{team}{listed}/")
            page.locator("td a.person__name").first.click()
            page.wait_for_url(re.compile(rf"{listed}/\d+/$"))
            _take(page, f"{name}-{look}")
        _people_chosen(page, look)
        page.goto(f"{team}members/")
        page.get_by_role("button", name="Sync now").click()
        expect(page.locator("#member-sync-status")).to_contain_text("unchanged")
        expect(page.locator("#member-sync-status")).to_contain_text(
            re.compile(r"\b[1-3],\d00 of"), timeout=60_000
        )
        _take(page, f"members-syncing-{look}")
        expect(page.locator("#member-sync-status")).to_have_attribute(
            "data-state", "complete", timeout=60_000
        )
        _waiting_and_failing(page, look, sandbox)
        _previewed_and_held(page, look, sandbox)


def _people_chosen(page: Page, look: str) -> None:
    """What is done with people by hand, who works in the team, and all of it in German."""
    team = "/t/platform/"
    page.goto(f"{team}settings/")
    _take(page, f"team-{look}")
    page.goto(f"{team}github/repositories/")
    page.locator("td a.person__name").first.click()
    page.wait_for_url(re.compile(r"repositories/\d+/$"))
    _take(page, f"repository-{look}")
    page.goto(f"{team}github/members/?role=admin")
    for box in page.locator("input[name=member]").all()[:3]:
        box.check()
    _take(page, f"members-chosen-{look}")
    page.get_by_role("button", name="Switch off", exact=True).click()
    _take(page, f"switch-{look}")
    page.goto(f"{team}github/members/")
    page.locator("#member-tick-all").uncheck()
    page.get_by_role("button", name="Deutsch").click()
    expect(page.locator("html")).to_have_attribute("lang", "de")
    _take(page, f"members-german-{look}")
    page.get_by_role("button", name="English").click()


def _previewed_and_held(page: Page, look: str, sandbox: Any) -> None:
    """Have three people leave a team that holds everybody, and look at what that comes to."""
    team = "/t/platform/github/"
    page.goto(f"{team}settings/")
    page.get_by_label("Hold departures").fill("0")
    page.get_by_label("at least this many").fill("1")
    page.get_by_role("button", name="Save").click()
    members = sandbox.ask("GET", "organizations/globex/members")
    for member in members[-3:]:
        sandbox.ask("DELETE", f"organizations/globex/members/{member['login']}")
    sandbox.ask("POST", "organizations/globex/members", {})
    page.goto(f"{team}members/")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("What would change")).to_be_visible(timeout=60_000)
    _take(page, f"preview-{look}")
    page.goto(f"{team}members/")
    page.get_by_role("button", name=re.compile("Sync now|Try again")).click()
    card = page.locator("#member-sync-status")
    expect(card).to_have_attribute("data-state", "held", timeout=60_000)
    _take(page, f"members-held-{look}")
    page.get_by_role("link", name="Review names").click()
    expect(page.locator("td time").first).not_to_contain_text("UTC")
    _take(page, f"held-{look}")
    page.get_by_role("link", name="Decide about all").click()
    page.get_by_role("button", name="Remove all").click()
    expect(card).to_have_attribute("data-state", "complete")


def _waiting_and_failing(page: Page, look: str, sandbox: Any) -> None:
    for name, fault in (
        (
            "waiting",
            {"fault": "primary_rate_limit", "kind": "graphql", "seconds": 8, "after": 9},
        ),
        ("error", {"fault": "sso_required", "url": "https://github.example/sso"}),
    ):  # fmt: skip
        sandbox.ask("POST", "faults", {"organization": "globex", **fault})
        page.get_by_role("button", name="Sync now").click()
        expect(page.locator("#member-sync-status")).to_have_attribute(
            "data-state", name, timeout=60_000
        )
        _take(page, f"members-{name}-{look}")
        sandbox.ask("DELETE", "faults?organization=globex")
        expect(page.locator("#member-sync-status")).to_have_attribute(
            "data-state", re.compile("complete|error"), timeout=60_000
        )


def _take(page: Page, name: str) -> None:
    page.screenshot(path=PICTURES / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
