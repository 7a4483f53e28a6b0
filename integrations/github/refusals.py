"""Which error an HTTP answer of GitHub stands for, by status, headers and message.

https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, TypedDict

from integrations.github.errors import (
    BadCredentials,
    Forbidden,
    GitHubError,
    Gone,
    InstallationSuspended,
    IntegrationForbidden,
    Invalid,
    MissingScopes,
    NotFound,
    OAuthAppRestricted,
    RateLimited,
    SamlRequired,
    Unavailable,
    UnexpectedAnswer,
)
from integrations.github.limits import is_used_up, retry_at
from integrations.github.reading import parse_json, web_address
from integrations.github.transport import RawAnswer

SSO_URL_LENGTH: Final = 1000
_SSO_URL: Final = re.compile(r"required;\s*url=(\S+)")
_LEAST_SCOPE: Final = re.compile(r"need at least ([a-z:_]+) scope")
# Words of limits. The last: too many failed sign-ins make GitHub reject good tokens for a while,
# https://docs.github.com/rest/authentication/authenticating-to-the-rest-api#failed-login-limit
_LIMIT_WORDS: Final = ("rate limit", "abuse detection", "login attempts exceeded")


class AnswerFacts(TypedDict):
    """What every error keeps of the answer it was read from."""

    status: int
    request_id: str


def facts_of(raw: RawAnswer) -> AnswerFacts:
    return {"status": raw.status, "request_id": raw.request_id}


def refusal_of(raw: RawAnswer) -> GitHubError:
    """Return the error that an answer other than 2xx stands for."""
    message, facts = message_of(raw), facts_of(raw)
    if raw.status in (403, 429):
        error = _forbidden(raw, message)
    elif raw.status == 401:
        # GitHub sometimes answers a good token with 401 and other words; that passes.
        is_bad = "bad credentials" in message.lower()
        error = (BadCredentials if is_bad else Unavailable)(message, **facts)
    elif raw.status == 404:
        error = NotFound(message, **facts)
    elif raw.status in (410, 451):
        error = Gone(message, **facts)
    elif raw.status >= 500 or raw.status == 408:
        error = Unavailable(message, **facts)
    elif raw.status >= 400:
        error = Invalid(message, **facts)
    else:
        error = UnexpectedAnswer(message, **facts)
    return error


def message_of(raw: RawAnswer) -> str:
    """Return the message of an error's body; an HTML page has none."""
    try:
        body = parse_json(raw.content)
    except UnexpectedAnswer:
        return ""
    message = body.get("message") if isinstance(body, dict) else None
    return message if isinstance(message, str) else ""


def is_limit_message(message: str) -> bool:
    lowered = message.lower()
    return any(words in lowered for words in _LIMIT_WORDS)


def rate_limited(raw: RawAnswer, message: str) -> RateLimited:
    return RateLimited(
        message,
        retry_at=retry_at(raw.headers, now=datetime.now(UTC)),
        secondary="secondary" in message.lower() or not is_used_up(raw.headers),
        **facts_of(raw),
    )


def saml_required(raw: RawAnswer, message: str) -> SamlRequired:
    found = _SSO_URL.match(raw.headers.get("X-GitHub-SSO", ""))
    url = web_address(found[1], length=SSO_URL_LENGTH) if found else ""
    return SamlRequired(message, url=url, **facts_of(raw))


def forbidden(raw: RawAnswer, message: str) -> Forbidden:
    """Return which kind of "no" it is; the words are the same in REST and GraphQL."""
    sso = raw.headers.get("X-GitHub-SSO", "")
    if "saml enforcement" in message.lower() or sso.startswith("required"):
        error: Forbidden = saml_required(raw, message)
    elif "installation has been suspended" in message:
        error = InstallationSuspended(message, **facts_of(raw))
    elif "Resource not accessible by" in message:
        accepted = raw.headers.get("X-Accepted-GitHub-Permissions", "")
        error = IntegrationForbidden(message, accepted_permissions=accepted, **facts_of(raw))
    elif "OAuth App access restrictions" in message:
        error = OAuthAppRestricted(message, **facts_of(raw))
    else:
        error = Forbidden(message, **facts_of(raw))
    return error


def scopes_in(headers: Mapping[str, str], name: str) -> frozenset[str] | None:
    """Return a header's list of scopes; None where GitHub sends none (fine-grained tokens)."""
    text = headers.get(name)
    return None if text is None else frozenset(re.split(r"[,\s]+", text)) - {""}


def _forbidden(raw: RawAnswer, message: str) -> GitHubError:
    """Tell apart what 403 and 429 are used for: limits, scopes, and plain refusals."""
    plain = forbidden(raw, message)
    if raw.status == 429 or is_limit_message(message):
        return rate_limited(raw, message)
    if type(plain) is not Forbidden:
        return plain
    if "Retry-After" in raw.headers or is_used_up(raw.headers):
        return rate_limited(raw, message)
    required = _missing_scopes(raw, message)
    return MissingScopes(message, required=required, **facts_of(raw)) if required else plain


def _missing_scopes(raw: RawAnswer, message: str) -> tuple[str, ...]:
    """Return the scopes of which one would have done, if it was for want of them."""
    named = _LEAST_SCOPE.search(message)
    if named:
        return (named[1],)
    accepted = scopes_in(raw.headers, "X-Accepted-OAuth-Scopes") or frozenset()
    granted = scopes_in(raw.headers, "X-OAuth-Scopes")
    if granted is None or granted & accepted:
        return ()
    return tuple(sorted(accepted))
