"""A GitHub client for an integration, and the checks before its list may be believed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from django.conf import settings

from integrations.github import rest
from integrations.github.errors import Forbidden, NotFound, SamlRequired
from integrations.github.http import GitHubClient
from integrations.services import credentials

if TYPE_CHECKING:
    from integrations.github.rest import OrganizationMembership
    from integrations.models import GitHubIntegration, IntegrationCredential

logger = structlog.get_logger(__name__)


class SyncRefused(Exception):
    """We ourselves refuse to go on, for a reason that has words in reasons.py."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def client_for_token(token: str) -> GitHubClient:
    return GitHubClient(token=token, api_url=settings.GITHUB_API_URL)


def credential_of(integration: GitHubIntegration) -> IntegrationCredential:
    """Return the credential in use, its token good for a while yet.

    Raises SyncRefused when there is none that may be used, GitHubError and CredentialUnreadable.
    """
    credential = integration.credential
    if credential is None:
        raise SyncRefused("not_connected")
    if not credential.is_active:
        raise SyncRefused("bad_credentials")
    credentials.refresh_if_expiring(credential)
    return credential


def client_of(integration: GitHubIntegration) -> GitHubClient:
    """Make the client of an integration. Raises SyncRefused and CredentialUnreadable."""
    return client_for_token(credential_of(integration).access_token)


def check_membership(client: GitHubClient, integration: GitHubIntegration) -> str:
    """Check that the token's owner is an active member of the same organisation as ever.

    Returns why it could not be told, which blocks concluding that anybody left; empty when sure.

    An outsider is shown public members only, with status 200: it would look like a mass departure
    (https://docs.github.com/rest/orgs/members#list-organization-members). Raises SyncRefused.
    """
    try:
        membership = _own_membership(client, integration)
    except SamlRequired:
        raise
    except Forbidden:
        # A fine-grained token may read the members without being told its own membership.
        return "membership_unknown"
    if membership is None or membership.state != "active":
        raise SyncRefused("not_a_member")
    if membership.organization_id != integration.organization_id:
        raise SyncRefused("organisation_changed")
    return ""


def _own_membership(
    client: GitHubClient, integration: GitHubIntegration
) -> OrganizationMembership | None:
    """Return the owner's membership of the organisation under its login of today, if there is one.

    A rename frees the old login, which may be somebody else's by now: the id decides, and what
    goes by it is followed.
    """
    named: OrganizationMembership | None = None
    with suppress(NotFound):
        named = rest.own_membership(client, integration.organization_login)
    if named is not None and named.organization_id == integration.organization_id:
        return named
    listed = rest.active_memberships(client).memberships
    ours = next((m for m in listed if m.organization_id == integration.organization_id), None)
    if ours is None or ours.login == integration.organization_login:
        return named
    logger.info("organisation renamed", integration_id=integration.pk, to=ours.login)
    integration.organization_login = ours.login
    integration.save(update_fields=["organization_login"])
    return ours
