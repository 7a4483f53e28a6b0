"""Installing the App: who connects a team by it, and who doesn't (case 35)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from django.urls import reverse

from integrations.constants import ConnectionKind
from integrations.models import GitHubIntegration, IntegrationCredential, SyncRun
from tests.app_connection.walking import SETUP, begin, come_back, sign_in, state_of, words
from tests.syncing import roster, sync

if TYPE_CHECKING:
    from django.test import Client

    from integrations.models import Team, User
    from tests.sandbox_control import SandboxControl, SandboxOrganization

pytestmark = pytest.mark.django_db(transaction=True)


class TestInstalling:
    def test_an_owner_installs_and_the_first_sync_starts(
        self, browser: Client, acme: Team, club: SandboxOrganization
    ) -> None:
        installation_id = club.install()
        answer = come_back(browser, club.owner, installation_id=installation_id)
        assert answer["Location"] == reverse("onboarding_repositories", args=["acme"])
        credential = IntegrationCredential.objects.get(team=acme)
        assert credential.kind == ConnectionKind.APP
        assert credential.installation_id == installation_id
        assert credential.github_username == club.login
        integration = GitHubIntegration.objects.get(team=acme)
        assert integration.organization_id == club.id
        assert SyncRun.objects.get().trigger == "onboarding"
        integration = GitHubIntegration.objects.get(team=acme)
        SyncRun.objects.all().delete()
        GitHubIntegration.objects.update(member_sync_status="pending")
        assert sync(integration).status == "complete"
        truth = club.members()
        assert set(roster(integration)) == set(truth)

    def test_the_person_s_own_token_is_not_kept(
        self, browser: Client, sandbox: SandboxControl, club: SandboxOrganization
    ) -> None:
        come_back(browser, club.owner, installation_id=club.install())
        report = sandbox.ask("GET", "requests")
        calls = [one for one in report["requests"] if one["path"].endswith("/user/installations")]
        theirs = {calls[-1]["token"]}
        assert theirs
        for token in theirs:
            headers = {"Authorization": f"Bearer {token}", "User-Agent": "test"}
            asked = requests.get(f"{sandbox.url}/api/v3/user", headers=headers, timeout=30)
            assert asked.status_code == 401

    def test_case_35_a_spoofed_installation_links_nobody(
        self, browser: Client, acme: Team, sandbox: SandboxControl, club: SandboxOrganization
    ) -> None:
        """An attacker who owns something else types the id of the club's installation."""
        elsewhere = sandbox.organization(size=3)
        elsewhere.install()
        answer = come_back(browser, elsewhere.owner, installation_id=club.install())
        assert not IntegrationCredential.objects.exists()
        assert not GitHubIntegration.objects.filter(organization_id=club.id).exists()
        assert "on no organisation that you own" in words(browser, answer)

    def test_a_plain_member_is_not_promoted_by_what_an_owner_installed(
        self, browser: Client, club: SandboxOrganization
    ) -> None:
        """The App is shown the invited and outside collaborators; a member is not."""
        member = next(one["login"] for one in club.members().values() if one["role"] == "member")
        installation_id = club.install()
        come_back(browser, member, installation_id=installation_id)
        assert not IntegrationCredential.objects.exists()
        answer = browser.post(reverse("github_app_find", args=["acme"]))
        sign_in(browser, answer["Location"], member)
        assert not IntegrationCredential.objects.exists()

    def test_case_35_an_outside_collaborator_links_nothing(
        self, browser: Client, sandbox: SandboxControl, club: SandboxOrganization
    ) -> None:
        """GitHub lists an installation to who reaches a repository; they are no member."""
        guest = f"guest-{club.id}"
        sandbox.ask("POST", "people", {"login": guest})
        sandbox.ask("POST", f"organizations/{club.login}/guests", {"login": guest})
        come_back(browser, guest, installation_id=club.install())
        assert not IntegrationCredential.objects.exists()

    @pytest.mark.parametrize("given", ["", "0", "-1", "x", "9" * 40, "\u0663"])
    def test_an_installation_that_is_no_number_links_nothing(
        self, browser: Client, club: SandboxOrganization, given: str
    ) -> None:
        answer = come_back(browser, club.owner, installation_id=given)
        assert not IntegrationCredential.objects.exists()
        assert answer.status_code == 302

    @pytest.mark.parametrize("state", ["", "guessed"])
    def test_case_35_a_setup_that_nobody_started_here_is_ignored(
        self, browser: Client, club: SandboxOrganization, state: str
    ) -> None:
        begin(browser)
        params: dict[str, Any] = {
            "state": state,
            "setup_action": "install",
            "installation_id": club.install(),
        }
        answer = browser.get(SETUP, params)
        assert answer["Location"] == "/"
        assert not IntegrationCredential.objects.exists()

    def test_case_35_a_state_is_good_once(self, browser: Client, club: SandboxOrganization) -> None:
        params: dict[str, Any] = {"state": begin(browser), "installation_id": club.install()}
        assert "login/oauth/authorize" in browser.get(SETUP, params)["Location"]
        assert browser.get(SETUP, params)["Location"] == "/"

    def test_case_35_the_state_of_an_installation_is_none_of_a_sign_in(
        self, browser: Client, club: SandboxOrganization
    ) -> None:
        state = begin(browser)
        answer = browser.get("/github/callback/", {"state": state, "code": "abc"})
        assert answer["Location"] == "/"

    def test_cancelling_on_github_connects_nothing(
        self, browser: Client, club: SandboxOrganization
    ) -> None:
        params: dict[str, Any] = {"state": begin(browser), "installation_id": club.install()}
        state = state_of(browser.get(SETUP, params)["Location"])
        answer = browser.get("/github/callback/", {"error": "access_denied", "state": state})
        assert "You cancelled on GitHub" in words(browser, answer)
        assert not IntegrationCredential.objects.exists()

    def test_who_is_no_admin_any_more_connects_nothing(
        self, browser: Client, alice: User, club: SandboxOrganization
    ) -> None:
        params: dict[str, Any] = {"state": begin(browser), "installation_id": club.install()}
        alice.memberships.update(role="member")
        assert browser.get(SETUP, params).status_code == 404

    def test_a_personal_account_has_no_members(
        self, browser: Client, sandbox: SandboxControl, club: SandboxOrganization
    ) -> None:
        made = sandbox.ask("POST", "installations", {"person": club.owner})
        come_back(browser, club.owner, installation_id=made["id"])
        assert not IntegrationCredential.objects.exists()

    def test_without_an_app_the_addresses_are_not_there(
        self, browser: Client, settings: Any
    ) -> None:
        settings.GITHUB_APP_CONFIGURED = False
        assert browser.get(SETUP).status_code == 404
        assert browser.post(reverse("github_app_install", args=["acme"])).status_code == 404
        page = browser.get(reverse("onboarding_connect", args=["acme"])).content.decode()
        assert "Install the GitHub App" not in page

    def test_a_member_of_the_team_may_not(self, client: Client, bob: User) -> None:
        client.force_login(bob)
        for name in ("github_app_install", "github_app_find", "github_app_request_withdraw"):
            assert client.post(reverse(name, args=["acme"])).status_code == 403
