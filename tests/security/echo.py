"""A GitHub that repeats, wherever there is room, the secret that it was asked with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tests.github.scripted import REQUEST_ID, Line

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.github.scripted import Asked


def _line(status: int, body: Any, **headers: str) -> Line:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Line(status, content, {"X-GitHub-Request-Id": REQUEST_ID, **headers})


def _sso(said: str, host: str) -> Line:
    url = f"http://{host}/orgs/o/sso?authorization_request={said.split()[-1]}"
    body = {"message": "Resource protected by organization SAML enforcement."}
    return _line(403, body, **{"X-GitHub-SSO": f"required; url={url}"})


def _elsewhere(said: str, host: str) -> Line:
    token = said.split()[-1]
    return _line(302, {}, Location=f"http://x:{token}@{host}/?token={token}")


# By the word that the token holds. `said` is the whole Authorization header.
WAYS: Final[dict[str, Callable[[str, str], Line]]] = {
    "refused": lambda said, _: _line(401, {"message": f"Bad credentials: {said}"}),
    "sporadic": lambda said, _: _line(401, {"message": f"Requires authentication, not {said}"}),
    "forbidden": lambda said, _: _line(403, {"message": f"You are not {said}"}),
    "sso": _sso,
    "missing": lambda said, _: _line(404, {"message": f"Not Found: {said}"}),
    "broken": lambda said, _: _line(502, f"<html>{said}</html>".encode()),
    "garbage": lambda said, _: _line(200, f"<html>{said}</html>".encode()),
    "shape": lambda said, _: _line(200, {said: said}),
    "elsewhere": _elsewhere,
    "limited": lambda said, _: _line(429, {"message": f"rate limit of {said}"}),
}


def repeat(asked: Asked) -> Line:
    """Answer with what came: the token of the API, or the client's secret of a refresh."""
    if asked.path == "/login/oauth/access_token":
        said = json.dumps(asked.body)
        return _line(200, {"error": f"bad {said}", "error_description": said})
    said = asked.headers.get("authorization", "nothing")
    found = next((word for word in WAYS if word in said), "refused")
    return WAYS[found](said, asked.headers["host"])
