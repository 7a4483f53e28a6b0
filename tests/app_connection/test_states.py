"""What becomes of an installation: suspended, gone, allowed less, renamed (case 19)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse
from django.utils import timezone

from integrations.constants import ConnectionKind, CredentialStatus
from integrations.models import GitHubIntegration, SyncRun
from integrations.services import app_connection, credentials
from tests.factories import GitHubIntegrationFactory
from tests.syncing import sync, work_on
from tests.webhook_deliveries import ADDRESS, person, post, work

if TYPE_CHECKING:
    from django.test import Client

    from integrations.models import Team, User
    from tests.sandbox_control import SandboxControl, SandboxOrganization

pytestmark = pytest.mark.django_db(transaction=True)


class TestStates:
    """Case 19: suspended, deleted, permissions reduced, renamed; by webhook and without one."""

    @pytest.mark.parametrize("by_webhook", [True, False])
    def test_case_19_a_suspension_says_so_and_its_end_goes_on(
        self, browser: Client, connected: GitHubIntegration, club: SandboxOrganization,
        by_webhook: bool,
    ) -> None:  # fmt: skip
        sync(connected)
        installation_id = self.id_of(connected)
        club.change_installation(installation_id, suspended=True)
        if by_webhook:
            deliver(browser, club)
        else:
            assert sync(connected).error_code == "app_suspended"
        connected.refresh_from_db()
        assert "suspended" in connected.member_sync_error
        page = browser.get(reverse("github_connection", args=["acme"])).content.decode()
        assert "Suspended on GitHub" in page
        assert connected.team.members.active().count() == 6
        club.change_installation(installation_id, suspended=False)
        if by_webhook:
            deliver(browser, club)
            assert SyncRun.objects.latest("pk").is_active
            assert work_on(SyncRun.objects.latest("pk")).status == "complete"
        else:
            assert sync(connected).status == "complete"

    @pytest.mark.parametrize("by_webhook", [True, False])
    def test_case_19_an_uninstalled_app_ends_the_connection_and_keeps_the_roster(
        self, browser: Client, connected: GitHubIntegration, club: SandboxOrganization,
        by_webhook: bool,
    ) -> None:  # fmt: skip
        sync(connected)
        club.uninstall(self.id_of(connected))
        if by_webhook:
            deliver(browser, club)
        else:
            assert sync(connected).error_code == "app_uninstalled"
        connected.refresh_from_db()
        assert connected.credential is not None
        assert connected.credential.status == CredentialStatus.REVOKED
        assert credentials.take_notices(timezone.now()) == [connected.credential.pk]
        assert "uninstalled" in connected.member_sync_error
        assert connected.team.members.active().count() == 6

    def test_a_reinstalled_app_is_no_connection_of_the_old_team(
        self, browser: Client, connected: GitHubIntegration, club: SandboxOrganization
    ) -> None:
        club.uninstall(self.id_of(connected))
        club.install()
        deliver(browser, club)
        connected.refresh_from_db()
        assert connected.credential is not None
        assert not connected.credential.is_active

    def test_case_19_without_its_permission_nobody_leaves(
        self, browser: Client, connected: GitHubIntegration, club: SandboxOrganization
    ) -> None:
        sync(connected)
        club.change_installation(self.id_of(connected), permissions={"metadata": "read"})
        run = sync(connected)
        assert run.error_code == "app_permission_missing"
        assert connected.team.members.active().count() == 6
        page = browser.get(reverse("github_connection", args=["acme"])).content.decode()
        assert "Missing:" in page
        granted = {"metadata": "read", "members": "read"}
        club.change_installation(self.id_of(connected), permissions=granted)
        deliver(browser, club)
        assert SyncRun.objects.latest("pk").is_active

    def test_missing_events_are_named(
        self, browser: Client, acme: Team, alice: User, club: SandboxOrganization
    ) -> None:
        installation_id = club.install(events=["repository"])
        app_connection.connect(acme, person=alice, installation_id=installation_id)
        page = browser.get(reverse("github_connection", args=["acme"])).content.decode()
        assert "member, membership, organization" in page

    @pytest.mark.parametrize("by_webhook", [True, False])
    def test_a_renamed_account_is_followed(
        self, browser: Client, connected: GitHubIntegration, club: SandboxOrganization,
        sandbox: SandboxControl, by_webhook: bool,
    ) -> None:  # fmt: skip
        new = f"{club.login}-two"
        sandbox.ask("PATCH", f"organizations/{club.login}", {"login": new})
        if by_webhook:
            for delivery in sandbox.ask("GET", f"deliveries?organization={new}"):
                bring(browser, delivery)
            work()
        else:
            assert sync(connected).status == "complete"
        connected.refresh_from_db()
        assert connected.organization_login == new
        assert connected.credential is not None
        assert connected.credential.github_username == new

    def test_a_revoked_authorisation_ends_a_pair_and_nobody_else_s(
        self, browser: Client, connected: GitHubIntegration, sandbox: SandboxControl
    ) -> None:
        theirs = GitHubIntegrationFactory().credential
        other = GitHubIntegrationFactory().credential
        for credential in (theirs, other):
            credential.kind, credential.refresh_token = ConnectionKind.OAUTH, "ghr_x"
            credential.save()
        payload = {"action": "revoked", "sender": person(theirs.github_user_id)}
        post(browser, "github_app_authorization", payload)
        work()
        theirs.refresh_from_db()
        other.refresh_from_db()
        assert (theirs.is_active, other.is_active) == (False, True)

    def id_of(self, integration: GitHubIntegration) -> int:
        assert integration.credential is not None
        assert integration.credential.installation_id is not None
        return integration.credential.installation_id


def bring(client: Client, delivery: dict[str, Any]) -> None:
    """Bring one delivery that the sandbox recorded to our address."""
    headers = dict(delivery["headers"])
    content_type = headers.pop("Content-Type")
    body = delivery["body"].encode()
    answer = client.post(ADDRESS, data=body, content_type=content_type, headers=headers)
    assert answer.status_code in (200, 202), answer.content


def deliver(client: Client, club: SandboxOrganization) -> None:
    for delivery in club.deliveries():
        bring(client, delivery)
    work()
