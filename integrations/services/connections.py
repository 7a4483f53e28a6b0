"""The kinds of connection behind one interface: give me a token, what may I see, whose is it.

A person's (signed in with OAuth, or a token pasted) and that of our GitHub App's installation on an
organisation. Whoever syncs asks `connection_of` and knows no kind.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

import structlog
from django.conf import settings

from integrations.constants import ConnectionKind
from integrations.github import app, oauth, rest
from integrations.github.errors import Forbidden, GitHubError, NotFound, OAuthError, SamlRequired
from integrations.github.http import GitHubClient
from integrations.github.rest import MembershipList, OrganizationMembership
from integrations.models import CredentialUnreadable, IntegrationCredential

if TYPE_CHECKING:
    from collections.abc import Callable

    from integrations.github.app import Installation
    from integrations.github.oauth import TokenGrant
    from integrations.models import GitHubIntegration

logger = structlog.get_logger(__name__)

# What GitHub may say anew of an installation.
INSTALLATION_FIELDS: Final = (
    "installation_url",
    "permissions",
    "events",
    "suspended_at",
    "github_username",
)


class SyncRefused(Exception):
    """We ourselves refuse to go on, for a reason that has words in reasons.py."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Connection(Protocol):
    """What every kind of connection answers."""

    def may_refresh(self, credential: IntegrationCredential) -> bool:
        """Say whether a token that ran out can be replaced without a person."""

    def fresh_grant(self, credential: IntegrationCredential) -> TokenGrant | None:
        """Get a new token; None when GitHub gives none for good. Raises GitHubError."""

    def check_access(self, client: GitHubClient, integration: GitHubIntegration) -> str:
        """Check that GitHub shows this connection all of the organisation's members.

        Returns why it could not be told, which blocks concluding that anybody left; empty when
        sure. Raises SyncRefused and GitHubError.
        """

    def organizations(
        self, client: GitHubClient, credential: IntegrationCredential
    ) -> MembershipList:
        """List the organisations that the connection may watch. Raises GitHubError."""

    def revoke(self, credential: IntegrationCredential) -> bool:
        """End the token at GitHub, as well as it goes; say whether GitHub did."""


def client_for_token(
    token: str, *, credential: IntegrationCredential | None = None
) -> GitHubClient:
    """Return a client; what it asks is counted against the credential's budget.

    All credentials of one person share that, and so do those of one installation.
    """
    if credential is None:
        return GitHubClient(token=token, api_url=settings.GITHUB_API_URL)
    whose = "installation of" if credential.is_app else "person"
    return GitHubClient(
        token=token,
        api_url=settings.GITHUB_API_URL,
        asker=str(credential.pk),
        budget_of=f"{whose} {credential.github_user_id}",
    )


def client_of_app() -> GitHubClient:
    """Return a client that asks as the App itself. Raises SyncRefused when there is none."""
    if not settings.GITHUB_APP_CONFIGURED:
        raise SyncRefused("app_not_configured")
    return app.app_client(
        settings.GITHUB_API_URL, settings.GITHUB_APP_ID, settings.GITHUB_APP_PRIVATE_KEY
    )


class PersonConnection:
    """A person's token: it sees what the person sees, as long as they are a member."""

    def may_refresh(self, credential: IntegrationCredential) -> bool:
        return bool(credential.refresh_token)

    def fresh_grant(self, credential: IntegrationCredential) -> TokenGrant | None:
        try:
            return oauth.refresh(
                github_url=settings.GITHUB_URL,
                client_id=settings.GITHUB_CLIENT_ID,
                client_secret=settings.GITHUB_CLIENT_SECRET,
                refresh_token=credential.refresh_token,
            )
        except OAuthError as exc:
            logger.warning("token not refreshed", credential_id=credential.pk, reason=exc.code)
            return None

    def check_access(self, client: GitHubClient, integration: GitHubIntegration) -> str:
        """Check that the token's owner is an active member of the same organisation as ever.

        An outsider is shown public members only, with status 200: it would look like a mass
        departure (https://docs.github.com/rest/orgs/members#list-organization-members).
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

    def organizations(
        self, client: GitHubClient, credential: IntegrationCredential
    ) -> MembershipList:
        return rest.active_memberships(client)

    def revoke(self, credential: IntegrationCredential) -> bool:
        """As the interface; there is no such call for a token that was pasted."""
        if credential.kind != ConnectionKind.OAUTH:
            return False
        return revoked_at_github(
            credential,
            lambda token: oauth.revoke_token(
                api_url=settings.GITHUB_API_URL,
                client_id=settings.GITHUB_CLIENT_ID,
                client_secret=settings.GITHUB_CLIENT_SECRET,
                access_token=token,
            ),
        )


class AppConnection:
    """The GitHub App's installation: it belongs to the organisation, whoever comes and goes."""

    def may_refresh(self, credential: IntegrationCredential) -> bool:
        return True

    def fresh_grant(self, credential: IntegrationCredential) -> TokenGrant | None:
        return app.installation_token(client_of_app(), _installation_id(credential))

    def check_access(self, client: GitHubClient, integration: GitHubIntegration) -> str:
        """Check that the installation is there, works, may read members, and is on the same one.

        One request, with the App's own sign-in. What was granted and the organisation's login of
        today are written down. Without the permission GitHub shows public members only.
        """
        credential = integration.credential
        assert credential is not None  # the client was made of it
        installation = app.installation(client_of_app(), _installation_id(credential))
        note_installation(credential, installation)
        if installation.suspended_at is not None:
            raise SyncRefused("app_suspended")
        if "members" in credential.missing_permissions:
            raise SyncRefused("app_permission_missing")
        if installation.account_id != integration.organization_id:
            raise SyncRefused("organisation_changed")
        follow_login(integration, installation.account_login)
        return ""

    def organizations(
        self, client: GitHubClient, credential: IntegrationCredential
    ) -> MembershipList:
        """Return the one that the App is installed on: another one takes another installation."""
        installation = app.installation(client_of_app(), _installation_id(credential))
        return MembershipList((as_membership(installation),), ())

    def revoke(self, credential: IntegrationCredential) -> bool:
        """End the token of the hour. The App stays installed: to uninstall it is the owners'."""

        def end(token: str) -> None:
            client_for_token(token).delete("/installation/token")

        return revoked_at_github(credential, end)


_PERSON: Final = PersonConnection()
CONNECTIONS: Final[dict[str, Connection]] = {
    ConnectionKind.OAUTH: _PERSON,
    ConnectionKind.TOKEN: _PERSON,
    ConnectionKind.APP: AppConnection(),
}


def connection_of(credential: IntegrationCredential) -> Connection:
    return CONNECTIONS[credential.kind]


def as_membership(installation: Installation) -> OrganizationMembership:
    """Return an installation's organisation as one to choose."""
    return OrganizationMembership(
        organization_id=installation.account_id,
        login=installation.account_login,
        description="",
        avatar_url=installation.account_avatar_url,
        role="",
    )


def keep_installation(credential: IntegrationCredential, installation: Installation) -> None:
    """Put what GitHub says of an installation into a credential, unsaved."""
    credential.installation_id = installation.id
    credential.installation_url = installation.html_url
    credential.permissions = installation.permissions
    credential.events = list(installation.events)
    credential.suspended_at = installation.suspended_at
    credential.github_user_id = installation.account_id
    credential.github_username = installation.account_login


def note_installation(credential: IntegrationCredential, installation: Installation) -> None:
    """Write down what an installation is granted, as long as the team is still connected by it."""
    before = [getattr(credential, name) for name in INSTALLATION_FIELDS]
    keep_installation(credential, installation)
    facts = {name: getattr(credential, name) for name in INSTALLATION_FIELDS}
    if before != list(facts.values()):
        IntegrationCredential.objects.filter(
            pk=credential.pk, installation_id=installation.id
        ).update(**facts)


def follow_login(integration: GitHubIntegration, login: str) -> None:
    """Keep the organisation's login of today: a label, which its owners may change."""
    if login == integration.organization_login:
        return
    logger.info("organisation renamed", integration_id=integration.pk, to=login)
    integration.organization_login = login
    # The repositories' full names begin with it: they are listed again at the next look.
    integration.repositories_listed_at = None
    integration.save(update_fields=["organization_login", "repositories_listed_at"])


def revoked_at_github(credential: IntegrationCredential, revoke: Callable[[str], None]) -> bool:
    """Revoke a token that we forget anyway; say whether it worked."""
    try:
        revoke(credential.access_token)
    except (GitHubError, CredentialUnreadable) as exc:
        logger.warning("token not revoked", reason=exc.reason)
        return False
    return True


def _installation_id(credential: IntegrationCredential) -> int:
    assert credential.installation_id is not None  # written with the kind
    return credential.installation_id


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
    follow_login(integration, ours.login)
    return ours
