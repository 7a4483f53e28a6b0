"""Which installation it is: choosing among several, and waiting for an owner's approval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from integrations.models import (
    GitHubIntegration,
    InstallationRequest,
    IntegrationCredential,
    SyncRun,
)
from tests.app_connection.walking import come_back, sign_in, words
from tests.webhook_deliveries import ADDRESS, work

if TYPE_CHECKING:
    from django.test import Client

    from integrations.models import Team, User
    from tests.sandbox_control import SandboxControl, SandboxOrganization

pytestmark = pytest.mark.django_db(transaction=True)


class TestChoosing:
    def find(self, browser: Client, login: str) -> Any:
        answer = browser.post(reverse("github_app_find", args=["acme"]))
        return sign_in(browser, answer["Location"], login)

    def test_the_only_one_is_connected_at_once(
        self, browser: Client, acme: Team, club: SandboxOrganization
    ) -> None:
        club.install()
        self.find(browser, club.owner)
        assert acme.credential.installation_id

    def test_of_several_one_is_chosen_and_no_other_can_be(
        self, browser: Client, acme: Team, sandbox: SandboxControl, club: SandboxOrganization
    ) -> None:
        other = sandbox.organization(size=3, owner=club.owner)
        foreign = sandbox.organization(size=3)
        ids = {club.login: club.install(), other.login: other.install()}
        answer = self.find(browser, club.owner)
        address = reverse("github_select_installation", args=["acme"])
        assert answer["Location"] == address
        assert all(login in browser.get(address).content.decode() for login in ids)
        for forged in (str(foreign.install()), "", "x"):
            assert browser.post(address, {"installation_id": forged}).status_code == 400
        assert not IntegrationCredential.objects.exists()
        browser.post(address, {"installation_id": ids[other.login]})
        assert acme.credential.github_username == other.login
        # The list was good for one choice.
        answer = browser.post(address, {"installation_id": ids[club.login]})
        assert answer["Location"] == reverse("onboarding_connect", args=["acme"])

    def test_case_35_another_organisation_than_before_is_asked_about(
        self, browser: Client, connected: GitHubIntegration, sandbox: SandboxControl
    ) -> None:
        other = sandbox.organization(size=3)
        answer = come_back(browser, other.owner, installation_id=other.install())
        connected.refresh_from_db()
        assert connected.organization_id != other.id
        assert "Another organisation replaces it" in words(browser, answer)
        before = connected.organization_id
        browser.get(reverse("github_members", args=["acme"]))
        connected.refresh_from_db()
        assert connected.organization_id == before

    def test_with_none_it_says_why(self, browser: Client, club: SandboxOrganization) -> None:
        answer = self.find(browser, club.owner)
        assert "installed on no organisation that you own" in words(browser, answer)


class TestWaitingForApproval:
    def ask(self, browser: Client, club: SandboxOrganization) -> str:
        member = club.somebody()["login"]
        come_back(browser, member, installation_id="", action="request")
        return str(member)

    def deliver(self, client: Client, club: SandboxOrganization) -> None:
        """Bring what the sandbox recorded to our address, as it would over the network."""
        for delivery in club.deliveries():
            headers = dict(delivery["headers"])
            client.post(
                ADDRESS,
                data=delivery["body"].encode(),
                content_type=headers.pop("Content-Type"),
                headers=headers,
            )
        work()

    def test_case_35_a_request_approved_days_later_connects_the_team(
        self, browser: Client, acme: Team, club: SandboxOrganization
    ) -> None:
        member = self.ask(browser, club)
        assert acme.installation_request.github_username == member
        page = browser.get(reverse("onboarding_connect", args=["acme"])).content.decode()
        assert "Waiting for approval" in page
        installation_id = club.install(requester=member)
        self.deliver(browser, club)
        assert acme.credential.installation_id == installation_id
        assert not InstallationRequest.objects.exists()
        assert SyncRun.objects.get().trigger == "webhook"

    def test_who_asked_can_check_again_when_the_webhook_never_came(
        self, browser: Client, acme: Team, club: SandboxOrganization
    ) -> None:
        member = self.ask(browser, club)
        installation_id = club.install(requester=member)
        answer = browser.post(reverse("github_app_find", args=["acme"]))
        sign_in(browser, answer["Location"], member)
        assert acme.credential.installation_id == installation_id

    def test_an_installation_that_somebody_else_asked_for_connects_nobody(
        self, browser: Client, club: SandboxOrganization
    ) -> None:
        self.ask(browser, club)
        club.install(requester=club.owner)
        self.deliver(browser, club)
        assert not IntegrationCredential.objects.exists()

    def test_who_is_no_admin_of_the_team_any_more_is_not_waited_for(
        self, browser: Client, alice: User, club: SandboxOrganization
    ) -> None:
        member = self.ask(browser, club)
        alice.memberships.update(role="member")
        club.install(requester=member)
        self.deliver(browser, club)
        assert not IntegrationCredential.objects.exists()

    def test_it_can_be_withdrawn(self, browser: Client, club: SandboxOrganization) -> None:
        self.ask(browser, club)
        browser.post(reverse("github_app_request_withdraw", args=["acme"]))
        assert not InstallationRequest.objects.exists()
