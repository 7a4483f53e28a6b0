"""Webhooks: how fast the address answers, and how fast ten thousand deliveries move a roster."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import requests
from django.urls import reverse
from django.utils import timezone

from integrations import tasks
from integrations.constants import MemberChangeKind, RunTrigger
from integrations.github import rest
from integrations.github.http import GitHubClient
from integrations.models import MemberChange, TeamMember, WebhookDelivery, WebhookInbox
from integrations.services import app_connection, transitions
from integrations.services.runs import start_run
from tests.bench.table import Row, Samples, percentile
from tests.bench.viewers import viewer
from tests.factories import TeamFactory, UserFactory

if TYPE_CHECKING:
    from integrations.models import GitHubIntegration, SyncRun
    from tests.bench.rows import Bench
    from tests.live.sse import SseEvent
    from tests.sandbox_control import SandboxOrganization

MEMBER_COUNT = 2_000
DELIVERY_COUNT = 10_000
NAIVE_COUNT = 100
SENDERS = 4
WATCHED_COUNT = 40


def webhooks(bench: Bench) -> list[Row]:
    """Bring what GitHub recorded, all at once, and compare the roster with a full read."""
    organization = bench.sandbox.organization(size=MEMBER_COUNT)
    person = UserFactory()
    integration = app_connection.connect(
        TeamFactory(), person=person, installation_id=organization.install()
    )
    _read_in_full(integration)
    _stir(organization)
    deliveries = organization.deliveries()[-DELIVERY_COUNT:]
    answered = _bring(bench, deliveries)
    inbox = WebhookInbox.objects.get(account_id=organization.id)
    begun = time.perf_counter()
    while WebhookDelivery.objects.filter(inbox=inbox, status="pending").exists():
        tasks.apply_webhooks_task.fn(inbox.pk)
    per_s = len(deliveries) / (time.perf_counter() - begun)
    heard = _roster(integration)
    run = _read_in_full(integration)
    corrected = run.created_count + run.returned_count + run.departed_count
    is_same = heard == _roster(integration) == set(organization.members()) and not corrected
    naive_ms = _naive(bench, integration, deliveries[:NAIVE_COUNT])
    naive_per_s = 1000 * len(naive_ms) / sum(naive_ms)
    p95 = percentile(answered, 95)
    return [
        Row(
            f"a webhook is answered (p95), {SENDERS} at once",
            f"{p95:.0f} ms",
            "100 ms",
            f"{percentile(naive_ms, 95):.0f} ms to apply it first, before any HTTP",
            p95 <= 100,
            Samples("ms", 100, answered, naive_ms),
        ),
        Row(
            f"{DELIVERY_COUNT:,} deliveries drained",
            f"{per_s:,.0f}/s",
            "500/s",
            f"{naive_per_s:,.0f}/s (one by one)",
            per_s >= 500,
            Samples("a second", 500, [per_s], [naive_per_s], is_floor=True),
        ),
        Row(
            "what a full read then corrects",
            f"{corrected} of {len(heard):,} people" if is_same else "ANOTHER ROSTER",
            "0",
            "-",
            is_same,
        ),
    ]


def webhook_to_client(bench: Bench) -> list[Row]:
    """From GitHub's request to the event on an open page, with the worker that runs by now."""
    organization = bench.sandbox.organization(size=12)
    integration = app_connection.connect(
        TeamFactory(), person=UserFactory(), installation_id=organization.install()
    )
    _read_in_full(integration)
    lags = []
    with viewer(bench, integration.team) as client:
        for _ in range(WATCHED_COUNT):
            organization.add()
            delivery = organization.deliveries()[-1]
            client.forget()
            begun = time.perf_counter()
            _bring(bench, [delivery])
            joined = client.wait_for("roster", timeout_s=10)
            lags.append((joined.at - begun) * 1000)
            # Their name and e-mail follow, and must not pass for the next one.
            client.wait_for("roster", timeout_s=10, where=partial(_is_after, joined))
    p95 = percentile(lags, 95)
    return [
        Row(
            "GitHub's webhook to the open page (p95)",
            f"{p95:.0f} ms",
            "1,000 ms",
            "hours (the nightly read)",
            p95 <= 1_000,
            Samples("ms", 1_000, lags),
        )
    ]


def _is_after(earlier: SseEvent, event: SseEvent) -> bool:
    return event.revision > earlier.revision


def _stir(organization: SandboxOrganization) -> None:
    """Let people come and go until there are enough deliveries."""
    added = [organization.add()["login"] for _ in range(DELIVERY_COUNT * 6 // 10)]
    for login in added[: DELIVERY_COUNT - len(added)]:
        organization.remove(login)


def _bring(bench: Bench, deliveries: list[dict[str, Any]]) -> list[float]:
    """Post the deliveries to the running server, several at once; return milliseconds."""
    address = f"{bench.stack.url}{reverse('github_webhooks_receive')}"

    def bring(mine: list[dict[str, Any]]) -> list[float]:
        taken = []
        with requests.Session() as session:
            for delivery in mine:
                begun = time.perf_counter()
                answer = session.post(
                    address,
                    data=delivery["body"].encode(),
                    headers=delivery["headers"],
                    timeout=30,
                )
                taken.append((time.perf_counter() - begun) * 1000)
                assert answer.status_code == 202, answer.text
        return taken

    with ThreadPoolExecutor(SENDERS) as pool:
        parts = pool.map(bring, [deliveries[number::SENDERS] for number in range(SENDERS)])
        return [one for part in parts for one in part]


def _read_in_full(integration: GitHubIntegration) -> SyncRun:
    run = start_run(integration, trigger=RunTrigger.COMMAND).run
    while run.is_active:
        tasks.sync_github_members_task.fn(run.pk)
        run.refresh_from_db()
    return run


def _roster(integration: GitHubIntegration) -> set[int]:
    active = TeamMember.objects.active().filter(team=integration.team_id)
    return set(active.values_list("github_id", flat=True))


def _naive(
    bench: Bench, integration: GitHubIntegration, deliveries: list[dict[str, Any]]
) -> list[float]:
    """Apply each delivery as it comes, before it is answered; return the milliseconds of each.

    Three queries a row, and the person read from a GitHub that takes 20 ms.
    """
    client = GitHubClient(token="ghp_sandbox_owner", api_url=f"{bench.slow_sandbox.url}/api/v3")
    taken = []
    for delivery in deliveries:
        begun = time.perf_counter()
        payload = json.loads(delivery["body"])
        user = payload["membership"]["user"]
        rest.viewer(client)
        TeamMember.objects.update_or_create(
            team=integration.team,
            github_id=user["id"],
            defaults={
                "github_username": user["login"],
                "is_active": payload["action"] == "member_added",
                "updated_at": timezone.now(),
            },
            create_defaults={
                "github_username": user["login"],
                "joined_at": timezone.now(),
                "updated_at": timezone.now(),
            },
        )
        MemberChange.objects.create(
            team=integration.team,
            github_id=user["id"],
            github_username=user["login"],
            kind=MemberChangeKind.UPDATED,
            at=timezone.now(),
        )
        transitions.roster_changed(integration)
        taken.append((time.perf_counter() - begun) * 1000)
    return taken
