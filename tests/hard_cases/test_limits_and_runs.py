"""Cases 4 to 6 and 22 to 25: limits, second starts, deaths, and a queue that is away."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from integrations import tasks
from integrations.constants import (
    SYNC_STATUS_COMPLETE,
    SYNC_STATUS_ERROR,
    SYNC_STATUS_SYNCING,
    RunTrigger,
)
from integrations.live.cards import MemberSyncCard
from integrations.models import SyncRun
from integrations.services import recovery, schedule, transitions
from integrations.services.runs import start_run
from tests.hard_cases.checks import graphql_calls
from tests.syncing import resume, roster, start, sync, truth

if TYPE_CHECKING:
    from django.test import Client

    from integrations.models import GitHubIntegration, User
    from tests.processes import Valkey
    from tests.sandbox_control import SandboxOrganization

pytestmark = pytest.mark.django_db(transaction=True)


def wait_of(run: SyncRun) -> timedelta:
    assert run.resume_at is not None
    return run.resume_at - timezone.now()


@pytest.mark.parametrize(
    ("fault", "params"),
    [
        ("primary_rate_limit", {"seconds": 2400}),
        ("primary_rate_limit_429", {"seconds": 2400}),
        ("secondary_rate_limit", {"retry_after": 2400}),
        ("secondary_rate_limit", {"retry_after": 2400, "status": 429}),
        ("graphql_secondary", {"retry_after": 2400}),
        ("graphql_rate_limited", {"seconds": 2400}),
    ],
)
def test_case_04_a_wait_of_forty_minutes_is_a_row_and_no_sleeping_worker(
    fault: str,
    params: dict[str, Any],
    integration: GitHubIntegration,
    organization: SandboxOrganization,
) -> None:
    organization.fault(fault, kind="graphql", after=1, times=1, **params)
    began_at = timezone.now()
    run = sync(integration)
    assert timezone.now() - began_at < timedelta(seconds=20)
    assert timedelta(minutes=39) < wait_of(run) <= timedelta(minutes=40, seconds=2)
    card = MemberSyncCard.of(integration)
    assert (card.state, card.seen_count) == ("waiting", 100)
    assert (card.wait_reason, card.is_trying_again) == ("rate_limited", False)
    assert run.is_active
    assert run.page_count == 1
    assert run.lease_token is None
    assert integration.member_sync_status == SYNC_STATUS_SYNCING
    assert integration.team.members.count() == 100
    assert recovery.take_runs_to_send(timezone.now()) == []
    resume(run)
    assert run.status == SYNC_STATUS_COMPLETE
    assert roster(integration) == truth(organization)


@pytest.mark.parametrize("fault", ["secondary_rate_limit", "graphql_secondary"])
def test_case_05_a_secondary_limit_without_a_figure_waits_a_minute_and_then_longer(
    fault: str, integration: GitHubIntegration, organization: SandboxOrganization
) -> None:
    organization.fault(fault, kind="graphql")
    run = sync(integration)
    waits = [wait_of(run)]
    for _ in range(2):
        resume(run)
        waits.append(wait_of(run))
    for wait, minutes in zip(waits, (1, 2, 4), strict=True):
        assert timedelta(seconds=-5) < wait - timedelta(minutes=minutes) <= timedelta(0)
    assert run.fruitless_claim_count == 0


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_case_06_a_reset_beside_a_5xx_is_no_hour_s_wait(
    status: int, integration: GitHubIntegration, organization: SandboxOrganization
) -> None:
    organization.fault("server_error", kind="graphql", status=status)
    run = sync(integration)
    # A 502 or 504 halves the page, down to another way of asking.
    assert run.is_active or status in {502, 504}
    assert not run.is_active or wait_of(run) < timedelta(seconds=10)
    assert run.wait_count == 0
    if run.is_active:
        card = MemberSyncCard.of(integration)
        assert (card.wait_reason, card.is_trying_again) == ("github_unavailable", True)


@pytest.mark.parametrize("_again", range(5))
def test_case_22_click_night_and_wizard_at_once_are_one_run(
    integration: GitHubIntegration, _again: int
) -> None:
    integration.next_sync_at = timezone.now() - timedelta(minutes=1)
    integration.save()
    gate = threading.Barrier(6)

    def begin(number: int) -> None:
        gate.wait()
        try:
            if number % 3 == 0:
                schedule.start_due(timezone.now())
            else:
                trigger = RunTrigger.MANUAL if number % 3 == 1 else RunTrigger.ONBOARDING
                start_run(integration, trigger=trigger)
        finally:
            connection.close()

    threads = [threading.Thread(target=begin, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert integration.runs.count() == 1


def test_case_23_a_killed_worker_s_run_goes_on_and_does_not_spin_for_ever(
    integration: GitHubIntegration, organization: SandboxOrganization
) -> None:
    run = start(integration)
    for _ in range(6):
        assert transitions.claim(run.pk) is not None
        assert recovery.take_runs_to_send(timezone.now()) == []
        SyncRun.objects.filter(pk=run.pk).update(lease_expires_at=timezone.now())
    [due] = recovery.take_runs_to_send(timezone.now())
    assert due.pk == run.pk
    tasks.sync_github_members_task.fn(run.pk)
    run.refresh_from_db()
    assert (run.status, run.error_code) == (SYNC_STATUS_ERROR, "gave_up")
    assert graphql_calls(organization) == 0


def test_case_24_a_sync_that_ended_before_the_page_subscribed_is_on_the_page(
    integration: GitHubIntegration, client: Client, alice: User
) -> None:
    sync(integration)
    client.force_login(integration.team.memberships.create(user=alice, role="admin").user)
    page = client.get(reverse("github_members", args=[integration.team.slug]))
    assert 'data-state="complete"' in page.content.decode()
    integration.team.refresh_from_db()
    assert f'data-live-revision="{integration.team.revision}"' in page.content.decode()


def test_case_25_a_queue_that_is_away_leaves_nothing_syncing(
    integration: GitHubIntegration, valkey: Valkey
) -> None:
    valkey.kill()
    run = start(integration)
    with pytest.raises(tasks.QueueUnreachable):
        tasks.sync_github_members_later(run)
    integration.refresh_from_db()
    assert integration.member_sync_status != SYNC_STATUS_SYNCING
    run.refresh_from_db()
    assert run.error_code == "queue_unreachable"
