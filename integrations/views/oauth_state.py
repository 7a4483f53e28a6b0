"""The state of an OAuth attempt: bound to the browser's session, single use, ten minutes."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from integrations.github import oauth

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import SessionBase

SESSION_KEY: Final = "github_oauth_attempt"
LIFETIME_S: Final = 10 * 60
# Installing an App takes choosing an account and repositories, and signing in once more.
INSTALL_LIFETIME_S: Final = 60 * 60

# What an attempt is for: to sign a person in, to install the App, or to tell whose it is.
OAUTH: Final = "oauth"
INSTALL: Final = "install"
IDENTIFY: Final = "identify"


class OAuthStateInvalid(Exception):
    """The callback doesn't belong to an attempt of this browser, or came late or twice."""


@dataclass(frozen=True)
class OAuthAttempt:
    """One click on "Connect GitHub", as the session remembers it."""

    state: str
    code_verifier: str
    team_slug: str
    started_at_s: int
    purpose: str = OAUTH
    # What the setup URL said, to be believed once the person is known; 0 for no installation.
    installation_id: int = 0
    is_request: bool = False


def remember(
    session: SessionBase,
    *,
    team_slug: str,
    purpose: str = OAUTH,
    installation_id: int = 0,
    is_request: bool = False,
) -> OAuthAttempt:
    """Begin an attempt. A second click replaces the first, whose callback then is refused."""
    attempt = OAuthAttempt(
        state=secrets.token_urlsafe(32),
        code_verifier=oauth.new_verifier(),
        team_slug=team_slug,
        started_at_s=int(time.time()),
        purpose=purpose,
        installation_id=installation_id,
        is_request=is_request,
    )
    session[SESSION_KEY] = vars(attempt)
    return attempt


def redeem(session: SessionBase, state: str, *purposes: str) -> OAuthAttempt:
    """Return the attempt that a callback's state belongs to, once. Raises OAuthStateInvalid."""
    remembered = session.pop(SESSION_KEY, None)
    if remembered is None:
        raise OAuthStateInvalid
    attempt = OAuthAttempt(**remembered)
    lifetime_s = INSTALL_LIFETIME_S if attempt.purpose == INSTALL else LIFETIME_S
    if attempt.purpose not in purposes:
        raise OAuthStateInvalid
    if not secrets.compare_digest(attempt.state.encode(), state.encode()):
        raise OAuthStateInvalid
    if time.time() - attempt.started_at_s > lifetime_s:
        raise OAuthStateInvalid
    return attempt
