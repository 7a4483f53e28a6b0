"""A team's end: what goes with it, what stays, and what GitHub is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from integrations.constants import SYNC_STATUS_ERROR, ConnectionKind, RunTrigger
from integrations.github import rest
from integrations.github.errors import BadCredentials
from integrations.github.http import GitHubClient
from integrations.live.channels import TeamChannels, channel_of
from integrations.models import (
    GitHubIntegration,
    IntegrationCredential,
    SyncRun,
    Team,
    TeamInvitation,
    TeamMember,
    User,
)
from integrations.services import connection, team_people
from integrations.services.runs import start_run
from tests.factories import (
    GitHubIntegrationFactory,
    IntegrationCredentialFactory,
    TeamInvitationFactory,
    TeamMemberFactory,
    TrackedRepositoryFactory,
)
from tests.team.reading import text_of
from tests.test_connecting import begin, consent

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client
    from pytest_django import DjangoCaptureOnCommitCallbacks

    from tests.sandbox_control import SandboxOrganization

pytestmark = pytest.mark.django_db


class TestDeleting:
    @pytest.mark.parametrize("typed", ["", "Acme", "acme2"])
    def test_the_short_name_has_to_be_typed(
        self, typed: str, as_alice: Client, acme: Team, page: Callable[..., str]
    ) -> None:
        response = as_alice.post(page("team_delete"), {"slug": typed})
        assert response.status_code == 400
        assert "Nothing was deleted" in text_of(response)
        assert Team.objects.filter(pk=acme.pk).exists()

    def test_it_can_be_reached_without_scripts(
        self, as_alice: Client, page: Callable[..., str]
    ) -> None:
        text = text_of(as_alice.get(page("team_settings")))
        assert 'href="#delete"' in text
        assert '<dialog class="dialog" id="delete"' in text

    def test_everything_of_the_team_goes_and_nothing_else(
        self,
        as_alice: Client,
        acme: Team,
        alice: User,
        charlie: User,
        page: Callable[..., str],
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        integration = GitHubIntegrationFactory(team=acme)
        TrackedRepositoryFactory(integration=integration)
        TeamMemberFactory.create_batch(3, team=acme)
        TeamInvitationFactory(team=acme)
        run = start_run(integration, trigger=RunTrigger.MANUAL, person=alice).run
        other = GitHubIntegrationFactory(team=charlie.memberships.get().team)
        kept = TeamMemberFactory(team=other.team)
        with django_capture_on_commit_callbacks(execute=True):
            response = as_alice.post(page("team_delete"), {"slug": " acme "})
        assert response.headers["Location"] == reverse("home")
        assert not Team.objects.filter(pk=acme.pk).exists()
        assert not SyncRun.objects.filter(pk=run.pk).exists()
        assert list(TeamMember.objects.all()) == [kept]
        assert list(GitHubIntegration.objects.all()) == [other]
        assert list(IntegrationCredential.objects.all()) == [other.credential]
        assert not TeamInvitation.objects.exists()
        assert User.objects.filter(pk=alice.pk).exists()
        assert not TeamChannels().can_read_channel(alice, channel_of(acme.pk))

    def test_what_runs_is_ended_before(
        self, acme: Team, alice: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = start_run(GitHubIntegrationFactory(team=acme), trigger=RunTrigger.MANUAL).run
        seen = []
        disconnect = connection.disconnect

        def note(integration: GitHubIntegration) -> bool:
            done = disconnect(integration)
            run.refresh_from_db()
            seen.append(run.status)
            return done

        monkeypatch.setattr(connection, "disconnect", note)
        team_people.delete(acme, by=alice)
        assert seen == [SYNC_STATUS_ERROR]

    def test_the_token_is_revoked_at_github(
        self,
        as_alice: Client,
        acme: Team,
        alice: User,
        organization: SandboxOrganization,
        settings: Any,
    ) -> None:
        asked = begin(as_alice, acme)
        code = consent(asked, organization)
        as_alice.get(reverse("github_callback"), {"state": asked["state"], "code": code})
        token = IntegrationCredential.objects.get(team=acme).access_token
        team_people.delete(acme, by=alice)
        with pytest.raises(BadCredentials):
            rest.viewer(GitHubClient(token=token, api_url=settings.GITHUB_API_URL))

    def test_a_github_that_refuses_keeps_nobody_s_team(
        self, acme: Team, alice: User, settings: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings.GITHUB_CLIENT_SECRET = "another-one"
        credential = IntegrationCredentialFactory(team=acme, kind=ConnectionKind.OAUTH)
        GitHubIntegrationFactory(team=acme, credential=credential)
        team_people.delete(acme, by=alice)
        assert "token not revoked" in caplog.text
        assert not Team.objects.filter(slug="acme").exists()

    def test_a_github_that_is_away_keeps_nobody_s_team(
        self, acme: Team, alice: User, settings: Any
    ) -> None:
        settings.GITHUB_API_URL = "http://127.0.0.1:1/api/v3"
        credential = IntegrationCredentialFactory(team=acme, kind=ConnectionKind.OAUTH)
        GitHubIntegrationFactory(team=acme, credential=credential)
        team_people.delete(acme, by=alice)
        assert not Team.objects.filter(slug="acme").exists()

    def test_a_link_into_it_leads_nowhere(
        self, client: Client, acme: Team, alice: User, dora: User, link: str
    ) -> None:
        team_people.delete(acme, by=alice)
        client.force_login(dora)
        assert client.post(link).status_code == 404

    def test_only_an_admin_does_it(self, acme: Team, alice: User, bob: User) -> None:
        with pytest.raises(team_people.NotAnAdmin):
            team_people.delete(acme, by=bob)
        assert Team.objects.filter(pk=acme.pk).exists()
