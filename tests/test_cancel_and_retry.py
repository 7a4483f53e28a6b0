"""A sync ended by hand, and the next one that goes on where it was."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from integrations.constants import (
    RETRY_FROM_PLACE_WITHIN,
    SYNC_STATUS_COMPLETE,
    SYNC_STATUS_ERROR,
    SYNC_STATUS_SYNCING,
)
from integrations.models import GitHubIntegration, SyncRun
from integrations.services import leases, transitions
from integrations.services.member_sync import sync_members
from integrations.services.roster import write_page
from tests.syncing import connect, remove, roster, start, sync, truth, work_on

if TYPE_CHECKING:
    from integrations.models import User
    from tests.sandbox_control import SandboxControl, SandboxOrganization

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def organization(sandbox: SandboxControl) -> SandboxOrganization:
    return sandbox.organization(size=340)


@pytest.fixture
def integration(organization: SandboxOrganization) -> GitHubIntegration:
    return connect(organization)


def stopped_after_two_pages(
    integration: GitHubIntegration, organization: SandboxOrganization
) -> SyncRun:
    """Start a run that waits for GitHub with two pages of four written."""
    organization.fault("primary_rate_limit", kind="graphql", after=2, times=1, seconds=600)
    run = sync(integration)
    assert run.status == SYNC_STATUS_SYNCING
    assert run.page_count == 2
    return run


def member_pages(organization: SandboxOrganization) -> int:
    return sum(call["path"] == "/api/graphql" for call in organization.requests())


class TestCancelling:
    def test_a_worker_finds_out_at_its_next_page_which_is_not_written(
        self,
        integration: GitHubIntegration,
        alice: User,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        run = start(integration)
        lease = transitions.claim(run.pk)
        assert lease is not None
        written: list[object] = []

        def write_and_cancel(lease: leases.Lease, page: object) -> None:
            if written:
                assert transitions.cancel(run, person=alice)
            write_page(lease, page)  # type: ignore[arg-type]
            written.append(page)

        monkeypatch.setattr("integrations.services.member_sync.write_page", write_and_cancel)
        with pytest.raises(leases.LeaseLost):
            sync_members(lease, should_stop=lambda: False)
        run.refresh_from_db()
        integration.refresh_from_db()
        assert (run.status, run.error_code) == (SYNC_STATUS_ERROR, "cancelled")
        assert run.cancelled_by == alice
        assert run.page_count == 1
        assert integration.team.members.count() == 100
        assert integration.member_sync_status == SYNC_STATUS_ERROR

    def test_one_that_waits_ends_at_once(
        self, integration: GitHubIntegration, organization: SandboxOrganization, alice: User
    ) -> None:
        run = stopped_after_two_pages(integration, organization)
        assert transitions.cancel(run, person=alice)
        run.refresh_from_db()
        assert not run.is_active
        assert run.resume_at is None
        asked = len(organization.requests())
        work_on(run)
        assert len(organization.requests()) == asked

    def test_the_second_click_and_an_ended_run_change_nothing(
        self, integration: GitHubIntegration, alice: User
    ) -> None:
        run = sync(integration)
        assert not transitions.cancel(run, person=alice)
        run.refresh_from_db()
        assert run.status == SYNC_STATUS_COMPLETE

    def test_nobody_is_concluded_to_have_left(
        self, integration: GitHubIntegration, organization: SandboxOrganization, alice: User
    ) -> None:
        sync(integration)
        remove(organization, 3)
        run = stopped_after_two_pages(integration, organization)
        transitions.cancel(run, person=alice)
        assert integration.team.members.active().count() == 340


class TestRetrying:
    def test_it_goes_on_from_the_place_of_the_run_that_failed(
        self, integration: GitHubIntegration, organization: SandboxOrganization, alice: User
    ) -> None:
        failed = stopped_after_two_pages(integration, organization)
        transitions.cancel(failed, person=alice)
        asked = member_pages(organization)
        run = sync(integration)
        assert run.status == SYNC_STATUS_COMPLETE
        assert run.continues == failed
        assert member_pages(organization) == asked + 2
        assert run.seen_count == 340
        assert run.created_count == 140
        assert roster(integration) == truth(organization)

    def test_who_left_is_found_over_both_halves(
        self, integration: GitHubIntegration, organization: SandboxOrganization, alice: User
    ) -> None:
        sync(integration)
        gone = remove(organization, 2)
        failed = stopped_after_two_pages(integration, organization)
        transitions.cancel(failed, person=alice)
        run = sync(integration)
        assert run.continues == failed
        assert run.departed_count == len(gone)
        assert roster(integration) == truth(organization)

    def test_a_chain_of_failures_keeps_one_mark(
        self, integration: GitHubIntegration, organization: SandboxOrganization, alice: User
    ) -> None:
        first = stopped_after_two_pages(integration, organization)
        transitions.cancel(first, person=alice)
        organization.fault("primary_rate_limit", kind="graphql", after=1, times=1, seconds=600)
        second = sync(integration)
        transitions.cancel(second, person=alice)
        third = sync(integration)
        assert third.status == SYNC_STATUS_COMPLETE
        assert third.mark == second.mark == first.pk
        assert (third.carried_count, third.created_count) == (300, 40)
        assert third.sweep_blocked_by == ""
        assert roster(integration) == truth(organization)

    def test_skipped_people_stay_a_doubt(
        self, integration: GitHubIntegration, organization: SandboxOrganization, alice: User
    ) -> None:
        organization.fault("null_node", times=1)
        failed = stopped_after_two_pages(integration, organization)
        assert failed.failed_count == 1
        transitions.cancel(failed, person=alice)
        assert sync(integration).sweep_blocked_by == "people_skipped"

    def test_after_a_while_it_begins_again(
        self, integration: GitHubIntegration, organization: SandboxOrganization, alice: User
    ) -> None:
        failed = stopped_after_two_pages(integration, organization)
        transitions.cancel(failed, person=alice)
        SyncRun.objects.update(finished_at=timezone.now() - RETRY_FROM_PLACE_WITHIN)
        run = sync(integration)
        assert run.continues is None
        assert run.page_count == 4

    @pytest.mark.parametrize("change", ["organization", "connection", "reason"])
    def test_of_another_list_no_place_is_taken_over(
        self,
        change: str,
        integration: GitHubIntegration,
        organization: SandboxOrganization,
        alice: User,
    ) -> None:
        failed = stopped_after_two_pages(integration, organization)
        transitions.cancel(failed, person=alice)
        if change == "organization":
            SyncRun.objects.update(organization_id=1)
        elif change == "connection":
            assert integration.credential is not None
            integration.credential.connected_at = timezone.now() + timedelta(seconds=1)
            integration.credential.save()
        else:
            SyncRun.objects.update(error_code="list_stuck")
        assert sync(integration).continues is None

    def test_a_cursor_that_github_forgot_means_the_beginning(
        self, integration: GitHubIntegration, organization: SandboxOrganization, alice: User
    ) -> None:
        failed = stopped_after_two_pages(integration, organization)
        transitions.cancel(failed, person=alice)
        SyncRun.objects.update(cursor="graphql:nonsense")
        run = sync(integration)
        assert run.status == SYNC_STATUS_COMPLETE
        assert run.seen_count == 340
        assert roster(integration) == truth(organization)

    def test_a_list_read_to_its_end_is_not_read_again(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        sync(integration)
        remove(organization, 1)
        about_others = f"/api/v3/orgs/{organization.login}/memberships/"
        organization.fault("secondary_rate_limit", path=about_others, times=1, retry_after=1)
        run = sync(integration)
        assert run.is_active
        asked = member_pages(organization)
        SyncRun.objects.filter(pk=run.pk).update(resume_at=timezone.now())
        work_on(run)
        assert run.status == SYNC_STATUS_COMPLETE
        assert run.departed_count == 1
        assert member_pages(organization) == asked
