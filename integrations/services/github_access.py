"""A GitHub client for an integration, and the check before its list may be believed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import transaction

from integrations.models import GitHubIntegration, Team
from integrations.services import credentials
from integrations.services.connections import SyncRefused, client_for_token, connection_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integrations.github.http import GitHubClient
    from integrations.models import IntegrationCredential


class NoLongerWatched(Exception):
    """The team turned to another organisation or connection while GitHub was being read."""

    reason = "no_longer_watched"


def credential_of(integration: GitHubIntegration) -> IntegrationCredential:
    """Return the credential in use, its token good for a while yet.

    Raises SyncRefused when there is none that may be used, GitHubError and CredentialUnreadable.
    """
    credential = integration.credential
    if credential is None:
        raise SyncRefused("not_connected")
    if not credential.is_active:
        raise SyncRefused("app_uninstalled" if credential.is_app else "bad_credentials")
    credentials.refresh_if_expiring(credential)
    return credential


def client_of(integration: GitHubIntegration) -> GitHubClient:
    """Make the client of an integration. Raises SyncRefused and CredentialUnreadable."""
    credential = credential_of(integration)
    return client_for_token(credential.access_token, credential=credential)


def check_access(client: GitHubClient, integration: GitHubIntegration) -> str:
    """Check that GitHub shows us all of the organisation's members, whatever connects us.

    Returns why it could not be told, which blocks concluding that anybody left; empty when sure.
    Raises SyncRefused and GitHubError.
    """
    credential = integration.credential
    if credential is None:
        raise SyncRefused("not_connected")
    return connection_of(credential).check_access(client, integration)


@contextmanager
def while_watched(integration: GitHubIntegration) -> Iterator[None]:
    """Write what was read of the organisation: one transaction in which it stays the watched one.

    Raises NoLongerWatched. For whoever holds no run's lease, which fences as well.
    """
    with transaction.atomic():
        Team.objects.take_turn(integration.team_id)
        same = GitHubIntegration.objects.filter(
            pk=integration.pk,
            organization_id=integration.organization_id,
            credential=integration.credential_id,
        )
        if not same.exists():
            raise NoLongerWatched
        yield
