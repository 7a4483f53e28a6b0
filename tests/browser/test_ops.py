"""The operators' dashboard in a real Chromium: live, pressed, cut off, and in every condition."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from django.urls import reverse
from playwright.sync_api import Page, Route, expect

from integrations.constants import RunTrigger
from integrations.models import OperatorAct, User
from integrations.ops.pieces import pieces_of
from integrations.services import transitions
from integrations.services.runs import start_run
from tests.factories import UserFactory
from tests.ops import letters, samples

if TYPE_CHECKING:
    from collections.abc import Callable

    from dramatiq.brokers.redis import RedisBroker

    from integrations.models import GitHubIntegration
    from integrations.ops.figures import Snapshot
    from tests.browser.conftest import Problems
    from tests.stack import Stack

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.browser,
    pytest.mark.processes,
    pytest.mark.parametrize("stack", [("web",)], indirect=True),
]

OPS: Final = "/ops/"
CONDITIONS: Final = (
    ("light", 1280, (samples.full, samples.empty, samples.without_database)),
    ("dark", 360, (samples.full, samples.calm, samples.without_redis)),
)


@pytest.fixture
def olga(transactional_db: None) -> User:
    found: User = UserFactory(email="olga@example.com", first_name="Olga", is_staff=True)
    return found


def show(page: Page, snapshot: Snapshot) -> None:
    """Have the page's stream bring a made-up snapshot instead of this machine's."""
    html = "".join(pieces_of(snapshot).values())
    lines = "".join(f"data: {line}\n" for line in html.splitlines())
    body = f"retry: 600000\n\nevent: sample\n{lines}\n"
    page.unroute_all()
    page.route(
        "**/ops/live/", lambda route: route.fulfill(content_type="text/event-stream", body=body)
    )
    page.goto(OPS)
    problem_count = len(snapshot.problems)
    words = f"{problem_count} problem" if problem_count else "All well"
    expect(page.locator("#verdict [role=status]")).to_contain_text(words)


def test_a_number_changes_and_a_queue_is_paused_without_a_reload(
    stack: Stack, open_window: Callable[..., Page], olga: User, broker: RedisBroker
) -> None:
    page = open_window(olga)
    page.goto(OPS)
    row = page.locator("#queue-interactive")
    ready = row.locator("td[data-label=Ready]")
    expect(ready).to_have_text("0")
    page.evaluate("window.notReloaded = true")
    row.get_by_role("link", name="interactive").focus()
    letters.send()
    letters.send()
    expect(ready).to_have_text("2")
    expect(row.get_by_role("link", name="interactive")).to_be_focused()
    assert page.evaluate("window.notReloaded") is True
    row.get_by_role("button", name="Pause interactive").click()
    expect(page.get_by_text("The queue interactive is paused.")).to_be_visible()
    expect(row.get_by_text("Paused")).to_be_visible()
    row.get_by_role("button", name="Resume interactive").click()
    expect(row.get_by_text("Paused")).to_be_hidden()
    kinds = OperatorAct.objects.order_by("pk").values_list("kind", "by")
    assert list(kinds) == [("pause", olga.email), ("resume", olga.email)]


def test_dead_letters_are_requeued_and_deleted_with_their_number(
    stack: Stack, open_window: Callable[..., Page], olga: User, broker: RedisBroker
) -> None:
    for number in range(3):
        letters.bury(broker, number)
    page = open_window(olga)
    page.goto(OPS)
    page.locator("#verdict").get_by_role("link", name="Look at: 3 dead letters").click()
    # The dashboard has such links too, until it is left.
    expect(page).to_have_url(re.compile(r"/messages/\?"))
    page.locator("tbody a.person__name").first.click()
    page.get_by_role("button", name="Requeue").click()
    expect(page.get_by_text("1 message was requeued.")).to_be_visible()
    page.get_by_role("button", name="Delete all 2 that match").click()
    expect(page.get_by_role("heading", name="Delete 2 messages?")).to_be_visible()
    letters.bury(broker, 9)
    page.get_by_role("button", name="Delete 2").click()
    expect(page.get_by_text("There were 2 when you looked, now there are")).to_be_visible()
    page.get_by_role("button", name="Delete 3").click()
    expect(page.get_by_text("3 messages were deleted.")).to_be_visible()
    page.goto(reverse("ops_acts"))
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.get_by_text("all dead")).to_be_visible()


def test_a_failed_run_is_retried_from_its_cause(
    stack: Stack, open_window: Callable[..., Page], olga: User, integration: GitHubIntegration
) -> None:
    run = start_run(integration, trigger=RunTrigger.MANUAL).run
    transitions.fail(run, "github_unavailable")
    page = open_window(olga)
    page.goto(OPS)
    page.locator("#causes").get_by_role("link", name="1 runs failed").click()
    page.get_by_role("button", name=f"Retry run {run.pk} of Acme").click()
    expect(page.get_by_text("is on its way")).to_be_visible()
    page.goto(OPS)
    started = integration.runs.latest("pk")
    assert started.pk != run.pk
    expect(page.locator(f"#run-{started.pk}")).to_contain_text("Waiting for a worker")


def test_whoever_stops_being_an_operator_is_told(
    stack: Stack, open_window: Callable[..., Page], olga: User, problems: Problems
) -> None:
    page = open_window(olga)
    with page.expect_response("**/ops/live/"):
        page.goto(OPS)
    User.objects.filter(pk=olga.pk).update(is_staff=False)
    expect(page.get_by_text("this page is standing still")).to_be_visible(timeout=15_000)


def test_without_a_stream_the_page_says_so_and_asks_by_itself(
    stack: Stack, open_window: Callable[..., Page], olga: User, problems: Problems,
    broker: RedisBroker,
) -> None:  # fmt: skip
    page = open_window(olga)
    page.clock.install()

    def refuse(route: Route) -> None:
        route.fulfill(status=502)

    page.route("**/ops/live/", refuse)
    page.goto(OPS)
    letters.send()
    page.clock.run_for(11_000)
    expect(page.get_by_text("Live updates are paused")).to_be_visible()
    expect(page.locator("#queue-interactive td[data-label=Ready]")).to_have_text("1")
    page.unroute("**/ops/live/", refuse)
    page.clock.run_for(25_000)
    expect(page.get_by_text("Live updates are paused")).to_be_hidden()
    problems[:] = [one for one in problems if "/ops/live/" not in one]


def test_every_condition_is_accessible_and_fits(
    stack: Stack, open_window: Callable[..., Page], olga: User
) -> None:
    found: dict[str, Any] = {}
    for colours, width, shown in CONDITIONS:
        page = open_window(
            olga, color_scheme=colours, reduced_motion="reduce",
            viewport={"width": width, "height": 800},
        )  # fmt: skip
        for sample in shown:
            show(page, sample())
            name = f"{sample.__name__} {colours}"
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            violations = Axe().run(page).response["violations"]
            if violations:
                found[name] = [(one["id"], one["nodes"][0]["html"][:200]) for one in violations]
    assert found == {}
