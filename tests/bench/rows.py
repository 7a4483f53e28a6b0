"""What `make bench` measures: each function makes a row or two, with the naive way beside it."""

from __future__ import annotations

import random
import statistics
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext, override_settings
from django.urls import reverse
from django.utils import timezone

from integrations import tasks
from integrations.constants import RunTrigger
from integrations.github import graphql
from integrations.github.http import GitHubClient
from integrations.models import GitHubIntegration, SyncRun, TeamMember
from integrations.services import transitions
from integrations.services.github_graphql_sync import MemberList, Place
from integrations.services.roster import write_page
from integrations.services.runs import start_run
from tests.bench import naive
from tests.bench.faults import redis_away, worker_killed
from tests.bench.load import load
from tests.bench.members_page import members_page
from tests.bench.memory import memory_of_a_sync
from tests.bench.queues import QUEUES
from tests.bench.scale import scale
from tests.bench.second_worker import TWO_WORKERS
from tests.bench.streams import held_streams, streams
from tests.bench.table import Row, Samples, percentile
from tests.bench.viewers import admin_of, viewer
from tests.bench.webhooks import webhook_to_client, webhooks
from tests.factories import (
    GitHubIntegrationFactory,
    IntegrationCredentialFactory,
    TeamFactory,
)
from tests.live.sse import SseClient, SseEvent
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sandbox_control import SandboxControl, SandboxOrganization
    from tests.stack import Stack

CLICK_COUNT = 60
TRANSITION_COUNT = 150
POLLED_COUNT = 8
FIRST_SYNCS = 5


@dataclass(frozen=True)
class Bench:
    """The real processes to measure."""

    sandbox: SandboxControl
    # Another one, whose every answer takes 20 ms, whomever it is about.
    slow_sandbox: SandboxControl
    stack: Stack

    def connected(self, organization: SandboxOrganization) -> GitHubIntegration:
        """Tie a new team to an organisation."""
        credential = IntegrationCredentialFactory(
            access_token=organization.token, github_username=organization.owner
        )
        integration: GitHubIntegration = GitHubIntegrationFactory(
            team=credential.team,
            credential=credential,
            organization_id=organization.id,
            organization_login=organization.login,
        )
        return integration


@contextmanager
def seconds() -> Iterator[list[float]]:
    """Measure a block: the list holds its length once it is over."""
    taken: list[float] = []
    begun = time.perf_counter()
    yield taken
    taken.append(time.perf_counter() - begun)


def in_ms(seconds: list[float]) -> list[float]:
    return [one * 1000 for one in seconds]


def run_to_its_end(integration: GitHubIntegration) -> SyncRun:
    """Do the worker's work in this process, slice after slice."""
    run = start_run(integration, trigger=RunTrigger.COMMAND).run
    while run.is_active:
        tasks.sync_github_members_task.fn(run.pk)
        run.refresh_from_db()
    return run


def end_run(run: SyncRun) -> None:
    transitions.fail(run, "internal_error")


def clicks(bench: Bench) -> list[Row]:
    """ "Sync now": how fast it answers, and how fast a second viewer sees it. No worker runs."""
    organization = bench.sandbox.organization(size=5_000)
    integration = bench.connected(organization)
    team = integration.team
    address = f"{bench.stack.url}{reverse('github_members_sync', args=[team.slug])}"
    answered, seen = [], []
    with (
        bench.stack.browser_session(admin_of(team)) as clicker,
        viewer(bench, team) as second_viewer,
    ):
        clicker.headers["HX-Request"] = "true"
        for _ in range(CLICK_COUNT):
            second_viewer.forget()
            begun = time.perf_counter()
            response = clicker.post(address, timeout=30)
            answered.append((time.perf_counter() - begun) * 1000)
            assert response.status_code == 200, response.status_code
            event = second_viewer.wait_for("member-sync", where=_is_waiting, timeout_s=5)
            seen.append((event.at - begun) * 1000)
            end_run(SyncRun.objects.active().get(integration=integration))
            second_viewer.wait_for("member-sync", where=_has_failed, timeout_s=5)
    calls = len(organization.requests())
    small = bench.slow_sandbox.organization(size=240)
    with seconds() as blocking:
        naive.sync_member_by_member(
            TeamFactory(), small, api_url=f"{bench.slow_sandbox.url}/api/v3"
        )
    return [
        Row(
            '"Sync now" answers (p95), calls to GitHub inside',
            f"{percentile(answered, 95):.0f} ms, {calls} calls",
            "50 ms, 0 calls",
            f"{blocking[0]:.1f} s for 240 people, inside the request",
            percentile(answered, 95) <= 50 and calls == 0,
            Samples("ms", 50, answered, [blocking[0] * 1000]),
        ),
        Row(
            'click to "syncing" seen by a second viewer (p95)',
            f"{percentile(seen, 95):.0f} ms",
            "100 ms",
            f"up to {naive.POLL_INTERVAL_S:.0f} s (polling)",
            percentile(seen, 95) <= 100,
            Samples("ms", 100, seen),
        ),
    ]


def _is_waiting(event: SseEvent) -> bool:
    return 'data-state="pending"' in event.data


def _has_failed(event: SseEvent) -> bool:
    return 'data-state="error"' in event.data


def transition_to_client(bench: Bench) -> list[Row]:
    """From the commit of a transition to the event at a client, and to a page that polls."""
    integration = bench.connected(bench.sandbox.organization(size=12))
    lags = []
    with viewer(bench, integration.team) as client:
        for _ in range(TRANSITION_COUNT // 2):
            run = start_run(integration, trigger=RunTrigger.MANUAL).run
            lags.append(_lag_of(client, run))
            end_run(run)
            lags.append(_lag_of(client, run))
    polled = [_polled_lag(bench, integration) for _ in range(POLLED_COUNT)]
    return [
        Row(
            "transition committed to event at a client (p95)",
            f"{percentile(lags, 95) * 1000:.1f} ms",
            "20 ms",
            f"{statistics.median(polled):.1f} s median, {max(polled):.1f} s worst (polling)",
            percentile(lags, 95) <= 0.020,
            Samples("ms", 20, in_ms(lags), in_ms(polled)),
        )
    ]


def _lag_of(client: SseClient, run: SyncRun) -> float:
    """Return how long after the transaction's end the event was there, in seconds.

    The transition's own time stands in its row; the event comes after that instant's commit, so
    this is a little more than the lag itself.
    """
    event = client.wait_for("member-sync", timeout_s=5)
    committed_at = run.transitions.latest("pk").at
    arrived_at = timezone.now().timestamp() - (time.perf_counter() - event.at)
    client.forget()
    return arrived_at - committed_at.timestamp()


def _polled_lag(bench: Bench, integration: GitHubIntegration) -> float:
    """Start a run at any moment of a poller's three seconds; return when it saw that."""
    address = reverse("github_members_sync_progress", args=[integration.team.slug])
    user = admin_of(integration.team)
    seen: list[float] = []

    def poll() -> None:
        naive.poll_until(lambda: 'data-state="pending"' in bench.stack.get(address, user=user).text)
        seen.append(time.perf_counter())

    poller = threading.Thread(target=poll)
    poller.start()
    time.sleep(random.uniform(0.3, naive.POLL_INTERVAL_S))
    begun = time.perf_counter()
    run = start_run(integration, trigger=RunTrigger.MANUAL).run
    poller.join()
    end_run(run)
    return seen[0] - begun


def first_sync_against_bare_walk(bench: Bench) -> list[Row]:
    """Ten thousand people at 100 ms a page: writing hides behind fetching."""
    organization = bench.sandbox.organization(size=10_000)
    organization.slow_down(100)
    client = GitHubClient(token=organization.token, api_url=settings.GITHUB_API_URL)
    with seconds() as walk:
        after, pages = None, 0
        while pages == 0 or after:
            page = graphql.member_page(
                client, organization=organization.login, after=after, first=100, with_email=True
            )
            after, pages = page.end_cursor if page.has_next else None, pages + 1
    integration = bench.connected(organization)
    with seconds() as ours:
        run = run_to_its_end(integration)
    assert integration.team.members.count() == run.created_count == 10_000
    ratio = ours[0] / walk[0]
    return [
        Row(
            "first sync of 10,000 members at 100 ms a page",
            f"{ratio:.3f} x a bare walk ({ours[0]:.1f} s)",
            "1.05 x",
            f"1 x: the bare walk, which writes nothing ({walk[0]:.1f} s)",
            ratio <= 1.05,
            Samples("x a bare walk", 1.05, [ratio]),
        )
    ]


def first_sync_against_member_by_member(bench: Bench) -> list[Row]:
    """A thousand people at 20 ms a request, beside one request a person: five new teams."""
    organization = bench.slow_sandbox.organization(size=1_000)
    api_url = f"{bench.slow_sandbox.url}/api/v3"
    team = TeamFactory()
    with seconds() as one_by_one:
        request_count = naive.sync_member_by_member(team, organization, api_url=api_url)
    before = len(organization.requests())
    took_s = []
    for _ in range(FIRST_SYNCS):
        integration = bench.connected(organization)
        with override_settings(GITHUB_API_URL=api_url), seconds() as ours:
            run_to_its_end(integration)
        took_s += ours
        assert integration.team.members.count() == team.members.count() == 1_000
    ours_count = (len(organization.requests()) - before) // FIRST_SYNCS
    ratio = one_by_one[0] / statistics.median(took_s)
    return [
        Row(
            "first sync of 1,000 members at 20 ms a request",
            f"{ratio:.1f} x faster (median {statistics.median(took_s):.2f} s, "
            f"longest {max(took_s):.2f} s, {ours_count} requests)",
            "60 x",
            f"{one_by_one[0]:.1f} s, {request_count:,} requests",
            ratio >= 60,
            Samples("x the naive way", 60, [ratio], [1], is_floor=True),
        )
    ]


def bulk_against_row_by_row(bench: Bench) -> list[Row]:
    """The same pages, read beforehand: written in bulk, and with queries a row."""
    organization = bench.sandbox.organization(size=5_000)
    integration = bench.connected(organization)
    client = GitHubClient(token=organization.token, api_url=settings.GITHUB_API_URL)
    members = MemberList(client, organization.login, organization.id)
    pages, place = [], Place()
    while place is not None:
        pages.append(members.page_at(place))
        place = pages[-1].next_place  # type: ignore[assignment]
    team = TeamFactory()
    with seconds() as row_by_row:
        for page in pages:
            naive.write_row_by_row(team, list(page.members))
    run = start_run(integration, trigger=RunTrigger.COMMAND).run
    lease = transitions.claim(run.pk)
    assert lease is not None
    with seconds() as ours:
        for page in pages:
            write_page(lease, page)
    end_run(run)
    assert integration.team.members.count() == team.members.count() == 5_000
    ratio = row_by_row[0] / ours[0]
    return [
        Row(
            "the same 50 pages at 0 ms, written",
            f"{ratio:.1f} x faster ({ours[0] / len(pages) * 1000:.1f} ms a page, "
            "checkpoint and publishing included)",
            "8 x",
            f"{row_by_row[0] / len(pages) * 1000:.1f} ms a page, without either",
            ratio >= 8,
            Samples("x the naive way", 8, [ratio], [1], is_floor=True),
        )
    ]


def queries_a_page(bench: Bench) -> list[Row]:
    """Count the statements of writing one page: new people, known people, and a mixture."""
    organization = bench.sandbox.organization(size=300)
    integration = bench.connected(organization)
    client = GitHubClient(token=organization.token, api_url=settings.GITHUB_API_URL)
    page = MemberList(client, organization.login, organization.id).page_at(Place())
    counts = {}
    for name in ("new", "known", "mixed"):
        run = start_run(integration, trigger=RunTrigger.COMMAND).run
        lease = transitions.claim(run.pk)
        assert lease is not None
        if name == "mixed":
            TeamMember.objects.filter(team=integration.team)[0].delete()
            person = TeamMember.objects.filter(team=integration.team)[0]
            TeamMember.objects.filter(pk=person.pk).update(name="Somebody else")
        with CaptureQueriesContext(connection) as captured:
            write_page(lease, page)
        counts[name] = _until_commit([query["sql"] for query in captured.captured_queries])
        end_run(run)
    return [
        Row(
            "queries a page of 100 members",
            ", ".join(f"{count} {name}" for name, count in counts.items()),
            "5, constant",
            "200 to 300 (two or three a row)",
            max(counts.values()) <= 5,
            Samples("queries", 5, list(counts.values()), [200]),
        )
    ]


def _until_commit(statements: list[str]) -> int:
    """Count the statements of the transaction, without its BEGIN; publishing comes after."""
    work = statements[: statements.index("COMMIT")] if "COMMIT" in statements else statements
    return len([sql for sql in work if not sql.startswith(("BEGIN", "SAVEPOINT", "RELEASE"))])


def sync_again(bench: Bench) -> list[Row]:
    """Sync the same people again: no row is rewritten beyond its mark."""
    organization = bench.sandbox.organization(size=5_000)
    integration = bench.connected(organization)
    run_to_its_end(integration)
    before = dict(integration.team.members.values_list("pk", "updated_at"))
    with CaptureQueriesContext(connection) as captured:
        run = run_to_its_end(integration)
    rewritten = sum(
        updated_at != before[pk]
        for pk, updated_at in integration.team.members.values_list("pk", "updated_at")
    )
    upserts = sum('INSERT INTO "integrations_teammember"' in q["sql"] for q in captured)
    assert run.unchanged_count == 5_000
    return [
        Row(
            "sync again with no change: rows rewritten beyond the mark",
            f"{rewritten} of 5,000, {upserts} upserts",
            "0",
            "5,000 (saves every row)",
            rewritten == upserts == 0,
            Samples("rows", 0, [rewritten], [5_000]),
        )
    ]


def queue_to_done(bench: Bench) -> list[Row]:
    """From the click to complete with a real worker, for two sizes."""
    bench.stack.start(["worker", "scheduler"])
    rows = []
    for size, bar_s in ((240, 2), (5_000, 15)):
        integration = bench.connected(bench.sandbox.organization(size=size))
        address = reverse("github_members_sync", args=[integration.team.slug])
        user = admin_of(integration.team)
        with seconds() as taken:
            assert bench.stack.post(address, user=user).status_code == 200
            wait_until(partial(_is_complete, integration), timeout_s=60)
        rows.append(
            Row(
                f"click to complete, {size:,} members, one worker",
                f"{taken[0]:.2f} s",
                f"{bar_s} s",
                "-",
                taken[0] <= bar_s,
                Samples("s", bar_s, taken),
            )
        )
    return rows


def _is_complete(integration: GitHubIntegration) -> bool:
    integration.refresh_from_db()
    return integration.member_sync_status == "complete"


# In this order: a worker would take the runs that the first ones only start.
ALL = (
    clicks,
    transition_to_client,
    first_sync_against_bare_walk,
    first_sync_against_member_by_member,
    bulk_against_row_by_row,
    queries_a_page,
    sync_again,
    memory_of_a_sync,
    webhooks,
    queue_to_done,
    webhook_to_client,
    members_page,
    worker_killed,
    redis_away,
    scale,
    streams,
    load,
    *QUEUES,
    *TWO_WORKERS,
    held_streams,
)
