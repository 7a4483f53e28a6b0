"""Whether a request comes from the App itself: its JSON web token, checked as GitHub does.

https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app
"""

from __future__ import annotations

import time
from typing import Any

import jwt
from starlette.requests import Request

from integrations.sandbox.api.answers import Refusal
from integrations.sandbox.apps.app import App

LIFETIME_MAX_S = 600
_UNREADABLE = "A JSON web token could not be decoded"
_EXPIRED = (
    "'Expiration time' claim ('exp') must be a numeric value representing the future time at which "
    "the assertion expires"
)
_TOO_FAR = "'Expiration time' claim ('exp') is too far in the future"
_FROM_THE_FUTURE = (
    "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was "
    "issued"
)


def check(request: Request, app: App) -> None:
    """Raise the refusal that GitHub words for a token that is none of the App's."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Refusal(401, _UNREADABLE)
    claims = _claims(token.strip(), app)
    if str(claims.get("iss")) not in (str(app.id), app.client_id):
        raise Refusal(404, "Integration not found")
    now = time.time() + app.clock_offset_s
    issued_at, expires_at = claims.get("iat"), claims.get("exp")
    if not isinstance(issued_at, int) or issued_at > now:
        raise Refusal(401, _FROM_THE_FUTURE)
    if not isinstance(expires_at, int) or expires_at <= now:
        raise Refusal(401, _EXPIRED)
    if expires_at > now + LIFETIME_MAX_S:
        raise Refusal(401, _TOO_FAR)


def _claims(token: str, app: App) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            app.public_key,
            algorithms=["RS256"],
            options={"verify_exp": False, "verify_iat": False, "verify_aud": False},
        )
    except jwt.PyJWTError as error:
        raise Refusal(401, _UNREADABLE) from error
    return claims
