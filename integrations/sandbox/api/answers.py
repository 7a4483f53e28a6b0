"""Answers as GitHub words them: JSON bodies, refusals, and a connection that just ends.

Knows nothing of who is asking.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

# Where the server leaves the connection's transport, so that a fault can cut it.
TRANSPORT_EXTENSION = "sandbox.transport"

DOCUMENTATION_URL = "https://docs.github.com/rest"


class GitHubJSON(JSONResponse):
    media_type = "application/json; charset=utf-8"


class Refusal(Exception):
    """A request that gets an error answer instead of what it asked for."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        headers: dict[str, str] | None = None,
        documentation_url: str = DOCUMENTATION_URL,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.body = {
            "message": message,
            **more,
            "documentation_url": documentation_url,
            "status": str(status),
        }

    def answer(self) -> Response:
        return GitHubJSON(self.body, status_code=self.status, headers=self.headers)


def not_found() -> Refusal:
    return Refusal(404, "Not Found")


def no_content() -> Response:
    return Response(status_code=204)


def graphql_refusal(
    kind: str | None, message: str, *, path: list[str] | None = None, **more: Any
) -> dict[str, Any]:
    """Return the body of a GraphQL answer that holds nothing but one error."""
    error: dict[str, Any] = {"type": kind} if kind else {}
    if path is not None:
        error["path"] = path
    data = {path[0]: None} if path else None
    return {"data": data, "errors": [error | {"message": message, **more}]}


class DroppedConnection(Response):
    """Not an answer at all: the TCP connection is reset before the first byte."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport: asyncio.Transport = scope["extensions"][TRANSPORT_EXTENSION]
        transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass
