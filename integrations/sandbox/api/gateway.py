"""What every call to the API passes: who asks, limits, faults, latency, headers and the log.

Knows nothing of what the endpoints answer.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from integrations.sandbox.api.answers import (
    DroppedConnection,
    GitHubJSON,
    Refusal,
    graphql_refusal,
)
from integrations.sandbox.api.calls import Call, Logged
from integrations.sandbox.api.limits import Bucket
from integrations.sandbox.api.scopes import with_brought_along
from integrations.sandbox.api.tokens import Token
from integrations.sandbox.api.viewers import Viewer
from integrations.sandbox.faults.answers import answer_instead, spoil
from integrations.sandbox.faults.registry import Situation
from integrations.sandbox.state import Sandbox

API_VERSIONS = ("2022-11-28", "2026-03-10")
_ALL_SCOPES = frozenset({"read:org", "user:email", "read:user", "user", "repo"})
_NO_USER_AGENT = (
    "Request forbidden by administrative rules. Please make sure your request has a User-Agent "
    "header (https://docs.github.com/en/rest/overview/resources-in-the-rest-api#user-agent-required)"
    ". Check https://developer.github.com for other possible causes.\n"
)


class Gateway:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def answer(self, call: Call, endpoint: Callable[[], Response]) -> Response:
        if not call.request.headers.get("User-Agent"):
            return Response(_NO_USER_AGENT, status_code=403, media_type="text/html")
        try:
            response = await self._admit_and_answer(call, endpoint)
        except Refusal as refusal:
            response = refusal.answer()
        if not isinstance(response, DroppedConnection):
            response = _unless_known(call, spoil(call, response))
            _set_headers(call, response)
        self._log(call, response)
        return response

    async def _admit_and_answer(self, call: Call, endpoint: Callable[[], Response]) -> Response:
        _refuse_unknown_version(call.request)
        self._recognise(call)
        call.faults = self._sandbox.faults.happening(_situation(call))
        await asyncio.sleep(self._delay_s(call))
        instead = answer_instead(call)
        if instead is not None:
            return instead
        if call.fault("public_only") is not None:
            call.viewer = Viewer(call.viewer.person, call.viewer.scopes, is_outsider=True)
        if call.bucket is not None and not call.bucket.spend(call.points):
            return _limit_reached(call, call.bucket)
        return endpoint()

    def _recognise(self, call: Call) -> None:
        """Find out whose call it is, and from which bucket it takes its points."""
        text = _token_text(call.request)
        if text is not None:
            call.token = self._sandbox.tokens.get(text)
            if call.token is None:
                raise Refusal(401, "Bad credentials")
            call.viewer = self._viewer(call.token)
            installation = call.viewer.installation
            if installation is not None and installation.suspended_at is not None:
                raise Refusal(403, "This installation has been suspended")
        elif call.kind == "graphql":
            raise Refusal(401, "This endpoint requires you to be authenticated.")
        call.bucket = self._sandbox.limits.bucket(
            _whose(call),
            "core" if call.kind == "rest" else "graphql",
            with_token=call.token is not None,
        )

    def _viewer(self, token: Token) -> Viewer:
        installations = self._sandbox.installations
        if token.installation_id is not None:
            installation = installations.get(token.installation_id)
            # Permissions decide, and no scope is ever missing.
            return Viewer(scopes=_ALL_SCOPES, installation=installation)
        if token.client_id == self._sandbox.app.client_id:
            person = self._sandbox.world.people[token.person_id]
            reachable = frozenset(one.account_id for one in installations)
            return Viewer(person, _ALL_SCOPES, reachable_ids=reachable)
        return Viewer(self._sandbox.world.people[token.person_id], with_brought_along(token.scopes))

    def _delay_s(self, call: Call) -> float:
        slow = call.fault("slow")
        delay_ms = self._sandbox.latency_of(call.organization)
        return delay_ms / 1_000 + (slow.params["seconds"] if slow is not None else 0)

    def _log(self, call: Call, response: Response) -> None:
        dropped = isinstance(response, DroppedConnection)
        self._sandbox.calls.add(
            Logged(
                method=call.request.method,
                path=call.request.url.path,
                kind=call.kind,
                status=0 if dropped else response.status_code,
                at=time.time(),
                organization=call.organization,
                token=_token_text(call.request),
                page_size=call.page_size,
                operation=call.operation,
            )
        )


def _whose(call: Call) -> str:
    """Return whose points a call takes."""
    if call.viewer.installation is not None:
        return f"installation {call.viewer.installation.id}"
    if call.viewer.person is not None:
        return f"person {call.viewer.person.id}"
    client = call.request.client
    return f"address {client.host if client else ''}"


def _refuse_unknown_version(request: Request) -> None:
    version = request.headers.get("X-GitHub-Api-Version", API_VERSIONS[0])
    if version not in API_VERSIONS:
        raise Refusal(400, f"API version '{version}' is not supported. Use one of {API_VERSIONS}.")


def _token_text(request: Request) -> str | None:
    """Return the token of `Bearer x`, `token x`, or the password of basic authentication."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() in ("bearer", "token"):
        return value.strip()
    if scheme.lower() == "basic":
        return basic_credentials(request)[1]
    return None


def basic_credentials(request: Request) -> tuple[str, str]:
    """Return user and password of basic authentication, empty when there are none."""
    _, _, value = request.headers.get("Authorization", "").partition(" ")
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password


def _situation(call: Call) -> Situation:
    return Situation(
        kind=call.kind,
        path=call.request.url.path,
        organization=call.organization,
        token=call.token.text if call.token is not None else None,
        page_size=call.page_size,
    )


def _limit_reached(call: Call, bucket: Bucket) -> Response:
    person = call.viewer.person
    installation = call.viewer.installation
    whom = f"user ID {person.id}" if person is not None else "your address"
    if installation is not None:
        whom = f"installation ID {installation.id}"
    message = f"API rate limit exceeded for {whom}."
    if call.kind == "graphql":
        return GitHubJSON(graphql_refusal("RATE_LIMITED", message))
    raise Refusal(403, message)


def _unless_known(call: Call, response: Response) -> Response:
    """Answer 304, which costs no point, to a client that has this very answer already.

    An ETag holds for one token only.
    """
    if call.request.method != "GET" or response.status_code != 200:
        return response
    about = bytes(response.body) + (call.token.text if call.token else "").encode()
    etag = f'W/"{hashlib.sha256(about).hexdigest()}"'
    response.headers["ETag"] = etag
    if call.request.headers.get("If-None-Match") != etag:
        return response
    if call.bucket is not None:
        call.bucket.give_back(call.points)
    return Response(status_code=304, headers={"ETag": etag})


def _set_headers(call: Call, response: Response) -> None:
    headers = response.headers
    headers["X-GitHub-Request-Id"] = call.request_id
    headers["X-GitHub-Media-Type"] = "github.v3; format=json"
    # No scopes are told of a GitHub App's tokens.
    if call.token is not None and not call.token.text.startswith(("ghs_", "ghu_")):
        headers["X-OAuth-Scopes"] = ", ".join(call.token.scopes)
        if call.token.client_id is not None:
            headers["X-OAuth-Client-Id"] = call.token.client_id
    bucket = call.bucket
    if call.fault("no_ratelimit_headers") is not None or bucket is None:
        return
    # A fault that tells of a limit has set its own figures.
    headers.setdefault("X-RateLimit-Limit", str(bucket.limit))
    headers.setdefault("X-RateLimit-Remaining", str(bucket.remaining))
    headers.setdefault("X-RateLimit-Used", str(bucket.used))
    headers.setdefault("X-RateLimit-Reset", str(bucket.reset_at))
    headers.setdefault("X-RateLimit-Resource", bucket.resource)
