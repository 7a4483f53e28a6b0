"""The life of a credential: refreshed once by one worker, or revoked and told to the admins.

A refresh token is good for one exchange, which ends the pair before it: whoever comes second must
use what the first one got. https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Final

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.db.models import Q
from django.template.loader import render_to_string
from django.utils import timezone

from integrations.constants import (
    REFRESH_AHEAD,
    REFRESH_CLAIM_LENGTH,
    CredentialStatus,
    TeamRole,
)
from integrations.github.errors import GitHubError
from integrations.models import IntegrationCredential, User
from integrations.services.connections import SyncRefused, connection_of

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from integrations.github.oauth import TokenGrant

logger = structlog.get_logger(__name__)

# A token refused this short a time after it was got is refused for good.
REFRESHED_JUST_NOW: Final = timedelta(minutes=5)
# A notice that could not be sent is tried again after so long, for a day.
NOTICE_RETRY: Final = timedelta(minutes=10)
NOTICE_FOR: Final = timedelta(days=1)


class Refreshing(Enum):
    """What came of asking for a fresh token."""

    DONE = "done"  # by us or by another worker: the credential in hand holds the new token
    ELSEWHERE = "elsewhere"  # another worker is at it: look again in a moment
    IMPOSSIBLE = "impossible"  # a kind of token that has no successor, or GitHub refused it


def refresh_if_expiring(credential: IntegrationCredential) -> None:
    """Get a fresh token before the present one expires, if GitHub said when that is.

    A refresh that another worker is at, or that is impossible, leaves the token as it is: GitHub
    decides whether it is still good. Raises GitHubError, SyncRefused and CredentialUnreadable.
    """
    expires_at = credential.expires_at
    if expires_at is not None and expires_at < timezone.now() + REFRESH_AHEAD:
        refresh(credential)


def refresh(credential: IntegrationCredential) -> Refreshing:
    """Replace the refused token in hand, in place.

    Raises GitHubError, SyncRefused and CredentialUnreadable.
    """
    refused = credential.encrypted_access_token
    credential.refresh_from_db()
    if credential.encrypted_access_token != refused:
        return Refreshing.DONE
    connection = connection_of(credential)
    if not connection.may_refresh(credential) or _was_just_refreshed(credential):
        return Refreshing.IMPOSSIBLE
    if not _claim(credential):
        return Refreshing.ELSEWHERE
    try:
        grant = connection.fresh_grant(credential)
    except (GitHubError, SyncRefused):
        _same(credential).update(refresh_claimed_at=None)
        raise
    if grant is None:
        _same(credential).update(refresh_claimed_at=None)
        return Refreshing.IMPOSSIBLE
    _keep(credential, grant)
    return Refreshing.DONE


def _was_just_refreshed(credential: IntegrationCredential) -> bool:
    at = credential.refreshed_at
    return at is not None and at > timezone.now() - REFRESHED_JUST_NOW


def _claim(credential: IntegrationCredential) -> bool:
    """Take the right to refresh. One whose holder died comes free by itself.

    A claim on the row and no row lock: on SQLite that would stop every writer while GitHub answers.
    """
    now = timezone.now()
    free = Q(refresh_claimed_at__isnull=True) | Q(refresh_claimed_at__lt=now - REFRESH_CLAIM_LENGTH)
    return bool(_same(credential).filter(free).update(refresh_claimed_at=now))


def _same(credential: IntegrationCredential) -> QuerySet[IntegrationCredential]:
    """Return the row as long as it holds the token in hand: a person may have reconnected."""
    return IntegrationCredential.objects.filter(
        pk=credential.pk, encrypted_access_token=credential.encrypted_access_token
    )


def _keep(credential: IntegrationCredential, grant: TokenGrant) -> None:
    row = _same(credential)
    keep_grant(credential, grant)
    credential.refreshed_at, credential.refresh_claimed_at = timezone.now(), None
    # The new pair and the end of the claim in one statement: a worker that found the row free with
    # the old pair still on it would use up a refresh token that is dead.
    names = (
        "encrypted_access_token",
        "encrypted_refresh_token",
        "expires_at",
        "refreshed_at",
        "refresh_claimed_at",
    )
    if not row.update(**{name: getattr(credential, name) for name in names}):
        # Somebody reconnected while GitHub answered: theirs is the newer word.
        credential.refresh_from_db()
    logger.info("token refreshed", credential_id=credential.pk)


def keep_grant(credential: IntegrationCredential, grant: TokenGrant) -> None:
    """Put what GitHub granted into a credential, unsaved."""
    credential.access_token = grant.access_token
    credential.refresh_token = grant.refresh_token
    expires_in = grant.expires_in
    credential.expires_at = None if expires_in is None else timezone.now() + expires_in


def revoke(credential: IntegrationCredential) -> bool:
    """Stop using a token that GitHub refused, and have the admins told; return whether it was new.

    Asking on with it locks the person out of GitHub:
    https://docs.github.com/rest/authentication/authenticating-to-the-rest-api#failed-login-limit
    """
    now = timezone.now()
    # By its ciphertext too: a token pasted meanwhile is a new one, and not refused.
    rows = _same(credential).filter(status=CredentialStatus.ACTIVE)
    return bool(rows.update(status=CredentialStatus.REVOKED, revoked_at=now, notify_at=now))


def take_notices(now: datetime) -> list[int]:
    """Return the credentials whose admins are to be written to now, each to one ticker only."""
    too_old = IntegrationCredential.objects.filter(
        notify_at__isnull=False, revoked_at__lt=now - NOTICE_FOR
    )
    if too_old.exists():
        too_old.update(notify_at=None)
    due = IntegrationCredential.objects.filter(
        status=CredentialStatus.REVOKED, notify_at__lte=now
    ).values_list("pk", "notify_at")
    return [
        pk
        for pk, notify_at in due
        if IntegrationCredential.objects.filter(pk=pk, notify_at=notify_at).update(
            notify_at=now + NOTICE_RETRY
        )
    ]


def notify_admins(credential_id: int) -> None:
    """Write to the team's admins that GitHub refused the connection.

    Raises what sending raises, SMTPException and OSError: then the ticker has it sent again.
    """
    credential = (
        IntegrationCredential.objects.select_related("team", "integration")
        .filter(pk=credential_id, status=CredentialStatus.REVOKED, notify_at__isnull=False)
        .first()
    )
    if credential is None:
        return
    admins = User.objects.filter(
        memberships__team=credential.team, memberships__role=TeamRole.ADMIN, is_active=True
    )
    context = {"credential": credential, "team": credential.team, "site_url": settings.SITE_URL}
    subject = render_to_string("email/credential_revoked_subject.txt", context)
    # One message to all of them: it goes or it doesn't, so that one bad address does not have the
    # others written to again and again.
    send_mail(
        # A team's name is no place for a header's end.
        " ".join(subject.split()),
        render_to_string("email/credential_revoked.txt", context),
        None,
        list(admins.values_list("email", flat=True)),
    )
    IntegrationCredential.objects.filter(pk=credential_id).update(notify_at=None)
    logger.info("admins notified", credential_id=credential_id)
