"""What the App's connection shares with a person's, and its tokens: cases 18 and 20."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from django.urls import reverse
from django.utils import timezone

from integrations.constants import MemberChangeKind
from integrations.models import GitHubIntegration, IntegrationCredential, MemberChange, SyncRun
from integrations.services import app_connection, connection
from tests.syncing import resume, sync

if TYPE_CHECKING:
    from django.test import Client

    from integrations.models import Team, User
    from tests.sandbox_control import SandboxControl, SandboxOrganization

pytestmark = pytest.mark.django_db(transaction=True)


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
