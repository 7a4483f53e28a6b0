"""GitHub Apps: signing in as the App, its installations, their tokens, and its deliveries.

https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import jwt

from integrations.github.errors import (
    AppRefused,
    BadCredentials,
    InstallationGone,
    NotFound,
    Unavailable,
    UnexpectedAnswer,
)
from integrations.github.http import PAGE_SIZE, GitHubClient
from integrations.github.oauth import TokenGrant
from integrations.github.reading import (
    JSON,
    LOGIN_LENGTH,
    JSONObject,
    as_list,
    as_object,
    read_count,
    read_id,
    read_instant,
    read_object,
    read_optional_id,
    read_required_text,
    read_text,
    read_url,
)

# A clock of ours that runs ahead makes no token from the future, and one that runs behind none
# that lives longer than the ten minutes that GitHub allows.
ISSUED_BEFORE: Final = timedelta(seconds=60)
EXPIRES_AFTER: Final = timedelta(seconds=300)
ALGORITHM: Final = "RS256"
WORD_LENGTH: Final = 100
_CLOCK_WORDS: Final = re.compile(r"'(?:Issued at|Expiration time)' claim")


@dataclass(frozen=True)
class Installation:
    """The App on one account: what it was granted, and whether it may work."""

    id: int
    account_id: int
    account_login: str
    account_type: str
    account_avatar_url: str
    permissions: dict[str, str]
    events: tuple[str, ...]
    repository_selection: str
    suspended_at: datetime | None
    created_at: datetime | None
    html_url: str

    @property
    def is_of_organization(self) -> bool:
        return self.account_type == "Organization"


@dataclass(frozen=True)
class Delivery:
    """One attempt of GitHub's to send a webhook; `guid` is the same for all attempts."""

    id: int
    guid: str
    event: str
    action: str
    delivered_at: datetime
    status_code: int
    installation_id: int | None

    @property
    def arrived(self) -> bool:
        return 200 <= self.status_code < 300


@dataclass(frozen=True)
class DeliveryPage:
    """Deliveries, newest first; `next_cursor` is empty at the end of what GitHub remembers."""

    deliveries: tuple[Delivery, ...]
    next_cursor: str


@dataclass(frozen=True)
class NewApp:
    """What GitHub made of a manifest; the secrets are told this once."""

    id: int
    slug: str
    name: str
    html_url: str
    client_id: str
    client_secret: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    private_key: str = field(repr=False)


def app_token(app_id: str, private_key: str, *, now: datetime) -> str:
    """Sign the JSON web token that the App itself signs in with (RS256). Good for five minutes.

    Raises AppRefused when the key is none.
    """
    claims = {
        "iss": app_id,
        "iat": int((now - ISSUED_BEFORE).timestamp()),
        "exp": int((now + EXPIRES_AFTER).timestamp()),
    }
    try:
        return jwt.encode(claims, _parsed(private_key), algorithm=ALGORITHM)
    except (jwt.PyJWTError, TypeError, ValueError) as exc:
        raise AppRefused("the private key can't sign") from exc


@lru_cache(maxsize=2)
def _parsed(private_key: str) -> Any:
    """Return the key as the library uses it: to parse one takes 50 times as long as to sign.

    Raises jwt.PyJWTError, TypeError or ValueError.
    """
    return jwt.get_algorithm_by_name(ALGORITHM).prepare_key(private_key)


def app_client(api_url: str, app_id: str, private_key: str) -> GitHubClient:
    """Return a client that asks as the App itself; make one for each few calls."""
    token = app_token(app_id, private_key, now=datetime.now(UTC))
    return GitHubClient(token=token, api_url=api_url)


def installation(client: GitHubClient, installation_id: int) -> Installation:
    """Return an installation of the App. Raises InstallationGone, AppRefused, GitHubError.

    https://docs.github.com/rest/apps/apps#get-an-installation-for-the-authenticated-app
    """
    with _as_app(), _of_installation():
        return read_installation(client.get(f"/app/installations/{installation_id}").body)


def installation_token(client: GitHubClient, installation_id: int) -> TokenGrant:
    """Have a token made that is good for an hour. Raises as `installation`, and Forbidden.

    https://docs.github.com/rest/apps/apps#create-an-installation-access-token-for-an-app
    """
    with _as_app(), _of_installation():
        answer = client.post(f"/app/installations/{installation_id}/access_tokens")
    record = as_object(answer.body)
    expires_at = read_instant(record, "expires_at")
    if expires_at is None:
        raise UnexpectedAnswer("an installation token without its end")
    return TokenGrant(
        access_token=read_required_text(record, "token"),
        scopes=frozenset(),
        token_type="installation",
        expires_in=expires_at - datetime.now(UTC),
    )


def user_installations(client: GitHubClient) -> tuple[Installation, ...]:
    """Return the installations that the token's person may reach: the check on a setup URL.

    https://docs.github.com/rest/apps/installations#list-app-installations-accessible-to-the-user-access-token
    """
    return tuple(
        read_installation(item)
        for answer in client.pages("/user/installations")
        for item in as_list(as_object(answer.body).get("installations"))
    )


def deliveries(client: GitHubClient, *, cursor: str = "") -> DeliveryPage:
    """Read a page of the App's webhook deliveries, newest first. Raises AppRefused, GitHubError.

    https://docs.github.com/rest/apps/webhooks#list-deliveries-for-an-app-webhook
    """
    params: dict[str, str | int] = {"per_page": PAGE_SIZE}
    if cursor:
        params["cursor"] = cursor
    with _as_app():
        answer = client.get("/app/hook/deliveries", **params)
    following = parse_qs(urlsplit(answer.next_url or "").query).get("cursor", [""])
    return DeliveryPage(
        deliveries=tuple(_read_delivery(item) for item in as_list(answer.body)),
        next_cursor=following[0],
    )


def redeliver(client: GitHubClient, delivery_id: int) -> None:
    """Ask GitHub to send a delivery again, under the GUID it had. Raises AppRefused, GitHubError.

    https://docs.github.com/rest/apps/webhooks#redeliver-a-delivery-for-an-app-webhook
    """
    with _as_app():
        client.post(f"/app/hook/deliveries/{delivery_id}/attempts")


def read_installation(item: JSON) -> Installation:
    """Read an installation, from REST or a webhook's payload. Raises UnexpectedAnswer."""
    record = as_object(item)
    account = read_object(record, "account")
    return Installation(
        id=read_id(record, "id"),
        account_id=read_id(account, "id"),
        account_login=read_required_text(account, "login", length=LOGIN_LENGTH),
        account_type=read_text(account, "type", length=WORD_LENGTH),
        account_avatar_url=read_url(account, "avatar_url"),
        permissions=_read_permissions(record),
        events=tuple(text for text in as_list(record.get("events") or []) if isinstance(text, str)),
        repository_selection=read_text(record, "repository_selection", length=WORD_LENGTH),
        suspended_at=read_instant(record, "suspended_at"),
        created_at=read_instant(record, "created_at"),
        html_url=read_url(record, "html_url"),
    )


def read_new_app(item: JSON) -> NewApp:
    """Read what the manifest's conversion answers. Raises UnexpectedAnswer.

    https://docs.github.com/rest/apps/apps#create-a-github-app-from-a-manifest
    """
    record = as_object(item)
    return NewApp(
        id=read_id(record, "id"),
        slug=read_required_text(record, "slug", length=WORD_LENGTH),
        name=read_text(record, "name", length=WORD_LENGTH),
        html_url=read_url(record, "html_url"),
        client_id=read_required_text(record, "client_id"),
        client_secret=read_required_text(record, "client_secret"),
        webhook_secret=read_text(record, "webhook_secret"),
        private_key=read_required_text(record, "pem"),
    )


def _read_permissions(record: JSONObject) -> dict[str, str]:
    granted = as_object(record.get("permissions") or {})
    return {name: level for name, level in granted.items() if isinstance(level, str)}


def _read_delivery(item: JSON) -> Delivery:
    record = as_object(item)
    delivered_at = read_instant(record, "delivered_at")
    if delivered_at is None:
        raise UnexpectedAnswer("a delivery without its time")
    return Delivery(
        id=read_id(record, "id"),
        guid=read_required_text(record, "guid", length=WORD_LENGTH),
        event=read_text(record, "event", length=WORD_LENGTH),
        action=read_text(record, "action", length=WORD_LENGTH),
        delivered_at=delivered_at,
        status_code=read_count(record, "status_code"),
        installation_id=read_optional_id(record, "installation_id"),
    )


@contextmanager
def _as_app() -> Iterator[None]:
    """Tell what GitHub says of the App's own sign-in from what it says of a token."""
    try:
        yield
    except NotFound as exc:
        if "Integration not found" not in exc.args[0]:
            raise
        raise AppRefused(exc.args[0], status=exc.status, request_id=exc.request_id) from exc
    except (BadCredentials, Unavailable) as exc:
        if exc.status != 401:
            raise
        raise AppRefused(
            exc.args[0],
            is_clock=bool(_CLOCK_WORDS.search(exc.args[0])),
            status=exc.status,
            request_id=exc.request_id,
        ) from exc


@contextmanager
def _of_installation() -> Iterator[None]:
    try:
        yield
    except NotFound as exc:
        if "Integration not found" in exc.args[0]:
            raise
        raise InstallationGone(exc.args[0], status=exc.status, request_id=exc.request_id) from exc
