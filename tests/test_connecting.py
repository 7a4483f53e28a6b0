"""Connecting, choosing and disconnecting, with the sandbox answering for GitHub over HTTP."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from integrations.constants import ConnectionKind, RunTrigger, TeamRole
from integrations.github import rest
from integrations.github.errors import BadCredentials
from integrations.github.http import GitHubClient
from integrations.models import GitHubIntegration, IntegrationCredential, SyncRun
from integrations.services import connection
from integrations.views import oauth_state
from tests.factories import GitHubIntegrationFactory, TrackedRepositoryFactory

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django import Settings

    from integrations.models import Team, User
    from tests.sandbox_control import SandboxControl, SandboxOrganization

pytestmark = pytest.mark.django_db

CALLBACK = "http://testserver/github/callback/"
SCOPES = "read:org user:email repo"


@pytest.fixture
def organization(sandbox: SandboxControl) -> SandboxOrganization:
    return sandbox.organization(size=5)


@pytest.fixture
def admin(client: Client, alice: User) -> Client:
    """A browser in which Alice is signed in."""
    client.force_login(alice)
    return client


def said(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def begin(client: Client, team: Team) -> dict[str, str]:
    """Click "Connect with GitHub" and return what GitHub's page is asked with."""
    response = client.post(reverse("github_connect", args=[team.slug]))
    assert response.status_code == 302
    query = urlsplit(response.headers["Location"]).query
    return {name: values[0] for name, values in parse_qs(query).items()}


def consent(asked: dict[str, str], organization: SandboxOrganization, scope: str = SCOPES) -> str:
    """Let the organisation's owner consent at the sandbox; return the code."""
    made = organization.control.ask(
        "POST",
        "codes",
        {
            "login": organization.owner,
            "scope": scope,
            "redirect_uri": asked["redirect_uri"],
            "code_challenge": asked["code_challenge"],
        },
    )
    return str(made["code"])


class TestOAuth:
    def test_it_asks_with_state_and_a_challenge(
        self, admin: Client, acme: Team, settings: Settings
    ) -> None:
        response = admin.post(reverse("github_connect", args=[acme.slug]))
        assert response.headers["Location"].startswith(
            f"{settings.GITHUB_URL}/login/oauth/authorize?"
        )
        asked = begin(admin, acme)
        assert asked["redirect_uri"] == CALLBACK
        assert asked["code_challenge_method"] == "S256"
        assert len(asked["state"]) >= 32
        assert set(asked["scope"].split()) == {"read:org", "user:email", "repo"}

    def test_it_connects_and_goes_on_to_the_organisations(
        self, admin: Client, acme: Team, alice: User, organization: SandboxOrganization
    ) -> None:
        asked = begin(admin, acme)
        code = consent(asked, organization)
        response = admin.get("/github/callback/", {"state": asked["state"], "code": code})
        assert response.headers["Location"] == reverse("github_select_org", args=[acme.slug])
        credential = IntegrationCredential.objects.get(team=acme)
        assert credential.kind == ConnectionKind.OAUTH
        assert credential.github_username == organization.owner
        assert credential.connected_by == alice
        assert credential.scope_set == {"read:org", "user:email", "repo"}

    def test_a_state_works_once(
        self, admin: Client, acme: Team, organization: SandboxOrganization
    ) -> None:
        asked = begin(admin, acme)
        answer = {"state": asked["state"], "code": consent(asked, organization)}
        admin.get("/github/callback/", answer)
        again = admin.get("/github/callback/", answer)
        assert "doesn't belong to a connection you just started" in said(again)

    @pytest.mark.parametrize("state", ["", "made-up", "x" * 500, "é"])
    def test_a_state_of_somebody_else_connects_nothing(
        self, state: str, admin: Client, acme: Team
    ) -> None:
        begin(admin, acme)
        response = admin.get("/github/callback/", {"state": state, "code": "abc"})
        assert response.headers["Location"] == reverse("home")
        assert "doesn't belong to a connection you just started" in said(response)
        assert not IntegrationCredential.objects.exists()

    def test_a_state_is_good_for_ten_minutes(self, admin: Client, acme: Team) -> None:
        asked = begin(admin, acme)
        session = admin.session
        attempt = session[oauth_state.SESSION_KEY]
        session[oauth_state.SESSION_KEY] = attempt | {"started_at_s": int(time.time()) - 601}
        session.save()
        response = admin.get("/github/callback/", {"state": asked["state"], "code": "abc"})
        assert "doesn't belong" in said(response)

    def test_it_belongs_to_the_browser_that_began(
        self, client: Client, admin: Client, acme: Team, alice: User
    ) -> None:
        asked = begin(admin, acme)
        admin.logout()
        client.force_login(alice)
        response = client.get("/github/callback/", {"state": asked["state"], "code": "abc"})
        assert "doesn't belong" in said(response)

    def test_whoever_is_no_admin_any_more_connects_nothing(
        self, admin: Client, acme: Team, alice: User
    ) -> None:
        asked = begin(admin, acme)
        alice.memberships.update(role=TeamRole.MEMBER)
        response = admin.get("/github/callback/", {"state": asked["state"], "code": "abc"})
        assert response.status_code == 404

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            ("access_denied", "You cancelled on GitHub"),
            ("application_suspended", "suspended"),
            ("redirect_uri_mismatch", "registered"),
            ("something_new", "didn't complete the connection"),
        ],
    )
    def test_each_error_that_github_redirects_with_has_its_sentence(
        self, error: str, words: str, admin: Client, acme: Team
    ) -> None:
        asked = begin(admin, acme)
        response = admin.get("/github/callback/", {"state": asked["state"], "error": error})
        assert response.headers["Location"] == reverse("onboarding_connect", args=[acme.slug])
        assert words in said(response)

    def test_a_code_that_was_used_already_says_so(
        self, admin: Client, acme: Team, organization: SandboxOrganization
    ) -> None:
        asked = begin(admin, acme)
        code = consent(asked, organization)
        admin.get("/github/callback/", {"state": asked["state"], "code": code})
        again = begin(admin, acme)
        response = admin.get("/github/callback/", {"state": again["state"], "code": code})
        assert "used already or came too late" in said(response)

    def test_a_code_of_another_attempt_fails_the_challenge(
        self, admin: Client, acme: Team, organization: SandboxOrganization
    ) -> None:
        code = consent(begin(admin, acme), organization)
        asked = begin(admin, acme)
        response = admin.get("/github/callback/", {"state": asked["state"], "code": code})
        assert "used already or came too late" in said(response)
        assert not IntegrationCredential.objects.exists()

    def test_a_wrong_secret_of_ours_says_so(
        self,
        admin: Client,
        acme: Team,
        organization: SandboxOrganization,
        settings: Settings,
    ) -> None:
        settings.GITHUB_CLIENT_SECRET = "wrong"
        asked = begin(admin, acme)
        code = consent(asked, organization)
        response = admin.get("/github/callback/", {"state": asked["state"], "code": code})
        assert "doesn't accept this server's OAuth app" in said(response)

    def test_fewer_scopes_than_needed_connect_nothing(
        self, admin: Client, acme: Team, organization: SandboxOrganization
    ) -> None:
        asked = begin(admin, acme)
        code = consent(asked, organization, scope="user:email")
        response = admin.get("/github/callback/", {"state": asked["state"], "code": code})
        assert "right to read members" in said(response)
        assert not IntegrationCredential.objects.exists()

    def test_a_github_that_is_away_says_so(
        self, admin: Client, acme: Team, settings: Settings
    ) -> None:
        asked = begin(admin, acme)
        settings.GITHUB_URL = "http://127.0.0.1:1"
        response = admin.get("/github/callback/", {"state": asked["state"], "code": "abc"})
        assert "GitHub didn't answer properly" in said(response)

    def test_without_an_oauth_app_it_points_to_the_token(
        self, admin: Client, acme: Team, settings: Settings
    ) -> None:
        settings.GITHUB_CLIENT_ID = ""
        response = admin.post(reverse("github_connect", args=[acme.slug]))
        assert response.headers["Location"] == reverse("onboarding_connect", args=[acme.slug])
        assert "Use a token instead" in said(response)


class TestToken:
    def test_a_good_one_connects(
        self, admin: Client, acme: Team, organization: SandboxOrganization
    ) -> None:
        address = reverse("github_connect_token", args=[acme.slug])
        response = admin.post(address, {"token": f"  {organization.token}\n"})
        assert response.headers["Location"] == reverse("github_select_org", args=[acme.slug])
        credential = IntegrationCredential.objects.get(team=acme)
        assert credential.kind == ConnectionKind.TOKEN
        assert credential.access_token == organization.token

    @pytest.mark.parametrize(
        ("token", "words"),
        [
            ("ghp_nobody", "GitHub doesn&#x27;t accept this token"),
            ("ghp_sandbox_none", "right to read members"),
            ("", "required"),
            ("x" * 300, "at most 255"),
        ],
    )
    def test_a_bad_one_says_why_and_is_not_shown_again(
        self, token: str, words: str, admin: Client, acme: Team
    ) -> None:
        address = reverse("github_connect_token", args=[acme.slug])
        response = admin.post(address, {"token": token})
        assert response.status_code == 400
        assert words in response.content.decode()
        assert not token or token not in response.content.decode()
        assert not IntegrationCredential.objects.exists()

    def test_a_new_one_replaces_the_old_and_keeps_the_rest(
        self, admin: Client, acme: Team, organization: SandboxOrganization
    ) -> None:
        integration = GitHubIntegrationFactory(team=acme)
        connected = connection.connect_with_token(
            acme, person=acme.memberships.get().user, token=organization.token
        )
        assert connected.pk == integration.pk
        assert IntegrationCredential.objects.filter(team=acme).count() == 1
        assert connected.organization_id == integration.organization_id


class TestChoosingTheOrganisation:
    @pytest.fixture
    def connected(
        self, acme: Team, alice: User, organization: SandboxOrganization
    ) -> GitHubIntegration:
        return connection.connect_with_token(acme, person=alice, token=organization.token)

    def choose(self, admin: Client, team: Team, organization_id: object) -> Any:
        return admin.post(
            reverse("github_select_org", args=[team.slug]), {"organization_id": organization_id}
        )

    def test_it_lists_the_person_s_own_and_chooses_the_only_one(
        self,
        admin: Client,
        acme: Team,
        connected: GitHubIntegration,
        organization: SandboxOrganization,
    ) -> None:
        response = admin.get(reverse("github_select_org", args=[acme.slug]))
        assert [each.login for each in response.context["memberships"]] == [organization.login]
        assert response.context["chosen_id"] == organization.id

    def test_choosing_starts_the_first_sync_and_goes_on(
        self,
        admin: Client,
        acme: Team,
        connected: GitHubIntegration,
        organization: SandboxOrganization,
    ) -> None:
        response = self.choose(admin, acme, organization.id)
        assert response.headers["Location"] == reverse("onboarding_repositories", args=[acme.slug])
        assert "Members are syncing in the background" in said(response)
        connected.refresh_from_db()
        assert connected.organization_login == organization.login
        assert SyncRun.objects.get().trigger == RunTrigger.ONBOARDING

    @pytest.mark.parametrize("given", ["", "abc", "-1", "²", "9" * 30])
    def test_a_made_up_choice_is_refused(
        self, given: str, admin: Client, acme: Team, connected: GitHubIntegration
    ) -> None:
        assert self.choose(admin, acme, given).status_code == 400
        assert not SyncRun.objects.exists()

    def test_an_organisation_of_others_is_refused(
        self, admin: Client, acme: Team, connected: GitHubIntegration, sandbox: SandboxControl
    ) -> None:
        response = self.choose(admin, acme, sandbox.organization(size=3).id)
        assert response.status_code == 400
        assert "not an active member of that organisation" in response.content.decode()
        connected.refresh_from_db()
        assert not connected.has_organization

    def test_organisations_hidden_by_single_sign_on_are_counted(
        self, admin: Client, acme: Team, connected: GitHubIntegration, sandbox: SandboxControl
    ) -> None:
        assert connected.credential is not None
        token = connected.credential.access_token
        sandbox.ask("POST", "faults", {"fault": "sso_partial_results", "token": token})
        response = admin.get(reverse("github_select_org", args=[acme.slug]))
        assert response.context["hidden_organization_count"] == 2

    def test_another_organisation_ends_what_runs_and_forgets_its_repositories(
        self,
        acme: Team,
        connected: GitHubIntegration,
        organization: SandboxOrganization,
        sandbox: SandboxControl,
    ) -> None:
        connection.choose_organization(connected, organization.id)
        TrackedRepositoryFactory(integration=connected)
        run = SyncRun.objects.create(integration=connected, kind="members", trigger="manual")
        other = sandbox.organization(size=3, owner=organization.owner)
        connection.choose_organization(connected, other.id)
        run.refresh_from_db()
        assert run.error_code == "organisation_changed"
        assert not connected.repositories.exists()
        assert connected.organization_login == other.login

    def test_a_github_that_refuses_says_why(
        self, admin: Client, acme: Team, connected: GitHubIntegration, sandbox: SandboxControl
    ) -> None:
        assert connected.credential is not None
        sandbox.revoke(connected.credential.access_token)
        response = admin.get(reverse("github_select_org", args=[acme.slug]))
        assert response.status_code == 502
        assert "GitHub no longer accepts the connection" in response.content.decode()


class TestDisconnecting:
    def test_an_oauth_token_is_revoked_at_github(
        self, admin: Client, acme: Team, organization: SandboxOrganization, settings: Settings
    ) -> None:
        asked = begin(admin, acme)
        code = consent(asked, organization)
        admin.get("/github/callback/", {"state": asked["state"], "code": code})
        integration = GitHubIntegration.objects.get(team=acme)
        connection.choose_organization(integration, organization.id)
        token = IntegrationCredential.objects.get(team=acme).access_token
        response = admin.post(reverse("github_disconnect", args=[acme.slug]))
        assert "revoked there" in said(response)
        with pytest.raises(BadCredentials):
            rest.viewer(GitHubClient(token=token, api_url=settings.GITHUB_API_URL))

    def test_a_github_that_is_away_does_not_keep_us_connected(
        self, admin: Client, acme: Team, organization: SandboxOrganization, settings: Settings
    ) -> None:
        asked = begin(admin, acme)
        code = consent(asked, organization)
        admin.get("/github/callback/", {"state": asked["state"], "code": code})
        connection.choose_organization(GitHubIntegration.objects.get(team=acme), organization.id)
        settings.GITHUB_API_URL = "http://127.0.0.1:1/api/v3"
        response = admin.post(reverse("github_disconnect", args=[acme.slug]))
        assert "Your roster stays as it is" in said(response)
        assert not IntegrationCredential.objects.exists()
