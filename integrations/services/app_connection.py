"""Connect a team by our GitHub App's installation on its organisation.

The id on the setup URL is anybody's to type: only what GitHub lists for the person, asked with
their own token, is believed. That token is used once and revoked.
https://docs.github.com/apps/creating-github-apps/registering-a-github-app/about-the-setup-url
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from django.conf import settings
from django.utils import timezone

from integrations.constants import ConnectionKind
from integrations.github import app, oauth, rest
from integrations.github.errors import GitHubError
from integrations.models import InstallationRequest
from integrations.services import connection
from integrations.services.connections import (
    as_membership,
    client_for_token,
    client_of_app,
    keep_installation,
)

if TYPE_CHECKING:
    from integrations.github.app import Installation
    from integrations.github.http import GitHubClient
    from integrations.github.rest import Viewer
    from integrations.models import GitHubIntegration, Team, User

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Visitor:
    """Who came back from GitHub, and the installations that are theirs to connect."""

    viewer: Viewer
    installations: tuple[Installation, ...]

    def installation(self, installation_id: int) -> Installation | None:
        return next((one for one in self.installations if one.id == installation_id), None)


def identify(*, code: str, redirect_uri: str, code_verifier: str) -> Visitor:
    """Find out who came back, and which installations they may connect a team by.

    Theirs are those that GitHub lists for them, on organisations that they are active members of:
    it lists an installation to an outside collaborator of one repository as well.
    Raises OAuthError and GitHubError.
    """
    grant = oauth.exchange_code(
        github_url=settings.GITHUB_URL,
        client_id=settings.GITHUB_APP_CLIENT_ID,
        client_secret=settings.GITHUB_APP_CLIENT_SECRET,
        code=code,
        redirect_uri=redirect_uri,
        code_verifier=code_verifier,
    )
    client = client_for_token(grant.access_token)
    try:
        return Visitor(rest.viewer(client), tuple(_own_installations(client)))
    finally:
        _forget(grant.access_token)


def _own_installations(client: GitHubClient) -> list[Installation]:
    listed = [one for one in app.user_installations(client) if one.is_of_organization]
    if not listed:
        return []
    belongs_to = {one.organization_id for one in rest.active_memberships(client).memberships}
    return [one for one in listed if one.account_id in belongs_to]


def _forget(token: str) -> None:
    """Revoke a person's token that was good for one look; it runs out in hours anyway."""
    with suppress(GitHubError):
        oauth.revoke_token(
            api_url=settings.GITHUB_API_URL,
            client_id=settings.GITHUB_APP_CLIENT_ID,
            client_secret=settings.GITHUB_APP_CLIENT_SECRET,
            access_token=token,
        )


def connect(team: Team, *, person: User, installation_id: int) -> GitHubIntegration:
    """Connect the team by an installation that was verified to be the person's.

    Roster and history stay, whatever connected the team before. Raises GitHubError, SyncRefused.
    """
    client = client_of_app()
    installation = app.installation(client, installation_id)
    grant = app.installation_token(client, installation_id)
    credential = connection.credential_for(team, kind=ConnectionKind.APP, person=person)
    keep_installation(credential, installation)
    integration = connection.attach(credential, grant)
    connection.watch(integration, as_membership(installation))
    return integration


def remember_request(team: Team, *, person: User, viewer: Viewer) -> InstallationRequest:
    """Remember that the person asked their owners to install the App, until they do."""
    request, _ = InstallationRequest.objects.update_or_create(
        team=team,
        defaults={
            "person": person,
            "github_user_id": viewer.id,
            "github_username": viewer.login,
            "requested_at": timezone.now(),
        },
    )
    logger.info("installation requested", team_id=team.pk, github_user_id=viewer.id)
    return request


def complete_request(requester_id: int, installation_id: int) -> GitHubIntegration | None:
    """Connect the team whose person had asked for this installation, if one waits for it.

    Who asked is GitHub's signed word. Only an admin of the team is waited for, and only a team
    that nobody has connected meanwhile. Raises GitHubError, SyncRefused.
    """
    waiting = (
        InstallationRequest.objects.select_related("team", "person")
        .filter(github_user_id=requester_id)
        .order_by("-requested_at")
    )
    for request in waiting:
        if request.team.is_administered_by(request.person):
            return connect(request.team, person=request.person, installation_id=installation_id)
    return None
