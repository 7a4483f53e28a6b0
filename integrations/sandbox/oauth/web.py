"""OAuth's web flow: the consent page, and the exchange of a code for a token.

https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
GitHub remembers a consent and skips the page the next time; here it is always shown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from integrations.sandbox.api.answers import GitHubJSON
from integrations.sandbox.api.scopes import parse_scopes
from integrations.sandbox.api.tokens import Token
from integrations.sandbox.page_parts import hidden, message, option, page
from integrations.sandbox.state import Sandbox

_ERRORS_PAGE = (
    "https://docs.github.com/apps/oauth-apps/maintaining-oauth-apps/"
    "troubleshooting-authorization-request-errors"
)
# A user token of a GitHub App lives for 8 hours, its refresh token for 6 months.
_USER_TOKEN_S = 8 * 3600
_REFRESH_TOKEN_S = 184 * 24 * 3600
_TOKEN_ERRORS_PAGE = (
    "https://docs.github.com/apps/oauth-apps/maintaining-oauth-apps/"
    "troubleshooting-oauth-app-access-token-request-errors"
)
_THIS_MACHINE = ("127.0.0.1", "localhost")
_KEPT_THROUGH_CONSENT = (
    "client_id",
    "redirect_uri",
    "state",
    "code_challenge",
    "code_challenge_method",
)


class OAuthWeb:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        return [
            Route("/login/oauth/authorize", self.ask, methods=["GET"]),
            Route("/login/oauth/authorize", self.decide, methods=["POST"]),
            Route("/login/oauth/access_token", self.exchange, methods=["POST"]),
        ]

    async def ask(self, request: Request) -> Response:
        asked = request.query_params
        refused = self._refuse(asked)
        if refused is not None:
            return refused
        people = self._sandbox.people_who_can_sign_in()
        scopes = parse_scopes(asked.get("scope", ""))
        return page(
            "consent",
            redirect_host=escape(urlsplit(self._redirect_uri(asked)).netloc),
            hidden="".join(hidden(name, asked.get(name, "")) for name in _KEPT_THROUGH_CONSENT),
            people="".join(
                option(
                    person.login,
                    f"{person.name or person.login} ({person.login})",
                    selected=person.login.lower() == asked.get("login", "").lower(),
                )
                for person in people
            ),
            scopes="".join(_checkbox(scope) for scope in scopes) or "<p>Nothing in particular</p>",
        )

    async def decide(self, request: Request) -> Response:
        form = await request.form()
        asked = {name: value for name, value in form.items() if isinstance(value, str)}
        refused = self._refuse(asked)
        if refused is not None:
            return refused
        if asked.get("action") != "authorize":
            return self._turn_back(
                asked,
                "access_denied",
                "The user has denied your application access.",
            )
        person = self._sandbox.world.people.find(asked.get("login", ""))
        if person is None:
            return message("Nobody has that login", "Go back and choose somebody.", status=422)
        code = self._sandbox.codes.add(
            person.id,
            scopes=tuple(parse_scopes(" ".join(map(str, form.getlist("scope"))))),
            client_id=asked["client_id"],
            redirect_uri=self._redirect_uri(asked),
            challenge=asked.get("code_challenge") or None,
        )
        return _redirect(code.redirect_uri, code=code.text, state=asked.get("state"))

    async def exchange(self, request: Request) -> Response:
        """Give a token for a code. Errors come with 200, too."""
        facts = await _body(request)
        outcome = self._token_or_error(facts)
        if "application/json" in request.headers.get("Accept", ""):
            return GitHubJSON(outcome)
        return Response(urlencode(outcome), media_type="application/x-www-form-urlencoded")

    def _token_or_error(self, facts: Mapping[str, str]) -> dict[str, str | int]:
        given = (facts.get("client_id"), facts.get("client_secret"))
        if given not in self._sandbox.clients():
            return _token_error(
                "incorrect_client_credentials",
                "The client_id and/or client_secret passed are incorrect.",
            )
        if facts.get("grant_type") == "refresh_token":
            return self._refreshed(facts.get("refresh_token", ""), str(given[0]))
        code = self._sandbox.codes.take(facts.get("code", ""))
        if code is None or not code.is_proven_by(facts.get("code_verifier")):
            return _token_error("bad_verification_code", "The code passed is incorrect or expired.")
        if facts.get("redirect_uri", code.redirect_uri) != code.redirect_uri:
            return _token_error(
                "redirect_uri_mismatch",
                "The redirect_uri MUST match the registered callback URL for this application.",
            )
        if code.client_id == self._sandbox.app.client_id:
            pair = self._sandbox.tokens.add_pair(
                code.person_id, scopes=(), client_id=code.client_id, expires_in_s=_USER_TOKEN_S
            )
            return _pair_facts(pair)
        token = self._sandbox.tokens.add_for_app(
            code.person_id, scopes=code.scopes, client_id=code.client_id
        )
        return {
            "access_token": token.text,
            "token_type": "bearer",
            "scope": ",".join(token.scopes),
        }

    def _refreshed(self, refresh_text: str, client_id: str) -> dict[str, str | int]:
        """Exchange a refresh token, which is good for this once."""
        token = self._sandbox.tokens.refresh(
            refresh_text, client_id=client_id, expires_in_s=_USER_TOKEN_S
        )
        if token is None:
            return _token_error(
                "bad_refresh_token", "The refresh token passed is incorrect or expired."
            )
        return _pair_facts(token)

    def _refuse(self, asked: Mapping[str, str]) -> Response | None:
        """Return what GitHub answers to an authorisation request that it can't carry out."""
        known = (self._sandbox.options.client_id, self._sandbox.app.client_id)
        if asked.get("client_id") not in known:
            return message("Not found", "No app has this client id.", status=404)
        if not self._is_registered(self._redirect_uri(asked)):
            return self._redirect_uri_mismatch(asked)
        method = asked.get("code_challenge_method") or "plain"
        if asked.get("code_challenge") and method != "S256":
            return self._turn_back(asked, "invalid_request", "Only S256 is supported.")
        return None

    def _redirect_uri_mismatch(self, asked: Mapping[str, str]) -> Response:
        words = "The redirect_uri MUST match the registered callback URL for this application."
        callback = self._sandbox.options.callback
        if not callback:
            return message("Be careful!", words, status=400)
        return self._turn_back({**asked, "redirect_uri": callback}, "redirect_uri_mismatch", words)

    def _redirect_uri(self, asked: Mapping[str, str]) -> str:
        return asked.get("redirect_uri") or self._sandbox.options.callback

    def _is_registered(self, uri: str) -> bool:
        """Tell whether the address is the registered callback, or a path below it."""
        callback = self._sandbox.options.callback
        wanted, registered = urlsplit(uri), urlsplit(callback)
        if not callback:
            return wanted.scheme == "http" and wanted.hostname in _THIS_MACHINE
        same_place = wanted[:2] == registered[:2]
        below = f"{wanted.path}/".startswith(f"{registered.path.rstrip('/')}/")
        return same_place and below

    def _turn_back(self, asked: Mapping[str, str], error: str, description: str) -> Response:
        return _redirect(
            self._redirect_uri(asked),
            error=error,
            error_description=description,
            error_uri=f"{_ERRORS_PAGE}/#{error.replace('_', '-')}",
            state=asked.get("state"),
        )


def _redirect(uri: str, **params: str | None) -> RedirectResponse:
    query = urlencode({name: value for name, value in params.items() if value})
    return RedirectResponse(f"{uri}{'&' if '?' in uri else '?'}{query}", status_code=302)


def _checkbox(scope: str) -> str:
    name = escape(scope)
    return (
        f'<label><input type="checkbox" name="scope" value="{name}" checked> '
        f"<code>{name}</code></label><br>"
    )


def _pair_facts(token: Token) -> dict[str, str | int]:
    return {
        "access_token": token.text,
        "expires_in": _USER_TOKEN_S,
        "refresh_token": token.refresh_text,
        "refresh_token_expires_in": _REFRESH_TOKEN_S,
        "scope": ",".join(token.scopes),
        "token_type": "bearer",
    }


def _token_error(error: str, description: str) -> dict[str, str | int]:
    uri = f"{_TOKEN_ERRORS_PAGE}/#{error.replace('_', '-')}"
    return {"error": error, "error_description": description, "error_uri": uri}


async def _body(request: Request) -> dict[str, str]:
    """Read the parameters from JSON, a form or the address: GitHub takes all three."""
    if "application/json" in request.headers.get("Content-Type", ""):
        try:
            facts: Any = json.loads(await request.body())
        except ValueError:
            return {}
        return facts if isinstance(facts, dict) else {}
    form = await request.form()
    sent = {name: value for name, value in form.items() if isinstance(value, str)}
    return {**request.query_params, **sent}
