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
    """Who came back from GitHub, and the installations on organisations that they belong to."""

    viewer: Viewer
    installations: tuple[Installation, ...]
    # The organisations of which they are an owner.
    owned_ids: frozenset[int]


def identify(*, code: str, redirect_uri: str, code_verifier: str) -> Visitor:
    """Find out who came back, and which installations GitHub lists for them.

    Of those only the ones on organisations that they are active members of: GitHub lists an
    installation to an outside collaborator of one repository as well.
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
        return _visitor(client)
    finally:
        _forget(grant.access_token)


def _visitor(client: GitHubClient) -> Visitor:
    viewer = rest.viewer(client)
    listed = [one for one in app.user_installations(client) if one.is_of_organization]
    roles: dict[int, str] = {}
    if listed:
        memberships = rest.active_memberships(client).memberships
        roles = {one.organization_id: one.role for one in memberships}
    return Visitor(
        viewer=viewer,
        installations=tuple(one for one in listed if one.account_id in roles),
        owned_ids=frozenset(one for one, role in roles.items() if role == "admin"),
    )


def connectable(visitor: Visitor, team: Team) -> tuple[Installation, ...]:
    """Return the installations that the visitor may connect a team by.

    An owner's: the App is shown more than an ordinary member, whom connecting must not promote. And
    the one that an owner made after this very person had asked for it from this team.
    """
    request = InstallationRequest.objects.filter(
        team=team, github_user_id=visitor.viewer.id
    ).first()

    def was_asked_for(one: Installation) -> bool:
        return (
            request is not None
            and one.created_at is not None
            # GitHub tells whole seconds.
            and one.created_at >= request.requested_at.replace(microsecond=0)
        )

    return tuple(
        one
        for one in visitor.installations
        if one.account_id in visitor.owned_ids or was_asked_for(one)
    )


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
