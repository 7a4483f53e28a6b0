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


class OAuthStateInvalid(Exception):
    """The callback doesn't belong to an attempt of this browser, or came late or twice."""


@dataclass(frozen=True)
class OAuthAttempt:
    """One click on "Connect GitHub", as the session remembers it."""

    state: str
    code_verifier: str
    team_slug: str
    started_at_s: int


def remember(session: SessionBase, *, team_slug: str) -> OAuthAttempt:
    """Begin an attempt. A second click replaces the first, whose callback then is refused."""
    attempt = OAuthAttempt(
        state=secrets.token_urlsafe(32),
        code_verifier=oauth.new_verifier(),
        team_slug=team_slug,
        started_at_s=int(time.time()),
    )
    session[SESSION_KEY] = vars(attempt)
    return attempt


def redeem(session: SessionBase, state: str) -> OAuthAttempt:
    """Return the attempt that a callback's state belongs to, once. Raises OAuthStateInvalid."""
    remembered = session.pop(SESSION_KEY, None)
    if remembered is None:
        raise OAuthStateInvalid
    attempt = OAuthAttempt(**remembered)
    if not secrets.compare_digest(attempt.state.encode(), state.encode()):
        raise OAuthStateInvalid
    if time.time() - attempt.started_at_s > LIFETIME_S:
        raise OAuthStateInvalid
    return attempt
