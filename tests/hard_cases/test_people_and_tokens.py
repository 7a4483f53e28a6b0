"""Cases 15, 17, 19, 21, 26, 28 to 30, 34, 36 and 37: who people are, and what tokens become of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integrations.constants import (
    SYNC_STATUS_COMPLETE,
    SYNC_STATUS_ERROR,
    CredentialStatus,
    DeactivatedBy,
)
from integrations.github.http import derive_graphql_url
from integrations.live.fragments import member_sync_event
from integrations.models import HeldDeparture
from integrations.services.switching import switch_member
from tests.factories import TeamMemberFactory
from tests.hard_cases.checks import all_are_there, graphql_calls
from tests.syncing import connect, remove, resume, roster, start, sync, truth

if TYPE_CHECKING:
    from integrations.models import GitHubIntegration, User
    from tests.sandbox_control import SandboxControl, SandboxOrganization

pytestmark = pytest.mark.django_db(transaction=True)


def test_case_15_three_people_hand_their_logins_round_in_one_run(
    synced: GitHubIntegration, organization: SandboxOrganization
) -> None:
    first, second, third = list(organization.members().values())[1:4]
    organization.change(first["login"], login="parked-for-a-moment")
    organization.change(second["login"], login=first["login"])
    organization.change(third["login"], login=second["login"])
    organization.change("parked-for-a-moment", login=third["login"])
    run = sync(synced)
    assert (run.updated_count, run.created_count, run.departed_count) == (3, 0, 0)
    assert roster(synced) == truth(organization)


def test_case_17_a_token_revoked_in_the_middle_stops_at_once_and_is_not_used_again(
    synced: GitHubIntegration, organization: SandboxOrganization
) -> None:
    organization.fault("bad_credentials", after=2)
    asked = len(organization.requests())
    run = sync(synced)
    assert (run.status, run.error_code) == (SYNC_STATUS_ERROR, "bad_credentials")
    assert len(organization.requests()) - asked <= 4
    asked = len(organization.requests())
    assert sync(synced).error_code == "bad_credentials"
    assert len(organization.requests()) == asked
    assert synced.credential is not None
    synced.credential.refresh_from_db()
    assert synced.credential.status == CredentialStatus.REVOKED
    assert synced.credential.notify_at is not None
    assert all_are_there(synced)


def test_case_17_a_401_without_bad_credentials_revokes_nothing(
    integration: GitHubIntegration, organization: SandboxOrganization
) -> None:
    organization.fault("unauthorized_sporadic", times=1, kind="graphql")
    run = sync(integration)
    if run.is_active:
        resume(run)
    assert run.status == SYNC_STATUS_COMPLETE
    assert roster(integration) == truth(organization)


@pytest.mark.parametrize(
    ("fault", "code"),
    [("integration_forbidden", "permission_missing"), ("oauth_app_restricted", None)],
)
def test_case_19_rights_taken_away_in_the_middle_keep_the_roster(
    fault: str, code: str | None, synced: GitHubIntegration, organization: SandboxOrganization
) -> None:
    organization.fault(fault, after=1)
    run = sync(synced)
    assert run.status == SYNC_STATUS_ERROR
    assert run.error_code == (code or fault)
    assert all_are_there(synced)


def test_case_21_two_runs_that_need_a_fresh_token_spend_one_refresh(
    organization: SandboxOrganization, sandbox: SandboxControl
) -> None:
    integration = connect(organization)
    pair = sandbox.pair(organization.owner, expires_in_s=0)
    credential = integration.credential
    assert credential is not None
    credential.access_token, credential.refresh_token = pair["token"], pair["refresh_token"]
    credential.save()
    run = start(integration)
    run.refresh_from_db()
    again = sync(integration)
    assert again.is_active
    first = type(credential).objects.get(pk=credential.pk).refreshed_at
    resume(again)
    assert again.status == SYNC_STATUS_COMPLETE
    assert type(credential).objects.get(pk=credential.pk).refreshed_at == first


def test_case_26_e_mails_need_not_be_unique_nor_there(
    integration: GitHubIntegration, organization: SandboxOrganization
) -> None:
    logins = [one["login"] for one in list(organization.members().values())[1:6]]
    emails = ["same@example.com", "SAME@example.com", "same@example.com", "",
              "1+x@users.noreply.github.com"]  # fmt: skip
    for login, email in zip(logins, emails, strict=True):
        organization.change(login, email=email)
    TeamMemberFactory(team=integration.team, github_id=1, email="same@example.com", is_active=False)
    assert sync(integration).status == SYNC_STATUS_COMPLETE
    assert roster(integration) == truth(organization)


def test_case_28_a_switch_by_hand_survives_and_only_the_sync_s_own_is_undone(
    synced: GitHubIntegration, organization: SandboxOrganization, alice: User
) -> None:
    by_hand = synced.team.members.get(github_id=organization.somebody()["id"])
    switch_member(by_hand, active=False, person=alice)
    [gone] = [one for one in remove(organization, 2) if one != by_hand.github_username]
    sync(synced)
    organization.add(login=gone)
    organization.add(login=by_hand.github_username)
    run = sync(synced)
    assert run.returned_count == 1
    by_hand.refresh_from_db()
    assert (by_hand.is_active, by_hand.deactivated_by) == (False, DeactivatedBy.PERSON)


def test_case_29_a_mass_departure_is_held_by_name_while_the_rest_lands(
    synced: GitHubIntegration, organization: SandboxOrganization
) -> None:
    gone, added = remove(organization, 60), organization.add()
    run = sync(synced)
    assert (run.held_count, run.departed_count, run.created_count) == (60, 0, 1)
    held = HeldDeparture.objects.values_list("member__github_username", flat=True)
    assert set(held) == set(gone)
    assert added["id"] in roster(synced)


def test_case_30_two_of_three_who_left_are_no_mass_departure(sandbox: SandboxControl) -> None:
    tiny = sandbox.organization(size=3)
    integration = connect(tiny)
    sync(integration)
    remove(tiny, 2)
    run = sync(integration)
    assert (run.departed_count, run.held_count) == (2, 0)
    assert roster(integration) == truth(tiny)


def test_case_34_a_github_without_limits_tells_none_and_is_read_all_the_same(
    integration: GitHubIntegration, organization: SandboxOrganization
) -> None:
    organization.fault("no_ratelimit_headers")
    assert sync(integration).status == SYNC_STATUS_COMPLETE
    assert roster(integration) == truth(organization)
    assert graphql_calls(organization) == 2


@pytest.mark.parametrize(
    ("api", "graphql"),
    [
        ("https://api.github.com", "https://api.github.com/graphql"),
        ("https://ghes.example/api/v3", "https://ghes.example/api/graphql"),
        ("https://api.corp.ghe.com", "https://api.corp.ghe.com/graphql"),
    ],
)
def test_case_34_graphql_s_address_follows_from_the_api_s(api: str, graphql: str) -> None:
    assert derive_graphql_url(api) == graphql


@pytest.mark.parametrize(
    "name", ["x" * 600, "\u202eRTL", "👩🏽‍💻", "nul\0nul", "<img src=x onerror=alert(1)>", None]
)
def test_case_36_names_are_words_however_they_look(
    name: str | None, integration: GitHubIntegration, organization: SandboxOrganization
) -> None:
    organization.change(organization.somebody()["login"], name=name)
    run = sync(integration)
    assert run.status == SYNC_STATUS_COMPLETE
    assert roster(integration) == truth(organization)


def test_case_36_a_hostile_organisation_name_is_words_in_the_stream(
    integration: GitHubIntegration,
) -> None:
    run = sync(integration)
    integration.organization_login = "<script>alert(1)</script>"
    event = member_sync_event(integration, run)
    assert "<script>" not in event.data


def test_case_37_a_token_that_no_key_reads_says_reconnect(
    synced: GitHubIntegration,
) -> None:
    assert synced.credential is not None
    synced.credential.encrypted_access_token = "gAAAAA-of-another-key"
    synced.credential.save()
    run = sync(synced)
    assert (run.status, run.error_code) == (SYNC_STATUS_ERROR, "credential_unreadable")
    assert all_are_there(synced)
