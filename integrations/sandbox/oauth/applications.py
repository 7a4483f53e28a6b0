"""What an OAuth app can ask about the tokens it holds, with its id and secret.

https://docs.github.com/rest/apps/oauth-applications
"""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from integrations.sandbox.api.answers import GitHubJSON, Refusal, no_content, not_found
from integrations.sandbox.api.gateway import basic_credentials
from integrations.sandbox.api.tokens import Token
from integrations.sandbox.rest import shapes
from integrations.sandbox.state import Sandbox


class Applications:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        app = "/api/v3/applications/{client_id}"
        return [
            Route(f"{app}/token", self.check_token, methods=["POST"]),
            Route(f"{app}/token", self.delete_token, methods=["DELETE"]),
            Route(f"{app}/grant", self.delete_grant, methods=["DELETE"]),
        ]

    async def check_token(self, request: Request) -> Response:
        try:
            token = await self._named_token(request)
        except Refusal as refusal:
            return refusal.answer()
        origin = str(request.base_url).rstrip("/")
        person = self._sandbox.world.people[token.person_id]
        return GitHubJSON(
            {
                "scopes": list(token.scopes),
                "token": token.text,
                "token_last_eight": token.text[-8:],
                "app": {"client_id": token.client_id, "name": "Sandbox app", "url": origin},
                "user": shapes.simple_user(person, origin=origin),
            }
        )

    async def delete_token(self, request: Request) -> Response:
        try:
            self._sandbox.tokens.revoke(await self._named_token(request))
        except Refusal as refusal:
            return refusal.answer()
        return no_content()

    async def delete_grant(self, request: Request) -> Response:
        try:
            token = await self._named_token(request)
            self._sandbox.tokens.revoke_grant(token)
            if token.client_id == self._sandbox.app.client_id:
                self._sandbox.events.authorization_revoked(
                    self._sandbox.world.people[token.person_id]
                )
        except Refusal as refusal:
            return refusal.answer()
        return no_content()

    async def _named_token(self, request: Request) -> Token:
        client_id = request.path_params["client_id"]
        if basic_credentials(request) not in self._sandbox.clients():
            raise Refusal(401, "Bad credentials")
        text = _access_token(await request.body())
        if text is None:
            raise Refusal(422, 'Invalid request.\n\n"access_token" wasn\'t supplied.')
        token = self._sandbox.tokens.get(text)
        if token is None or token.client_id != client_id:
            raise not_found()
        return token


def _access_token(body: bytes) -> str | None:
    try:
        facts: Any = json.loads(body)
    except ValueError:
        return None
    text = facts.get("access_token") if isinstance(facts, dict) else None
    return text if isinstance(text, str) else None
