"""Cases 1 to 3, 7 to 14, 16, 27 and 31: lists that lie, break off, or are somebody else's."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from integrations.constants import SYNC_STATUS_COMPLETE, SYNC_STATUS_ERROR
from integrations.models import SyncRun
from integrations.services import connection, leases, transitions
from integrations.services.member_sync import sync_members
from integrations.services.switching import switch_member
from tests.hard_cases.checks import all_are_there, graphql_calls
from tests.syncing import connect, remove, resume, roster, start, sync, truth, work_on

if TYPE_CHECKING:
    from integrations.models import GitHubIntegration, User
    from tests.sandbox_control import SandboxControl, SandboxOrganization

pytestmark = pytest.mark.django_db(transaction=True)


def test_case_01_an_owner_who_left_is_shown_public_members_and_nobody_leaves(
    synced: GitHubIntegration, organization: SandboxOrganization
) -> None:
    organization.fault("public_only")
    run = sync(synced)
    assert (run.status, run.error_code) == (SYNC_STATUS_ERROR, "not_a_member")
    assert all_are_there(synced)


def test_case_01_an_owner_who_leaves_during_the_walk_is_noticed_at_its_end(
    synced: GitHubIntegration, organization: SandboxOrganization
) -> None:
    remove(organization, 2)
    organization.fault("public_only", after=2)
    run = sync(synced)
    assert run.departed_count == 0
    assert run.error_code == "not_a_member" or run.sweep_blocked_by
    assert all_are_there(synced)


def test_case_01_public_members_only_in_between_are_nobody_to_decide_about(
    synced: GitHubIntegration, organization: SandboxOrganization
) -> None:
    organization.fault("public_only", kind="graphql")
    run = sync(synced)
    assert (run.status, run.sweep_blocked_by) == (SYNC_STATUS_COMPLETE, "list_disputed")
    assert (run.departed_count, run.held_count) == (0, 0)
    assert all_are_there(synced)


@pytest.mark.parametrize("fault", ["organization_null", "not_found"])
@pytest.mark.parametrize("after", [0, 1])
def test_case_02_an_organisation_that_is_not_there_is_no_empty_one(
    fault: str, after: int, synced: GitHubIntegration, organization: SandboxOrganization
) -> None:
    organization.fault(fault, kind="graphql", after=after)
    run = sync(synced)
    assert (run.status, run.error_code) == (SYNC_STATUS_ERROR, "not_found")
    assert all_are_there(synced)


def test_case_03_a_run_that_dies_in_the_middle_concludes_nothing_and_goes_on(
    synced: GitHubIntegration, organization: SandboxOrganization
) -> None:
    [gone] = remove(organization, 1)
    organization.fault("primary_rate_limit", kind="graphql", after=1, times=1, seconds=2400)
    run = sync(synced)
    assert run.page_count == 1
    assert all_are_there(synced)
    asked = graphql_calls(organization)
    resume(run)
    assert graphql_calls(organization) == asked + 1
    assert not synced.team.members.get(github_username=gone).is_active
    assert roster(synced) == truth(organization)


@pytest.mark.parametrize("error_type", ["RATE_LIMITED", "RATE_LIMIT"])
def test_case_07_an_answer_of_200_that_says_rate_limited_is_a_wait(
    error_type: str, integration: GitHubIntegration, organization: SandboxOrganization
) -> None:
    organization.fault("graphql_rate_limited", times=1, seconds=90, error_type=error_type)
    run = sync(integration)
    assert run.resume_at is not None
    assert timedelta(seconds=80) < run.resume_at - timezone.now() <= timedelta(seconds=92)
    resume(run)
    assert roster(integration) == truth(organization)


def test_case_08_of_a_page_with_a_forbidden_node_the_rest_is_used(
    synced: GitHubIntegration, organization: SandboxOrganization
) -> None:
    added = organization.add()
    [gone] = remove(organization, 1)
    organization.fault("forbidden_node", times=1)
    run = sync(synced)
    assert run.status == SYNC_STATUS_COMPLETE
    assert (run.failed_count, run.sweep_blocked_by) == (1, "people_skipped")
    assert added["id"] in roster(synced)
    assert synced.team.members.get(github_username=gone).is_active


@pytest.mark.parametrize("fault", ["null_edge", "null_node", "null_database_id"])
def test_case_09_a_null_is_nobody_and_blocks_departures(
    fault: str, synced: GitHubIntegration, organization: SandboxOrganization
) -> None:
    remove(organization, 1)
    organization.fault(fault, times=1)
    run = sync(synced)
    assert (run.status, run.sweep_blocked_by) == (SYNC_STATUS_COMPLETE, "people_skipped")
    assert (run.failed_count, run.departed_count) == (1, 0)
    assert all_are_there(synced)
    assert sync(synced).departed_count == 1


@pytest.mark.parametrize("fault", ["too_big_502", "resource_limits_exceeded"])
def test_case_10_a_page_that_is_too_big_is_halved_from_the_same_cursor(
    fault: str, integration: GitHubIntegration, organization: SandboxOrganization
) -> None:
    organization.fault(fault, above=25)
    run = sync(integration)
    assert (run.status, run.page_size) == (SYNC_STATUS_COMPLETE, 25)
    assert roster(integration) == truth(organization)


def test_case_11_something_went_wrong_with_200_is_tried_again(
    integration: GitHubIntegration, organization: SandboxOrganization
) -> None:
    organization.fault("something_went_wrong", times=1)
    run = sync(integration)
    if run.is_active:
        resume(run)
    assert run.status == SYNC_STATUS_COMPLETE
    assert roster(integration) == truth(organization)


@pytest.mark.parametrize(
    ("fault", "params"),
    [("cursor_stuck", {}), ("cursor_null", {}), ("empty_page", {"advance": False})],
)
def test_case_12_a_cursor_that_does_not_move_ends_after_one_repeat(
    fault: str,
    params: dict[str, bool],
    synced: GitHubIntegration,
    organization: SandboxOrganization,
) -> None:
    asked = graphql_calls(organization)
    organization.fault(fault, **params)
    run = sync(synced)
    assert (run.status, run.error_code) == (SYNC_STATUS_ERROR, "list_stuck")
    assert graphql_calls(organization) - asked <= 4
    assert all_are_there(synced)


def test_case_13_somebody_on_two_pages_is_one_person(
    integration: GitHubIntegration, organization: SandboxOrganization
) -> None:
    organization.fault("duplicate_member")
    run = sync(integration)
    assert run.created_count == integration.team.members.count() == 120
    assert roster(integration) == truth(organization)


def test_case_13_somebody_between_two_pages_is_asked_about_and_stays(
    synced: GitHubIntegration, organization: SandboxOrganization
) -> None:
    organization.fault("missing_member", index=5, times=1)
    run = sync(synced)
    assert (run.status, run.departed_count) == (SYNC_STATUS_COMPLETE, 0)
    assert all_are_there(synced)


def test_case_14_a_switch_by_hand_during_a_run_is_not_undone_by_it(
    synced: GitHubIntegration, organization: SandboxOrganization, alice: User
) -> None:
    organization.fault("primary_rate_limit", kind="graphql", after=1, times=1, seconds=60)
    run = sync(synced)
    members = synced.team.members
    seen = members.filter(last_seen_run_id=run.pk).first()
    unseen = members.exclude(last_seen_run_id=run.pk).first()
    assert seen is not None
    assert unseen is not None
    for member in (seen, unseen):
        switch_member(member, active=False, person=alice)
    resume(run)
    for member in (seen, unseen):
        member.refresh_from_db()
        assert not member.is_active


def test_case_16_another_organisation_under_the_old_name_is_not_read(
    synced: GitHubIntegration, organization: SandboxOrganization
) -> None:
    organization.fault("organization_id_changed")
    run = sync(synced)
    assert (run.status, run.error_code) == (SYNC_STATUS_ERROR, "organisation_changed")
    assert all_are_there(synced)


def test_case_16_a_renamed_organisation_is_followed_by_its_id(
    synced: GitHubIntegration, organization: SandboxOrganization, sandbox: SandboxControl
) -> None:
    renamed = f"{organization.login}-renamed"
    sandbox.ask("PATCH", f"organizations/{organization.login}", {"login": renamed})
    assert sync(synced).status == SYNC_STATUS_COMPLETE
    assert synced.organization_login == renamed
    assert all_are_there(synced)


def test_case_23_a_dead_worker_s_page_is_not_written_by_its_ghost(
    integration: GitHubIntegration,
) -> None:
    run = start(integration)
    ghost = transitions.claim(run.pk)
    assert ghost is not None
    SyncRun.objects.filter(pk=run.pk).update(lease_expires_at=timezone.now())
    work_on(run)
    assert run.status == SYNC_STATUS_COMPLETE
    with pytest.raises(leases.LeaseLost):
        sync_members(ghost, should_stop=lambda: False)
    assert all_are_there(integration)


def test_case_27_only_organisations_of_the_person_can_be_chosen(
    synced: GitHubIntegration, sandbox: SandboxControl
) -> None:
    stranger = sandbox.organization(size=3)
    with pytest.raises(connection.NotYourOrganization):
        connection.choose_organization(synced, stranger.id)


def test_case_31_somebody_only_invited_is_no_member_and_an_expired_invitation_no_departure(
    synced: GitHubIntegration, organization: SandboxOrganization
) -> None:
    invited = organization.add(state="pending")
    run = sync(synced)
    assert (run.created_count, run.departed_count) == (0, 0)
    assert invited["id"] not in roster(synced)


def test_case_32_who_leaves_one_of_two_organisations_stays_in_the_other(
    synced: GitHubIntegration, organization: SandboxOrganization, sandbox: SandboxControl
) -> None:
    other = sandbox.organization(size=3)
    somebody = organization.somebody()
    other.add(login=somebody["login"])
    second = connect(other)
    sync(second)
    organization.remove(somebody["login"])
    assert sync(synced).departed_count == 1
    sync(second)
    assert somebody["id"] in roster(second)
    assert somebody["id"] not in roster(synced)
