"""What operators see of GitHub: counted by real requests to the sandbox."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from integrations.github.webhooks import Payload
from integrations.models import WebhookDelivery
from integrations.ops.github import github_figures, read_inboxes
from integrations.ops.rates import read_past
from integrations.services.webhooks import intake
from integrations.telemetry import processes
from integrations.telemetry.beat import Beat
from integrations.telemetry.counters import counters, read_latest
from integrations.telemetry.processes import Identity
from integrations.telemetry.redis_clients import telemetry_client
from tests.syncing import connect, sync

if TYPE_CHECKING:
    from integrations.ops.figures import GitHubFigures
    from tests.sandbox_control import SandboxOrganization

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _nothing_counted() -> None:
    counters.take()


def figures(*, later: timedelta = timedelta(0)) -> GitHubFigures:
    """Let this process's beat tell what it counted, and put the figures together."""
    Beat(Identity("one", processes.WORKER), dict).tell()
    client = telemetry_client()
    now = timezone.now() + later
    return github_figures(read_past(client), read_latest(client, "budgets"), (), now)


def test_a_sync_s_requests_and_points_are_counted(organization: SandboxOrganization) -> None:
    integration = connect(organization)
    run = sync(integration)
    told = figures()
    assert told.requests_a_minute == len(organization.requests())
    assert told.points_a_minute == run.point_count == 3
    assert told.latency_s is not None
    assert 0 < told.latency_s < 5
    assert told.errors == ()
    budgets = {budget.resource: budget for budget in told.budgets}
    budget = budgets["graphql"]
    assert budget.credential_id == integration.credential_id
    assert (budget.team_slug, budget.github_username) == (
        integration.team.slug,
        organization.owner,
    )
    assert 0 < budget.remaining < budget.limit
    assert 0 < budget.left_percent < 100


def test_a_budget_that_was_reset_since_is_not_shown(organization: SandboxOrganization) -> None:
    sync(connect(organization))
    assert figures().budgets
    assert figures(later=timedelta(hours=2)).budgets == ()


def test_answers_that_refuse_are_counted_by_kind(organization: SandboxOrganization) -> None:
    sync(connect(organization, token="ghp_nobody"))
    assert dict(figures().errors) == {"401": 1}


def test_no_token_is_told(organization: SandboxOrganization) -> None:
    sync(connect(organization))
    figures()
    client = telemetry_client()
    everything = b"".join(key + client.dump(key) for key in client.scan_iter("*"))
    assert b"graphql" in everything
    assert organization.token.encode() not in everything


class TestInboxes:
    def test_those_that_wait_and_failed_are_counted(self) -> None:
        now = timezone.now()
        assert read_inboxes(now).oldest_age_s is None
        for number in range(3):
            payload = Payload("ping", {"zen": "x"})
            intake.store(payload, guid=f"g-{number}", body=b"{}", headers={}, secret_index=0)
        WebhookDelivery.objects.filter(guid="g-0").update(status="failed")
        WebhookDelivery.objects.filter(guid="g-1").update(received_at=now - timedelta(minutes=2))
        told = read_inboxes(now)
        assert (told.pending_count, told.failed_count) == (2, 1)
        assert round(told.oldest_age_s or 0) == 120
