"""A GitHub client for an integration, and the checks before its list may be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

from integrations.github import rest
from integrations.github.errors import Forbidden, NotFound, SamlRequired
from integrations.github.http import GitHubClient
from integrations.services import credentials

if TYPE_CHECKING:
    from integrations.models import GitHubIntegration, IntegrationCredential


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
        membership = rest.own_membership(client, integration.organization_login)
    except SamlRequired:
        raise
    except NotFound as exc:
        raise SyncRefused("not_a_member") from exc
    except Forbidden:
        # A fine-grained token may read the members without being told its own membership.
        return "membership_unknown"
    if membership.state != "active":
        raise SyncRefused("not_a_member")
    if membership.organization_id != integration.organization_id:
        raise SyncRefused("organisation_changed")
    return ""
