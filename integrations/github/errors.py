"""Everything that can go wrong between us and GitHub, as classes that callers decide by.

    GitHubError
    ├── BadCredentials        the token is revoked, expired or wrong
    ├── Forbidden             GitHub knows the token and says no
    │   ├── SamlRequired          the organisation wants single sign-on first
    │   ├── IntegrationForbidden  a permission that an owner has to accept
    │   ├── InstallationSuspended the App's installation is suspended
    │   └── OAuthAppRestricted    the organisation has not approved the app
    ├── MissingScopes         the token was granted too little
    ├── NotFound              missing, or hidden from this token
    ├── Gone                  gone for good
    ├── Invalid               GitHub doesn't understand the question
    ├── RateLimited           GitHub asks us to wait
    ├── Unavailable           no proper answer; ask again later
    │   └── PageTooLarge          ask again for less
    ├── UnexpectedAnswer      an answer that makes no sense
    ├── OAuthError            the sign-in at GitHub failed
    ├── AppRefused            GitHub doesn't accept what the App signs in with
    └── InstallationGone      the App is not installed there any more

It words nothing for people: `reason` is a code, and reasons.py has the sentence.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import ClassVar, Final

DETAIL_LENGTH: Final = 300
# https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/
# and the 40 hexadecimal digits of the format before it.
# A JSON web token is what an App signs in with.
_TOKEN: Final = re.compile(
    r"\b(?:gh[a-z]_|github_pat_)\w+|\b[0-9a-f]{40}\b|\beyJ[\w-]+\.[\w-]+\.[\w-]+"
)
_OAUTH_CODE: Final = re.compile(r"[a-z_]{1,34}")


class GitHubError(Exception):
    """Any failure to get from GitHub what was asked for."""

    reason: str = "github_error"
    # True: asking the same again gives the same answer until a person changes something.
    permanent: ClassVar[bool] = True

    def __init__(
        self, detail: str = "", *, status: int | None = None, request_id: str = ""
    ) -> None:
        super().__init__(_safe(detail))
        # The HTTP status; None when there was no answer, or its content was the trouble.
        self.status = status
        # X-GitHub-Request-Id, which GitHub's support asks for.
        self.request_id = _safe(request_id)

    def __str__(self) -> str:
        facts = [
            f"status {self.status}" if self.status is not None else "",
            f"request {self.request_id}" if self.request_id else "",
        ]
        told = ", ".join(fact for fact in facts if fact)
        words = f"{self.reason}: {self.args[0]}" if self.args[0] else self.reason
        return f"{words} ({told})" if told else words


class BadCredentials(GitHubError):
    """401 "Bad credentials". Asking on gets all of the person's sign-ins rejected for a while."""

    reason = "bad_credentials"


class Forbidden(GitHubError):
    """GitHub knows the token and doesn't let it."""

    reason = "forbidden"


class SamlRequired(Forbidden):
    """The organisation wants single sign-on; `url` is where, good for an hour, or empty."""

    reason = "saml_required"

    def __init__(
        self, detail: str = "", *, url: str, status: int | None = None, request_id: str = ""
    ) -> None:
        super().__init__(detail, status=status, request_id=request_id)
        self.url = url


class IntegrationForbidden(Forbidden):
    """The token lacks a permission; `accepted_permissions` says which would do, or is empty."""

    reason = "permission_missing"

    def __init__(
        self,
        detail: str = "",
        *,
        accepted_permissions: str,
        status: int | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(detail, status=status, request_id=request_id)
        self.accepted_permissions = accepted_permissions


class InstallationSuspended(Forbidden):
    """An owner, or GitHub, suspended the App's installation."""

    reason = "app_suspended"


class OAuthAppRestricted(Forbidden):
    """The organisation lets only OAuth apps in that an owner approved."""

    reason = "oauth_app_restricted"


class MissingScopes(GitHubError):
    """The token needs one of the scopes in `required`, which is empty if GitHub didn't say."""

    reason = "missing_scopes"

    def __init__(
        self,
        detail: str = "",
        *,
        required: tuple[str, ...],
        status: int | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(detail, status=status, request_id=request_id)
        self.required = required


class NotFound(GitHubError):
    """Missing, or hidden from this token: GitHub doesn't tell them apart."""

    reason = "not_found"


class Gone(GitHubError):
    """410 or 451: gone for good."""

    reason = "gone"


class Invalid(GitHubError):
    """400, 422, or a GraphQL document that GitHub refuses."""

    reason = "invalid_request"


class RateLimited(GitHubError):
    """GitHub asks us to wait until `retry_at` (UTC).

    None means that GitHub gave no figure: wait 60 s, then ever longer. Going on regardless may
    get the app banned, says
    https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """

    reason = "rate_limited"
    permanent = False

    def __init__(
        self,
        detail: str = "",
        *,
        retry_at: datetime | None,
        secondary: bool,
        status: int | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(detail, status=status, request_id=request_id)
        self.retry_at = retry_at
        self.secondary = secondary


class Unavailable(GitHubError):
    """No proper answer: 5xx, a timeout, a lost connection, a fault that GitHub admits to."""

    reason = "github_unavailable"
    permanent = False


class PageTooLarge(Unavailable):
    """GitHub couldn't put so large an answer together: ask for a smaller page."""

    reason = "page_too_large"


class UnexpectedAnswer(GitHubError):
    """An answer that isn't GitHub's: no JSON, another shape, an address elsewhere."""

    reason = "unexpected_answer"
    permanent = False


class OAuthError(GitHubError):
    """GitHub refused the sign-in; `code` is its word for why, "failed" if it had none.

    https://docs.github.com/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors
    """

    reason = "oauth_failed"

    def __init__(
        self, detail: str = "", *, code: str, status: int | None = None, request_id: str = ""
    ) -> None:
        super().__init__(detail, status=status, request_id=request_id)
        self.code = code if _OAUTH_CODE.fullmatch(code) else "failed"
        self.reason = f"oauth_{self.code}"


class AppRefused(GitHubError):
    """GitHub doesn't accept the App's own sign-in: its key, its id, or this machine's clock.

    https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app
    """

    reason = "app_refused"

    def __init__(
        self,
        detail: str = "",
        *,
        is_clock: bool = False,
        status: int | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(detail, status=status, request_id=request_id)
        self.reason = "app_clock_wrong" if is_clock else "app_refused"


class InstallationGone(GitHubError):
    """The App was uninstalled, or the account deleted."""

    reason = "app_uninstalled"


def _safe(text: str) -> str:
    """Return text fit for a log: short, printable, without anything that looks like a token."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return _TOKEN.sub("***", printable)[:DETAIL_LENGTH]
