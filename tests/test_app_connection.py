"""The GitHub App: installing it, whose it is, what it may read, and what becomes of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from django.urls import reverse
from django.utils import timezone

from integrations.constants import ConnectionKind, CredentialStatus, MemberChangeKind
from integrations.models import (
    GitHubIntegration,
    InstallationRequest,
    IntegrationCredential,
    MemberChange,
    SyncRun,
)
from integrations.services import app_connection, connection, credentials
from tests.factories import GitHubIntegrationFactory
from tests.syncing import resume, roster, sync, work_on
from tests.webhook_deliveries import ADDRESS, person, post, work

if TYPE_CHECKING:
    from django.test import Client

    from integrations.models import Team, User
    from tests.sandbox_control import SandboxControl, SandboxOrganization

pytestmark = pytest.mark.django_db(transaction=True)

SETUP = "/github/setup/"


@pytest.fixture
def club(sandbox: SandboxControl) -> SandboxOrganization:
    return sandbox.organization(size=6)


@pytest.fixture
def connected(acme: Team, alice: User, club: SandboxOrganization) -> GitHubIntegration:
    """Acme, connected by the App on the club."""
    return app_connection.connect(acme, person=alice, installation_id=club.install())


@pytest.fixture
def browser(client: Client, alice: User) -> Client:
    client.force_login(alice)
    # The sandbox leads back to addresses of this machine only.
    client.defaults["HTTP_HOST"] = "localhost"
    return client


def state_of(location: str) -> str:
    return parse_qs(urlsplit(location).query)["state"][0]


def begin(browser: Client) -> str:
    """Press "Install the GitHub App"; return the state that GitHub keeps for us."""
    answer = browser.post(reverse("github_app_install", args=["acme"]))
    assert answer.status_code == 302
    assert "/apps/rollcall-sandbox/installations/new" in answer["Location"]
    return state_of(answer["Location"])


def sign_in(browser: Client, to_github: str, login: str) -> Any:
    """Say yes on GitHub's sign-in page as somebody, and follow back to us."""
    asked = {name: values[0] for name, values in parse_qs(urlsplit(to_github).query).items()}
    consent = requests.post(
        to_github.partition("?")[0],
        data={**asked, "login": login, "action": "authorize"},
        allow_redirects=False,
        timeout=30,
    )
    back = urlsplit(consent.headers["Location"])
    return browser.get(f"{back.path}?{back.query}")


def come_back(
    browser: Client, login: str, *, installation_id: int | str, action: str = "install"
) -> Any:
    """Come back from GitHub's installation page, and sign in there as somebody."""
    params: dict[str, Any] = {
        "state": begin(browser),
        "setup_action": action,
        "installation_id": installation_id,
    }
    to_github = browser.get(SETUP, params)
    assert to_github.status_code == 302, to_github.content
    return sign_in(browser, to_github["Location"], login)


def words(browser: Client, answer: Any) -> str:
    """Return what the page that an answer leads to says, without its markup."""
    page = browser.get(answer["Location"], follow=True).content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


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


class TestOneInterface:
    def test_moving_from_oauth_to_the_app_and_back_keeps_roster_and_history(
        self, acme: Team, alice: User, club: SandboxOrganization
    ) -> None:
        integration = connection.connect_with_token(acme, person=alice, token=club.token)
        connection.choose_organization(integration, club.id)
        sync(integration)
        before = set(acme.members.values_list("pk", "github_id"))
        app_connection.connect(acme, person=alice, installation_id=club.install())
        integration = GitHubIntegration.objects.get(team=acme)
        assert sync(integration).departed_count == 0
        connection.connect_with_token(acme, person=alice, token=club.token)
        integration = GitHubIntegration.objects.get(team=acme)
        assert integration.credential is not None
        assert integration.credential.installation_id is None
        assert sync(integration).departed_count == 0
        assert set(acme.members.values_list("pk", "github_id")) == before
        kinds = MemberChange.objects.filter(team=acme).values_list("kind", flat=True)
        assert set(kinds) == {MemberChangeKind.JOINED}
        assert SyncRun.objects.count() == 3

    def test_disconnecting_ends_the_token_and_leaves_the_app(
        self, browser: Client, connected: GitHubIntegration, sandbox: SandboxControl
    ) -> None:
        assert connected.credential is not None
        token = connected.credential.access_token
        browser.post(reverse("github_disconnect", args=["acme"]))
        headers = {"Authorization": f"Bearer {token}", "User-Agent": "test"}
        address = f"{sandbox.url}/api/v3/installation/repositories"
        assert requests.get(address, headers=headers, timeout=30).status_code == 401
        assert not IntegrationCredential.objects.exists()

    def test_the_pages_say_what_it_is(self, browser: Client, connected: GitHubIntegration) -> None:
        page = browser.get(reverse("github_connection", args=["acme"])).content.decode()
        assert "GitHub App" in page
        assert "members: read" in page
        assert browser.get(reverse("github_select_org", args=["acme"])).status_code == 200
        assert browser.get(reverse("github_members", args=["acme"])).status_code == 200


class TestTokens:
    """Case 18, and the App's own sign-in: case 20."""

    def test_case_18_one_that_runs_out_is_replaced_before_it_does(
        self, connected: GitHubIntegration
    ) -> None:
        credential = connected.credential
        assert credential is not None
        before = credential.access_token
        credential.expires_at = timezone.now()
        credential.save()
        assert sync(connected).status == "complete"
        credential.refresh_from_db()
        assert credential.access_token != before

    def test_case_18_a_refused_one_is_replaced_once(
        self, connected: GitHubIntegration, sandbox: SandboxControl
    ) -> None:
        assert connected.credential is not None
        sandbox.revoke(connected.credential.access_token)
        run = sync(connected)
        assert run.status == "syncing"
        resume(run)
        run.refresh_from_db()
        assert run.status == "complete"

    def test_it_is_encrypted_and_shown_nowhere(
        self, browser: Client, connected: GitHubIntegration
    ) -> None:
        assert connected.credential is not None
        token = connected.credential.access_token
        assert token.startswith("ghs_")
        assert token not in connected.credential.encrypted_access_token
        for name in ("github_connection", "github_members", "onboarding_connect"):
            assert token not in browser.get(reverse(name, args=["acme"])).content.decode()

    @pytest.mark.parametrize(("offset_s", "works"), [(50, True), (-50, True), (4_000, False)])
    def test_case_20_a_wrong_clock_is_named(
        self, connected: GitHubIntegration, sandbox: SandboxControl, offset_s: int, works: bool
    ) -> None:
        sandbox.change_app(clock_offset_s=offset_s)
        try:
            run = sync(connected)
        finally:
            sandbox.change_app(clock_offset_s=0)
        assert run.error_code == ("" if works else "app_clock_wrong")
        assert connected.credential is not None
        assert connected.credential.is_active

    def test_a_key_that_is_not_the_app_s_is_the_operator_s_to_mend(
        self, connected: GitHubIntegration, settings: Any
    ) -> None:
        settings.GITHUB_APP_ID = "999999"
        run = sync(connected)
        assert run.error_code == "app_refused"
        connected.refresh_from_db()
        assert connected.credential is not None
        assert connected.credential.is_active

    def test_an_app_that_is_gone_from_the_settings_is_said(
        self, connected: GitHubIntegration, settings: Any
    ) -> None:
        settings.GITHUB_APP_CONFIGURED = False
        assert sync(connected).error_code == "app_not_configured"


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
