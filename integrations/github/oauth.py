"""Signing in at GitHub as an OAuth app, with PKCE: addresses, codes and tokens.

https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
It knows no session and no person; who may do what with a token is decided elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

from integrations.github.addresses import segment
from integrations.github.errors import OAuthError, UnexpectedAnswer
from integrations.github.http import API_HEADERS
from integrations.github.reading import (
    JSONObject,
    as_object,
    parse_json,
    read_count,
    read_required_text,
    read_text,
)
from integrations.github.refusals import facts_of, refusal_of
from integrations.github.transport import RawAnswer, send

# 64 bytes make 86 characters; RFC 7636, section 4.1, wants 43 to 128.
_VERIFIER_BYTES: Final = 64


@dataclass(frozen=True)
class TokenGrant:
    """A token, and what the person granted with it, which may be less than was asked for."""

    access_token: str = field(repr=False)
    scopes: frozenset[str]
    token_type: str
    # Empty and None for tokens that don't expire.
    refresh_token: str = field(default="", repr=False)
    expires_in: timedelta | None = None


def new_verifier() -> str:
    """Make the secret that proves, later, that the code was meant for us."""
    return secrets.token_urlsafe(_VERIFIER_BYTES)


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636, section 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def authorize_url(
    *,
    github_url: str,
    client_id: str,
    redirect_uri: str,
    state: str,
    code_challenge: str,
    scopes: Iterable[str],
    login: str = "",
) -> str:
    """Return where to send a person to grant access; `login` suggests an account."""
    params = {
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(scopes),
        "state": state,
        "code_challenge": code_challenge,
        "code_challenge_method": "S256",
    }
    if login:
        params["login"] = login
    return f"{github_url.rstrip('/')}/login/oauth/authorize?{urlencode(params)}"


def exchange_code(
    *,
    github_url: str,
    client_id: str,
    client_secret: str,
    code: str,
    redirect_uri: str,
    code_verifier: str,
) -> TokenGrant:
    """Exchange the code of a callback for a token. Raises OAuthError, and GitHubError."""
    return _ask_for_token(
        github_url,
        {
            "client_id": client_id,
            "client_secret": client_secret,
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": code_verifier,
        },
    )


def refresh(
    *, github_url: str, client_id: str, client_secret: str, refresh_token: str
) -> TokenGrant:
    """Exchange a refresh token for a new pair, which ends the old one. Raises as `exchange_code`.

    https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens
    """
    return _ask_for_token(
        github_url,
        {
            "client_id": client_id,
            "client_secret": client_secret,
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
        },
    )


def revoke_token(*, api_url: str, client_id: str, client_secret: str, access_token: str) -> None:
    """Revoke a token of this app; one that GitHub doesn't know any more counts as revoked.

    Raises OAuthError when the app's id or secret is wrong, and GitHubError.
    https://docs.github.com/rest/apps/oauth-applications#delete-an-app-token
    """
    raw = send(
        "DELETE",
        f"{api_url.rstrip('/')}/applications/{segment(client_id)}/token",
        headers=API_HEADERS,
        payload={"access_token": access_token},
        basic_auth=(client_id, client_secret),
    )
    if raw.status == 401:
        raise OAuthError(code="incorrect_client_credentials", **facts_of(raw))
    if raw.status not in (204, 404):
        raise refusal_of(raw)


def _ask_for_token(github_url: str, payload: JSONObject) -> TokenGrant:
    raw = send(
        "POST",
        f"{github_url.rstrip('/')}/login/oauth/access_token",
        headers={"Accept": "application/json"},
        payload=payload,
    )
    if raw.status == 404:
        # What GitHub's sign-in pages answer to a client id that doesn't exist.
        raise OAuthError(code="incorrect_client_credentials", **facts_of(raw))
    # Refusals come with 200 as well, and by RFC 6749, section 5.2, with 400.
    if raw.status not in (200, 400):
        raise refusal_of(raw)
    return _read_grant(raw)


def _read_grant(raw: RawAnswer) -> TokenGrant:
    record = as_object(parse_json(raw.content))
    if "error" in record:
        code = read_text(record, "error")
        raise OAuthError(read_text(record, "error_description"), code=code, **facts_of(raw))
    token = read_required_text(record, "access_token")
    if not (token.isascii() and token.isprintable()):
        raise UnexpectedAnswer("a token with signs that no token has", **facts_of(raw))
    expires = record.get("expires_in") is not None
    return TokenGrant(
        access_token=token,
        scopes=frozenset(re.split(r"[,\s]+", read_text(record, "scope"))) - {""},
        token_type=read_text(record, "token_type"),
        refresh_token=read_text(record, "refresh_token"),
        expires_in=timedelta(seconds=read_count(record, "expires_in")) if expires else None,
    )
