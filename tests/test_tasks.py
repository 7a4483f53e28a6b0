"""The actors: a real worker, a real queue, the sandbox GitHub over HTTP."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from integrations import tasks
from integrations.constants import (
    MAX_FRUITLESS_CLAIMS,
    MAX_WAITS,
    SYNC_STATUS_COMPLETE,
    SYNC_STATUS_ERROR,
    SYNC_STATUS_PENDING,
    SYNC_STATUS_SYNCING,
    CredentialStatus,
    DeactivatedBy,
    MemberChangeKind,
    RunTrigger,
)
from integrations.models import GitHubIntegration, MemberChange, SyncRun
from integrations.services import transitions
from integrations.services.member_sync import sync_members
from integrations.services.runs import start_run
from integrations.services.switching import switch_member
from tests.factories import (
    UserFactory,
)
from tests.syncing import connect, resume, roster, start, sync, truth

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox_control import SandboxControl, SandboxOrganization

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def organization(sandbox: SandboxControl) -> SandboxOrganization:
    return sandbox.organization(size=12)


@pytest.fixture
def integration(organization: SandboxOrganization) -> GitHubIntegration:
    return connect(organization)


class TestTheQueue:
    def test_a_worker_takes_the_run_from_click_to_complete(
        self,
        integration: GitHubIntegration,
        organization: SandboxOrganization,
        worker: object,
        wait_until: Callable[..., None],
    ) -> None:
        run = start(integration)
        tasks.sync_github_members_later(run)

        def is_over() -> bool:
            integration.refresh_from_db()
            return integration.member_sync_status == SYNC_STATUS_COMPLETE

        wait_until(is_over, timeout_s=20)
        assert roster(integration) == truth(organization)

    def test_twenty_starts_at_once_make_one_run(self, integration: GitHubIntegration) -> None:
        runs: list[int] = []
        gate = threading.Barrier(20)

        def click() -> None:
            gate.wait()
            try:
                runs.append(start_run(integration, trigger=RunTrigger.MANUAL).run.pk)
            finally:
                connection.close()

        threads = [threading.Thread(target=click) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(runs) == 20
        assert len(set(runs)) == 1
        assert SyncRun.objects.count() == 1

    def test_a_message_that_comes_twice_does_nothing_the_second_time(
        self, integration: GitHubIntegration
    ) -> None:
        run = sync(integration)
        pages = run.page_count
        tasks.sync_github_members_task.fn(run.pk)
        run.refresh_from_db()
        assert run.page_count == pages
        assert run.status == SYNC_STATUS_COMPLETE

    def test_a_message_for_a_run_that_is_no_more_does_nothing(self) -> None:
        tasks.sync_github_members_task.fn(4_711)
        assert not SyncRun.objects.exists()


class TestMemberSync:
    def test_it_sets_syncing_at_the_start(self, integration: GitHubIntegration) -> None:
        run = start(integration)
        integration.refresh_from_db()
        assert integration.member_sync_status == SYNC_STATUS_SYNCING
        assert integration.member_sync_started_at is not None
        assert run.status == SYNC_STATUS_PENDING

    def test_it_sets_complete_with_counts(self, integration: GitHubIntegration) -> None:
        sync(integration)
        assert integration.member_sync_status == SYNC_STATUS_COMPLETE
        assert integration.member_sync_completed_at is not None
        assert integration.member_sync_error == ""
        assert integration.member_sync_result == {
            "created": 12,
            "updated": 0,
            "unchanged": 0,
            "returned": 0,
            "departed": 0,
            "held": 0,
            "failed": 0,
        }

    def test_it_sets_error_with_a_sentence_and_keeps_the_roster(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        sync(integration)
        organization.fault("not_found")
        run = sync(integration)
        assert integration.member_sync_status == SYNC_STATUS_ERROR
        assert "Your roster is as it was." in integration.member_sync_error
        assert run.error_code == "not_a_member"
        assert integration.team.members.active().count() == 12

    def test_the_roster_is_the_truth_whatever_people_are_called(
        self, sandbox: SandboxControl
    ) -> None:
        organization = sandbox.organization(size=240)
        integration = connect(organization)
        run = sync(integration)
        assert roster(integration) == truth(organization)
        assert run.changes.filter(kind=MemberChangeKind.JOINED).count() == 240
        assert run.page_count == 3
        assert run.expected_count == 240

    def test_a_second_sync_finds_what_changed(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        sync(integration)
        people = [m for m in organization.members().values() if m["login"] != organization.owner]
        leaver, renamed, promoted = people[0], people[1], people[2]
        organization.remove(leaver["login"])
        organization.change(renamed["login"], login=f"{renamed['login']}-new")
        organization.change(
            promoted["login"], role="member" if promoted["role"] == "admin" else "admin"
        )
        organization.add(login=f"newcomer-{organization.id}")
        run = sync(integration)
        assert integration.member_sync_result == {
            "created": 1,
            "updated": 2,
            "unchanged": 9,
            "returned": 0,
            "departed": 1,
            "held": 0,
            "failed": 0,
        }
        assert roster(integration) == truth(organization)
        kinds = dict(run.changes.values_list("github_id", "kind"))
        assert kinds[leaver["id"]] == MemberChangeKind.LEFT
        assert kinds[renamed["id"]] == MemberChangeKind.RENAMED
        assert kinds[promoted["id"]] in {MemberChangeKind.PROMOTED, MemberChangeKind.DEMOTED}

    def test_two_people_may_swap_their_logins(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        sync(integration)
        one, other = [
            m for m in organization.members().values() if m["login"] != organization.owner
        ][:2]
        organization.change(one["login"], login="in-between")
        organization.change(other["login"], login=one["login"])
        organization.change("in-between", login=other["login"])
        sync(integration)
        assert roster(integration)[one["id"]]["login"] == other["login"]
        assert roster(integration)[other["id"]]["login"] == one["login"]

    def test_who_returns_comes_back(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        sync(integration)
        person = organization.somebody()
        organization.remove(person["login"])
        sync(integration)
        organization.add(login=person["login"])
        sync(integration)
        assert integration.member_sync_result is not None
        assert integration.member_sync_result["returned"] == 1
        assert person["id"] in roster(integration)
        kinds = MemberChange.objects.filter(github_id=person["id"]).order_by("pk")
        assert list(kinds.values_list("kind", flat=True)) == ["joined", "left", "returned"]

    def test_whom_a_person_switched_off_stays_off(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        sync(integration)
        member = integration.team.members.get(github_id=organization.somebody()["id"])
        switch_member(member, active=False, person=UserFactory())
        sync(integration)
        member.refresh_from_db()
        assert not member.is_active
        assert member.deactivated_by == DeactivatedBy.PERSON

    def test_a_renamed_organisation_is_followed_by_its_id(
        self,
        integration: GitHubIntegration,
        organization: SandboxOrganization,
        sandbox: SandboxControl,
    ) -> None:
        sync(integration)
        renamed = f"{organization.login}-new"
        sandbox.ask("PATCH", f"organizations/{organization.login}", {"login": renamed})
        # The old name is taken by others, where the connection's owner is a member, too.
        taken = {"login": organization.login, "size": 3, "owner": organization.owner}
        sandbox.ask("POST", "organizations", taken)
        run = sync(integration)
        assert run.status == SYNC_STATUS_COMPLETE
        assert integration.organization_login == renamed
        assert run.departed_count == 0
        assert integration.team.members.active().count() == 12

    def test_another_team_with_the_same_organisation_has_a_roster_of_its_own(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        other = connect(organization)
        sync(integration)
        assert not other.team.members.exists()
        sync(other)
        assert roster(other) == roster(integration)

    def test_a_token_without_the_e_mail_scope_still_reads_the_members(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        token = sandbox.token(organization.owner, "read:org")
        integration = connect(organization, token=token)
        sync(integration)
        assert integration.member_sync_status == SYNC_STATUS_COMPLETE
        assert set(roster(integration)) == set(organization.members())

    def test_what_rest_does_not_tell_is_left_as_it_is(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        sync(integration)
        before = roster(integration)
        organization.fault("integration_forbidden", kind="graphql")
        sync(integration)
        assert integration.member_sync_status == SYNC_STATUS_COMPLETE
        assert roster(integration) == before
        assert any("/members" in call["path"] for call in organization.requests())


class TestQueries:
    def _page_queries(self, integration: GitHubIntegration) -> list[str]:
        run = start(integration)
        lease = transitions.claim(run.pk)
        assert lease is not None
        with CaptureQueriesContext(connection) as captured:
            sync_members(lease, should_stop=lambda: False)
        statements = [query["sql"] for query in captured.captured_queries]
        work = [sql for sql in statements if not sql.startswith(("BEGIN", "COMMIT", "SAVEPOINT"))]
        checkpoints = [
            number for number, sql in enumerate(work) if "UPDATE" in sql and '"cursor"' in sql
        ]
        # From the second checkpoint to the third: one whole page, with what was published of it.
        return work[checkpoints[1] + 1 : checkpoints[2] + 1]

    @staticmethod
    def _writing(statements: list[str]) -> list[str]:
        """Leave out what publishing read after the commit."""
        first = next(n for n, sql in enumerate(statements) if "integrations_teammember" in sql)
        return statements[first:]

    def test_a_page_costs_five_at_the_most_new_or_known(self, sandbox: SandboxControl) -> None:
        organization = sandbox.organization(size=400)
        integration = connect(organization)
        first = self._writing(self._page_queries(integration))
        second = self._writing(self._page_queries(integration))
        assert len(first) <= 5, first
        assert len(second) <= 5, second

    def test_an_unchanged_page_rewrites_no_row_beyond_its_mark(
        self, sandbox: SandboxControl
    ) -> None:
        organization = sandbox.organization(size=400)
        integration = connect(organization)
        self._page_queries(integration)
        again = self._writing(self._page_queries(integration))
        writes = [sql for sql in again if sql.startswith(("UPDATE", "INSERT"))]
        [mark] = [sql for sql in writes if "integrations_teammember" in sql]
        assert mark.startswith('UPDATE "integrations_teammember" SET "last_seen_run_id"')
        assert mark.count("=") == 2


class TestErrors:
    @pytest.mark.parametrize(
        ("fault", "params", "code"),
        [
            ("bad_credentials", {}, "bad_credentials"),
            ("sso_required", {"url": "https://github.example/sso?x=1"}, "saml_required"),
            ("integration_forbidden", {}, "permission_missing"),
            ("oauth_app_restricted", {}, "oauth_app_restricted"),
            ("organization_null", {}, "not_found"),
            ("organization_id_changed", {}, "organisation_changed"),
            ("cursor_null", {}, "list_stuck"),
        ],
    )
    def test_what_is_final_ends_the_run_with_its_sentence(
        self,
        fault: str,
        params: dict[str, Any],
        code: str,
        integration: GitHubIntegration,
        organization: SandboxOrganization,
    ) -> None:
        organization.fault(fault, **params)
        run = sync(integration)
        assert run.status == SYNC_STATUS_ERROR
        assert run.error_code == code
        assert integration.member_sync_status == SYNC_STATUS_ERROR
        assert integration.member_sync_error
        assert run.finished_at is not None

    def test_a_refused_token_is_not_used_again(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        organization.fault("bad_credentials")
        sync(integration)
        assert integration.credential is not None
        assert integration.credential.status == CredentialStatus.REVOKED
        count = len(organization.requests())
        run = sync(integration)
        assert run.error_code == "bad_credentials"
        assert len(organization.requests()) == count

    def test_github_s_own_link_mends_saml(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        organization.fault("sso_required", url="https://github.example/sso?x=1")
        assert sync(integration).error_url == "https://github.example/sso?x=1"

    def test_a_link_with_a_secret_in_it_is_not_kept(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        organization.fault("sso_required", url=f"https://github.example/sso?x={organization.token}")
        run = sync(integration)
        assert (run.error_code, run.error_url) == ("saml_required", "")

    @pytest.mark.parametrize(
        "fault",
        ["server_error", "garbage", "truncated_json", "drop_connection", "something_went_wrong",
         "unauthorized_sporadic"],
    )  # fmt: skip
    def test_what_may_pass_is_tried_again_and_then_works(
        self, fault: str, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        organization.fault(fault, times=1, kind="graphql")
        run = start(integration)
        tasks.sync_github_members_task.fn(run.pk)
        run.refresh_from_db()
        if run.status != SYNC_STATUS_COMPLETE:
            assert run.resume_at is not None
            assert run.lease_token is None
            resume(run)
        assert run.status == SYNC_STATUS_COMPLETE
        assert set(roster(integration)) == set(organization.members())

    def test_what_does_not_pass_ends_after_so_many_tries(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        organization.fault("server_error", status=500, kind="graphql")
        run = start(integration)
        tasks.sync_github_members_task.fn(run.pk)
        tries = 1
        while run.is_active:
            resume(run)
            tries += 1
        assert tries == MAX_FRUITLESS_CLAIMS
        assert run.error_code == "github_unavailable"

    def test_a_night_waits_out_an_outage_for_some_hours(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        organization.fault("server_error", status=503, kind="graphql")
        run = start_run(integration, trigger=RunTrigger.SCHEDULE).run
        tasks.sync_github_members_task.fn(run.pk)
        pauses = []
        while True:
            run.refresh_from_db()
            if not run.is_active:
                break
            assert run.lease_token is None
            assert run.resume_at is not None
            pauses.append(run.resume_at - timezone.now())
            resume(run)
        assert sum(pause > timedelta(minutes=9) for pause in pauses) == MAX_WAITS
        assert sum(pauses, timedelta()) > timedelta(hours=3)
        assert run.error_code == "github_unavailable"

    def test_a_night_goes_on_once_github_is_back(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        organization.fault("server_error", status=503, kind="graphql", times=MAX_FRUITLESS_CLAIMS)
        run = start_run(integration, trigger=RunTrigger.SCHEDULE).run
        tasks.sync_github_members_task.fn(run.pk)
        run.refresh_from_db()
        while run.is_active:
            resume(run)
            run.refresh_from_db()
        assert run.status == SYNC_STATUS_COMPLETE
        assert run.wait_count == 1
        assert set(roster(integration)) == set(organization.members())

    def test_our_own_fault_says_so_and_is_raised(
        self, integration: GitHubIntegration, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def divide(*_: object) -> float:
            return 1 / 0

        monkeypatch.setattr("integrations.services.departures.judge", divide)
        run = start(integration)
        with pytest.raises(ZeroDivisionError):
            tasks.sync_github_members_task.fn(run.pk)
        run.refresh_from_db()
        assert (run.status, run.error_code) == (SYNC_STATUS_ERROR, "internal_error")
        assert integration.team.members.count() == 12

    def test_a_token_that_no_key_reads_says_reconnect(self, integration: GitHubIntegration) -> None:
        assert integration.credential is not None
        integration.credential.encrypted_access_token = "garbage"
        integration.credential.save(update_fields=["encrypted_access_token"])
        assert sync(integration).error_code == "credential_unreadable"
