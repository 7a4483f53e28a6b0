"""A team's key to GitHub, encrypted at rest with the first of a list of keys.

Knows how to hide and show a token, not what it is good for.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models

from integrations.constants import (
    APP_EVENTS,
    APP_PERMISSIONS,
    PERMISSION_LEVELS,
    SCOPES_THAT_READ_EMAIL,
    ConnectionKind,
    CredentialStatus,
)
from integrations.models.accounts import Team, User


class CredentialUnreadable(Exception):
    """No key of FIELD_ENCRYPTION_KEYS reads the stored token: the person has to reconnect."""

    reason = "credential_unreadable"


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def encrypt(text: str) -> str:
    """Encrypt with the newest key."""
    return _fernet(tuple(settings.FIELD_ENCRYPTION_KEYS)).encrypt(text.encode()).decode()


def decrypt(ciphertext: str) -> str:
    """Decrypt with whichever key fits; raise CredentialUnreadable when none does."""
    try:
        plain = _fernet(tuple(settings.FIELD_ENCRYPTION_KEYS)).decrypt(ciphertext.encode())
    except InvalidToken as exc:
        raise CredentialUnreadable from exc
    return plain.decode()


class IntegrationCredential(models.Model):
    """A token for GitHub, whose it is and what it was granted.

    Of a person, or of the GitHub App's installation on an organisation: then `github_user_id` and
    `github_username` are the organisation's, and the token is one that lives for an hour.
    """

    team = models.OneToOneField(Team, on_delete=models.CASCADE, related_name="credential")
    kind = models.CharField(max_length=10, choices=ConnectionKind.choices)
    status = models.CharField(
        max_length=10, choices=CredentialStatus.choices, default=CredentialStatus.ACTIVE
    )
    encrypted_access_token = models.TextField(editable=False)
    # Empty where GitHub gave none: OAuth apps and personal tokens have no such thing.
    encrypted_refresh_token = models.TextField(blank=True, default="", editable=False)
    # When the access token expires, where GitHub says so.
    expires_at = models.DateTimeField(null=True, blank=True)
    refreshed_at = models.DateTimeField(null=True, blank=True)
    # Since when a worker is exchanging the refresh token: services/credentials.py.
    refresh_claimed_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Space-separated, as granted; empty for tokens that GitHub tells no scopes of (fine-grained).
    scopes = models.TextField(blank=True)
    github_user_id = models.BigIntegerField()
    github_username = models.CharField(max_length=100)
    # Of a GitHub App's installation; a person's token has none of these.
    installation_id = models.BigIntegerField(null=True, blank=True, db_index=True)
    installation_url = models.CharField(max_length=500, blank=True, default="")
    # Permission to level ("members": "read"), and the events that GitHub sends.
    permissions = models.JSONField(default=dict, blank=True)
    events = models.JSONField(default=list, blank=True)
    suspended_at = models.DateTimeField(null=True, blank=True)
    # The event time of the newest webhook about the installation that was applied.
    heard_at = models.DateTimeField(null=True, blank=True, editable=False)
    connected_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, related_name="+", editable=False
    )
    connected_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    # When the team's admins are to be written to about the revocation, next; null: they were, or
    # there is nothing to tell. The ticker sees to it.
    notify_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "GitHub credential"

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of @{self.github_username}"

    @property
    def access_token(self) -> str:
        """The token in the clear. Raises CredentialUnreadable; never log or render it."""
        return decrypt(self.encrypted_access_token)

    @access_token.setter
    def access_token(self, token: str) -> None:
        self.encrypted_access_token = encrypt(token)

    @property
    def refresh_token(self) -> str:
        """As `access_token`; empty when there is none."""
        return decrypt(self.encrypted_refresh_token) if self.encrypted_refresh_token else ""

    @refresh_token.setter
    def refresh_token(self, token: str) -> None:
        self.encrypted_refresh_token = encrypt(token) if token else ""

    @property
    def is_active(self) -> bool:
        return self.status == CredentialStatus.ACTIVE

    @property
    def is_app(self) -> bool:
        return self.kind == ConnectionKind.APP

    @property
    def missing_permissions(self) -> list[str]:
        """What the App needs and an owner has not accepted yet, in GitHub's words."""
        if not self.is_app:
            return []
        return [
            name
            for name, level in APP_PERMISSIONS.items()
            if self.permissions.get(name) not in PERMISSION_LEVELS[PERMISSION_LEVELS.index(level) :]
        ]

    @property
    def missing_events(self) -> list[str]:
        """The events that GitHub does not send, of those that keep the roster moving."""
        return [name for name in APP_EVENTS if self.is_app and name not in self.events]

    @property
    def scope_set(self) -> frozenset[str]:
        return frozenset(self.scopes.split())

    @property
    def reads_email(self) -> bool:
        """Whether GraphQL's `User.email` may be asked for. Unknown scopes: ask, and see."""
        # An App's installation has no scopes, and needs none for that.
        return not self.scopes or bool(self.scope_set & SCOPES_THAT_READ_EMAIL)


class InstallationRequest(models.Model):
    """Somebody who may not install the App asked their owners to: the team waits for approval.

    Completed when GitHub tells us of an installation that this person had requested.
    """

    team = models.OneToOneField(Team, on_delete=models.CASCADE, related_name="installation_request")
    person = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    # Who asked, as GitHub knows them: verified with their own token when they came back.
    github_user_id = models.BigIntegerField(db_index=True)
    github_username = models.CharField(max_length=100)
    requested_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"request of @{self.github_username}"
