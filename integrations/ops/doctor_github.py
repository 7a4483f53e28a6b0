"""The doctor on GitHub: whether it answers, our clock beside its, and whether it takes our apps."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.utils import timezone

from integrations.github import oauth
from integrations.github.app import app_token
from integrations.github.errors import GitHubError, OAuthError, Unavailable
from integrations.github.http import API_HEADERS
from integrations.github.transport import RawAnswer, TimeLimits, send
from integrations.ops.doctor_parts import clock_finding
from integrations.ops.findings import bad, good, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integrations.ops.findings import Finding

TIME_LIMITS: Final = TimeLimits(connect_s=3, read_s=5, total_s=6)
# GitHub has no such token: it looks at the app's secret first.
NO_TOKEN: Final = "gho_" + "0" * 36


def examine() -> Iterator[Finding]:
    """Yield what there is to say of GitHub."""
    try:
        answer = _ask("/rate_limit", {})
    except Unavailable:
        yield bad(
            "github", f"{settings.GITHUB_API_URL} does not answer.",
            "Mend GITHUB_API_URL, the name service or the firewall. Syncs wait meanwhile.",
        )  # fmt: skip
    except GitHubError as exc:
        yield bad("github", f"Its answer makes no sense: {exc.reason}.", "Mend GITHUB_API_URL.")
    else:
        yield from _of_answer(answer)
        yield _oauth_app()
        yield _github_app()
    yield _webhooks()


def _ask(path: str, headers: dict[str, str]) -> RawAnswer:
    return send(
        "GET",
        f"{settings.GITHUB_API_URL}{path}",
        headers={**API_HEADERS, **headers},
        time_limits=TIME_LIMITS,
    )


def _of_answer(answer: RawAnswer) -> Iterator[Finding]:
    # Without a token it may refuse; that it does so shows that it is there.
    if answer.status < 500 and answer.status != 404:
        yield good("github", f"{settings.GITHUB_API_URL} answers.")
    else:
        yield bad(
            "github", f"{settings.GITHUB_API_URL} answers with {answer.status}.",
            "Mend GITHUB_API_URL; on GitHub Enterprise Server it is https://HOST/api/v3.",
        )  # fmt: skip
    try:
        told_at = parsedate_to_datetime(answer.headers.get("Date", ""))
    except (TypeError, ValueError):
        yield warn("github clock", "GitHub tells no time.", "Is there a proxy in between?")
    else:
        yield clock_finding("github clock", time.time() - told_at.timestamp())


def _oauth_app() -> Finding:
    subject = "oauth app"
    if not settings.GITHUB_CLIENT_ID:
        return good(subject, "Not set: people connect by the GitHub App or a token.")
    try:
        oauth.revoke_token(
            api_url=settings.GITHUB_API_URL,
            client_id=settings.GITHUB_CLIENT_ID,
            client_secret=settings.GITHUB_CLIENT_SECRET,
            access_token=NO_TOKEN,
        )
    except OAuthError:
        return bad(
            subject, "GitHub refuses its id or secret.",
            "Compare GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET with the app's page at GitHub.",
        )  # fmt: skip
    except GitHubError as exc:
        if exc.reason == "not_found":
            return bad(subject, "GitHub knows no such app.", "Mend GITHUB_CLIENT_ID.")
        return _unclear(subject, exc)
    return good(subject, "GitHub takes its id and secret.")


def _github_app() -> Finding:
    subject = "github app"
    if not settings.GITHUB_APP_CONFIGURED:
        return good(subject, "Not set: manage.py create_github_app makes one.")
    mend = "Compare GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY with the App's page at GitHub."
    try:
        token = app_token(
            settings.GITHUB_APP_ID, settings.GITHUB_APP_PRIVATE_KEY, now=timezone.now()
        )
        answer = _ask("/app", {"Authorization": f"Bearer {token}"})
    except GitHubError as exc:
        if isinstance(exc, Unavailable):
            return _unclear(subject, exc)
        return bad(subject, "Its private key can't sign.", mend)
    if answer.status == 200:
        return good(subject, "GitHub takes its id and private key.")
    return bad(subject, f"GitHub refuses it ({answer.status}).", mend)


def _unclear(subject: str, exc: GitHubError) -> Finding:
    return warn(subject, f"GitHub gave no clear answer: {exc.reason}.", "Try again in a minute.")


def _webhooks() -> Finding:
    if settings.GITHUB_WEBHOOK_SECRETS:
        return good("webhooks", "Their secret is set.")
    if settings.GITHUB_APP_CONFIGURED:
        return bad(
            "webhooks", "GITHUB_WEBHOOK_SECRET is empty: the App's webhooks are refused.",
            "Set it to the secret on the App's page. Until then rosters change once a night.",
        )  # fmt: skip
    return warn(
        "webhooks", "GITHUB_WEBHOOK_SECRET is empty: webhooks are off.",
        "Set it when you have a GitHub App; rosters change once a night until then.",
    )  # fmt: skip
