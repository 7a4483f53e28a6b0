"""Connect a team to GitHub, choose its organisation, and disconnect it.

The only place that makes or removes a credential. Tokens pass through and are never logged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from integrations.constants import SCOPES_THAT_READ_MEMBERS, ConnectionKind
from integrations.github import oauth, rest
from integrations.github.errors import GitHubError
from integrations.github.oauth import TokenGrant
from integrations.models import (
    CredentialUnreadable,
    GitHubIntegration,
    InstallationRequest,
    IntegrationCredential,
    Team,
)
from integrations.services import credentials, organization_people, schedule, transitions
from integrations.services.connections import SyncRefused, client_for_token, connection_of
from integrations.services.github_access import credential_of

if TYPE_CHECKING:
    from integrations.github.rest import MembershipList, OrganizationMembership, Viewer
    from integrations.models import User

logger = structlog.get_logger(__name__)


# What asking GitHub for a team can end in; each has a `reason` with words in reasons.py.
REFUSALS: Final = (GitHubError, SyncRefused, CredentialUnreadable)


class ScopesMissing(Exception):
    """GitHub granted too little to read an organisation's members."""

    reason = "missing_scopes"


class NotYourOrganization(Exception):
    """The posted choice is not among the person's active memberships."""


def connect_with_token(team: Team, *, person: User, token: str) -> GitHubIntegration:
    """Check a personal access token at GitHub and keep it. Raises GitHubError, ScopesMissing."""
    grant = TokenGrant(access_token=token, scopes=frozenset(), token_type="bearer")
    viewer = rest.viewer(client_for_token(token))
    return _keep(team, person=person, grant=grant, viewer=viewer, kind=ConnectionKind.TOKEN)


def connect_with_code(
    team: Team, *, person: User, code: str, redirect_uri: str, code_verifier: str
) -> GitHubIntegration:
    """Exchange an OAuth code for a token and keep it. Raises GitHubError, ScopesMissing."""
    grant = oauth.exchange_code(
        github_url=settings.GITHUB_URL,
        client_id=settings.GITHUB_CLIENT_ID,
        client_secret=settings.GITHUB_CLIENT_SECRET,
        code=code,
        redirect_uri=redirect_uri,
        code_verifier=code_verifier,
    )
    # The account may have been switched since the click: ask whose token it is, every time.
    viewer = rest.viewer(client_for_token(grant.access_token))
    return _keep(team, person=person, grant=grant, viewer=viewer, kind=ConnectionKind.OAUTH)


def _keep(
    team: Team, *, person: User, grant: TokenGrant, viewer: Viewer, kind: str
) -> GitHubIntegration:
    if viewer.scopes is not None and not viewer.scopes & SCOPES_THAT_READ_MEMBERS:
        raise ScopesMissing
    credential = credential_for(team, kind=kind, person=person)
    credential.scopes = " ".join(sorted(viewer.scopes or ()))
    credential.github_user_id, credential.github_username = viewer.id, viewer.login
    return attach(credential, grant)


def credential_for(team: Team, *, kind: str, person: User) -> IntegrationCredential:
    """Return the team's credential, new or as it was, with nothing left of another kind; unsaved.

    Its row stays the same through every reconnection, and with it roster and history.
    """
    credential = IntegrationCredential.objects.filter(team=team).first()
    fresh = IntegrationCredential(
        pk=credential.pk if credential else None,
        team=team,
        kind=kind,
        connected_by=person,
        connected_at=timezone.now(),
    )
    fresh._state.adding = credential is None
    return fresh


def attach(credential: IntegrationCredential, grant: TokenGrant) -> GitHubIntegration:
    """Keep what GitHub granted, and tie the team to it: one transaction."""
    team = credential.team
    with transaction.atomic():
        credentials.keep_grant(credential, grant)
        credential.save()
        integration, _ = GitHubIntegration.objects.get_or_create(team=team)
        integration.credential = credential
        integration.save(update_fields=["credential"])
        InstallationRequest.objects.filter(team=team).delete()
        schedule.plan(integration, now=timezone.now())
    logger.info(
        "GitHub connected",
        team_id=team.pk,
        kind=credential.kind,
        github_user_id=credential.github_user_id,
    )
    return integration


def list_organizations(integration: GitHubIntegration) -> MembershipList:
    """List the organisations that the connection may watch.

    Raises what `client_of` raises, and GitHubError.
    """
    credential = credential_of(integration)
    client = client_for_token(credential.access_token, credential=credential)
    return connection_of(credential).organizations(client, credential)


def choose_organization(
    integration: GitHubIntegration, organization_id: int
) -> OrganizationMembership:
    """Watch an organisation, if the person is a member of it. Raises NotYourOrganization.

    Another organisation than before ends what runs, and forgets the other one's repositories; its
    people stay on the roster until the first complete sync concludes that they left.
    """
    memberships = list_organizations(integration).memberships
    chosen = next((m for m in memberships if m.organization_id == organization_id), None)
    if chosen is None:
        raise NotYourOrganization
    watch(integration, chosen)
    return chosen


def watch(integration: GitHubIntegration, chosen: OrganizationMembership) -> None:
    """Watch an organisation that the connection may see: as `choose_organization`."""
    with transaction.atomic():
        # Whoever still writes what the other organisation told is waited for, and then forgotten.
        Team.objects.take_turn(integration.team_id)
        if integration.organization_id not in (None, chosen.organization_id):
            _end_runs(integration, "organisation_changed")
            integration.repositories.all().delete()
            integration.repositories_listed_at = None
            organization_people.forget_all(integration)
        integration.organization_id = chosen.organization_id
        integration.organization_login = chosen.login
        integration.organization_avatar_url = chosen.avatar_url
        integration.save(
            update_fields=[
                "organization_id",
                "organization_login",
                "organization_avatar_url",
                "repositories_listed_at",
            ]
        )
        schedule.plan(integration, now=timezone.now())


def disconnect(integration: GitHubIntegration) -> bool:
    """Forget the credential and end what runs; the roster stays. Say whether GitHub revoked it."""
    credential = integration.credential
    if credential is None:
        return False
    with transaction.atomic():
        _end_runs(integration, "disconnected")
        integration.credential = None
        integration.save(update_fields=["credential"])
        schedule.plan(integration, now=timezone.now())
        credential.delete()
    logger.info("GitHub disconnected", team_id=integration.team_id)
    return connection_of(credential).revoke(credential)


def _end_runs(integration: GitHubIntegration, reason: str) -> None:
    for run in integration.runs.active().select_related("integration"):
        transitions.fail(run, reason)
