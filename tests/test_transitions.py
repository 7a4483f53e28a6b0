"""Leases, waits and moves: who may write to a run, and what is written down of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from integrations import tasks
from integrations.constants import (
    CLOCKS_APART_MAX,
    LEASE_LENGTH,
    MAX_FRUITLESS_CLAIMS,
    SYNC_STATUS_COMPLETE,
    SYNC_STATUS_PENDING,
    SYNC_STATUS_SYNCING,
)
from integrations.models import GitHubIntegration, StatusTransition, SyncRun
from integrations.services import leases, recovery, transitions
from integrations.services.member_sync import sync_members
from tests.syncing import connect, resume, start, sync

if TYPE_CHECKING:
    from tests.sandbox_control import SandboxControl, SandboxOrganization

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def organization(sandbox: SandboxControl) -> SandboxOrganization:
    return sandbox.organization(size=12)


@pytest.fixture
def integration(organization: SandboxOrganization) -> GitHubIntegration:
    return connect(organization)


class TestWaiting:
    def test_a_wait_does_not_count_as_a_try(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        organization.fault("secondary_rate_limit", kind="graphql", retry_after=1)
        run = sync(integration)
        for _ in range(MAX_FRUITLESS_CLAIMS + 1):
            resume(run)
        assert run.is_active
        assert run.fruitless_claim_count == 0
        assert run.wait_count == MAX_FRUITLESS_CLAIMS + 2


class TestLease:
    def test_two_workers_cannot_hold_one_run(self, integration: GitHubIntegration) -> None:
        run = start(integration)
        assert transitions.claim(run.pk) is not None
        assert transitions.claim(run.pk) is None

    def test_a_lease_from_before_the_clock_was_set_back_holds_nobody_up(
        self, integration: GitHubIntegration
    ) -> None:
        run = start(integration)
        assert transitions.claim(run.pk) is not None
        ahead = timezone.now() + timedelta(hours=1)
        rows = SyncRun.objects.filter(pk=run.pk)
        rows.update(lease_expires_at=ahead, resend_at=ahead, enqueued_at=ahead)
        assert [due.pk for due in recovery.take_runs_to_send(timezone.now())] == [run.pk]
        assert transitions.claim(run.pk) is not None

    def test_a_lease_by_a_clock_a_little_ahead_holds(self, integration: GitHubIntegration) -> None:
        run = start(integration)
        assert transitions.claim(run.pk) is not None
        SyncRun.objects.filter(pk=run.pk).update(
            lease_expires_at=timezone.now() + LEASE_LENGTH + CLOCKS_APART_MAX / 2
        )
        assert transitions.claim(run.pk) is None

    def test_a_dead_worker_s_run_goes_on_from_its_checkpoint(self, sandbox: SandboxControl) -> None:
        organization = sandbox.organization(size=240)
        integration = connect(organization)
        run = start(integration)
        dead = transitions.claim(run.pk)
        assert dead is not None
        # It wrote one page, and then its slice ended without a word.
        asked = iter([True])
        sync_members(dead, should_stop=lambda: next(asked))
        assert transitions.claim(run.pk) is not None
        SyncRun.objects.filter(pk=run.pk).update(lease_expires_at=timezone.now())
        [due] = recovery.take_runs_to_send(timezone.now())
        tasks.sync_github_members_task.fn(due.pk)
        run.refresh_from_db()
        assert run.status == SYNC_STATUS_COMPLETE
        assert run.created_count == 240
        assert run.page_count == 3
        graphql = [call for call in organization.requests() if call["kind"] == "graphql"]
        assert len(graphql) == 3

    def test_whoever_lost_the_lease_writes_nothing_more(self, sandbox: SandboxControl) -> None:
        organization = sandbox.organization(size=240)
        integration = connect(organization)
        run = start(integration)
        slow = transitions.claim(run.pk)
        assert slow is not None
        SyncRun.objects.filter(pk=run.pk).update(lease_expires_at=timezone.now())
        assert transitions.claim(run.pk) is not None
        with pytest.raises(leases.LeaseLost):
            sync_members(slow, should_stop=lambda: False)
        assert not integration.team.members.exists()

    def test_a_run_claimed_in_vain_too_often_ends(self, integration: GitHubIntegration) -> None:
        run = start(integration)
        for _ in range(MAX_FRUITLESS_CLAIMS):
            assert transitions.claim(run.pk) is not None
            SyncRun.objects.filter(pk=run.pk).update(lease_expires_at=timezone.now())
        tasks.sync_github_members_task.fn(run.pk)
        run.refresh_from_db()
        assert run.error_code == "gave_up"


class TestTransitions:
    def test_every_move_is_a_row_and_revisions_are_consecutive(
        self, sandbox: SandboxControl
    ) -> None:
        organization = sandbox.organization(size=240)
        integration = connect(organization)
        run = sync(integration)
        moves = list(
            StatusTransition.objects.filter(run=run).values_list(
                "from_status", "to_status", "revision"
            )
        )
        assert [(before, after) for before, after, _ in moves] == [
            (SYNC_STATUS_PENDING, SYNC_STATUS_PENDING),
            (SYNC_STATUS_PENDING, SYNC_STATUS_SYNCING),
            (SYNC_STATUS_SYNCING, SYNC_STATUS_COMPLETE),
        ]
        revisions = [revision for *_, revision in moves]
        integration.team.refresh_from_db()
        # Between them one for the first page, and for each of the two others that came late enough
        # after the one before to be told: that is up to the machine.
        assert revisions[:2] == [1, 2]
        assert 4 <= revisions[2] <= 6
        assert integration.team.revision == revisions[2]

    def test_an_ended_run_cannot_end_again(self, integration: GitHubIntegration) -> None:
        run = sync(integration)
        assert not transitions.fail(run, "disconnected")
        integration.refresh_from_db()
        assert integration.member_sync_status == SYNC_STATUS_COMPLETE

    def test_an_unknown_count_is_refused_by_name(self, integration: GitHubIntegration) -> None:
        lease = transitions.claim(start(integration).pk)
        assert lease is not None
        with pytest.raises(ValueError, match="created_count"):
            leases.checkpoint(
                lease, counts={"made_count": 1}, cursor="", page_size=100, expected_count=None
            )
