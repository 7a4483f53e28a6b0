"""REST for the App itself: its installations, their tokens, and its deliveries.

https://docs.github.com/rest/apps
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from integrations.sandbox.api.answers import GitHubJSON, Refusal, no_content, not_found
from integrations.sandbox.api.calls import Logged
from integrations.sandbox.apps import payloads, signing_in
from integrations.sandbox.apps.app import Installation
from integrations.sandbox.apps.deliveries import Attempt, Delivery
from integrations.sandbox.control.reading import read_json
from integrations.sandbox.state import Sandbox

TOKEN_LIFETIME_S = 3_600
SUSPENDED = "This installation has been suspended"
_PAGE_SIZE_MAX = 100

Endpoint = Callable[[Request], Any]


class AppRest:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        one = "/app/installations/{installation_id:int}"
        attempt = "/app/hook/deliveries/{attempt_id:int}"
        listed: tuple[tuple[str, str, Endpoint], ...] = (
            ("/app", "GET", self.show_app),
            ("/app/installations", "GET", self.list_installations),
            (one, "GET", self.show_installation),
            (one, "DELETE", self.delete_installation),
            (f"{one}/access_tokens", "POST", self.make_token),
            ("/app/hook/config", "GET", self.show_hook),
            ("/app/hook/config", "PATCH", self.change_hook),
            ("/app/hook/deliveries", "GET", self.list_deliveries),
            (attempt, "GET", self.show_delivery),
            (f"{attempt}/attempts", "POST", self.redeliver),
        )
        return [
            Route(f"/api/v3{path}", self._as_app(endpoint), methods=[method])
            for path, method, endpoint in listed
        ]

    def _as_app(self, endpoint: Endpoint) -> Endpoint:
        async def serve(request: Request) -> Response:
            try:
                signing_in.check(request, self._sandbox.app)
                response: Response = await endpoint(request)
            except Refusal as refusal:
                response = refusal.answer()
            self._log(request, response)
            return response

        return serve

    def _log(self, request: Request, response: Response) -> None:
        installed = self._sandbox.installations.get(request.path_params.get("installation_id", 0))
        organization = None
        if installed is not None and installed.is_organization:
            found = self._sandbox.world.organization_by_id(installed.account_id)
            organization = found.login.lower() if found else None
        self._sandbox.calls.add(
            Logged(
                method=request.method,
                path=request.url.path,
                kind="rest",
                status=response.status_code,
                at=time.time(),
                organization=organization,
                token=None,
                page_size=None,
            )
        )

    async def show_app(self, request: Request) -> Response:
        app, origin = self._sandbox.app, _origin(request)
        return GitHubJSON(
            {
                "id": app.id,
                "slug": app.slug,
                "name": app.name,
                "client_id": app.client_id,
                "html_url": f"{origin}/apps/{app.slug}",
                "permissions": app.permissions,
                "events": app.events,
                "installations_count": len(list(self._sandbox.installations)),
            }
        )

    async def list_installations(self, request: Request) -> Response:
        return GitHubJSON([self._shape(one, request) for one in self._sandbox.installations])

    async def show_installation(self, request: Request) -> Response:
        return GitHubJSON(self._shape(self._named(request), request))

    async def delete_installation(self, request: Request) -> Response:
        self._sandbox.uninstall(self._named(request))
        return no_content()

    async def make_token(self, request: Request) -> Response:
        installed = self._named(request)
        if installed.suspended_at is not None:
            raise Refusal(403, SUSPENDED)
        token = self._sandbox.tokens.add_installation(installed.id, expires_in_s=TOKEN_LIFETIME_S)
        return GitHubJSON(
            {
                "token": token.text,
                "expires_at": payloads.moment(token.expires_at_s or 0),
                "permissions": installed.permissions,
                "repository_selection": installed.repository_selection,
            },
            status_code=201,
        )

    async def show_hook(self, request: Request) -> Response:
        return GitHubJSON(self._hook())

    async def change_hook(self, request: Request) -> Response:
        facts = await read_json(request)
        app = self._sandbox.app
        app.webhook_url = facts.get("url", app.webhook_url)
        app.webhook_secret = facts.get("secret", app.webhook_secret)
        return GitHubJSON(self._hook())

    def _hook(self) -> dict[str, Any]:
        app = self._sandbox.app
        secret = "********" if app.webhook_secret else None
        return {
            "content_type": "json", "insecure_ssl": "0", "url": app.webhook_url, "secret": secret,
        }  # fmt: skip

    async def list_deliveries(self, request: Request) -> Response:
        """Newest first; the cursor is the id of the first attempt of the next page."""
        size = min(_PAGE_SIZE_MAX, int(request.query_params.get("per_page", "30")))
        cursor = request.query_params.get("cursor", "")
        listed = sorted(
            (
                (attempt.id, delivery, attempt)
                for delivery in self._sandbox.events.deliveries
                for attempt in delivery.attempts
                if attempt.status_code is not None
                and (not cursor or attempt.id <= int(cursor.removeprefix("v1_")))
            ),
            key=lambda one: -one[0],
        )
        body = [_listed(delivery, attempt) for _, delivery, attempt in listed[:size]]
        response = GitHubJSON(body)
        if len(listed) > size:
            url = request.url.include_query_params(cursor=f"v1_{listed[size][0]}")
            response.headers["Link"] = f'<{url}>; rel="next"'
        return response

    async def show_delivery(self, request: Request) -> Response:
        delivery, attempt = self._attempt(request)
        headers = self._sandbox.events.deliveries.headers(delivery)
        asked = {"headers": headers, "payload": delivery.payload}
        return GitHubJSON(_listed(delivery, attempt) | {"request": asked, "response": {}})

    async def redeliver(self, request: Request) -> Response:
        delivery, _ = self._attempt(request)
        self._sandbox.events.deliveries.attempt(delivery)
        return GitHubJSON({}, status_code=202)

    def _attempt(self, request: Request) -> tuple[Delivery, Attempt]:
        found = self._sandbox.events.deliveries.find_attempt(request.path_params["attempt_id"])
        if found is None:
            raise not_found()
        return found

    def _named(self, request: Request) -> Installation:
        installed = self._sandbox.installations.get(request.path_params["installation_id"])
        if installed is None:
            raise not_found()
        return installed

    def _shape(self, installed: Installation, request: Request) -> dict[str, Any]:
        return payloads.installation(
            installed,
            app=self._sandbox.app,
            world=self._sandbox.world,
            origin=_origin(request),
        )


def _listed(delivery: Delivery, attempt: Attempt) -> dict[str, Any]:
    arrived = attempt.status_code is not None and 200 <= attempt.status_code < 300
    return {
        "id": attempt.id,
        "guid": delivery.guid,
        "delivered_at": payloads.moment(attempt.at),
        "redelivery": attempt.is_redelivery,
        "duration": round(attempt.duration_s, 2),
        "status": "OK" if arrived else f"Invalid HTTP Response: {attempt.status_code}",
        "status_code": attempt.status_code,
        "event": delivery.event,
        "action": delivery.action,
        "installation_id": delivery.installation_id,
        "repository_id": None,
    }


def _origin(request: Request) -> str:
    return str(request.base_url).rstrip("/")
