"""Control API: the App, its installations, and deliveries made by hand."""

from __future__ import annotations

import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from integrations.sandbox.apps import payloads
from integrations.sandbox.apps.app import Installation
from integrations.sandbox.apps.deliveries import Delivery
from integrations.sandbox.control.reading import (
    find_organization,
    find_person,
    read_json,
    required,
)
from integrations.sandbox.state import Sandbox

CHANGEABLE = (
    "webhook_url",
    "webhook_secret",
    "setup_url",
    "permissions",
    "events",
    "clock_offset_s",
    "deliveries_paused",
)


class Apps:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        one = "/_sandbox/installations/{installation_id:int}"
        return [
            Route("/_sandbox/app", self.show, methods=["GET"]),
            Route("/_sandbox/app", self.change, methods=["PATCH"]),
            Route("/_sandbox/installations", self.install, methods=["POST"]),
            Route(one, self.change_installation, methods=["PATCH"]),
            Route(one, self.uninstall, methods=["DELETE"]),
            Route(f"{one}/tokens", self.make_token, methods=["POST"]),
            Route("/_sandbox/deliveries", self.list_deliveries, methods=["GET"]),
            Route("/_sandbox/deliveries", self.deliver, methods=["POST"]),
            Route("/_sandbox/deliveries/{guid}/attempts", self.redeliver, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        app = self._sandbox.app
        facts = {name: getattr(app, name) for name in CHANGEABLE}
        return JSONResponse(
            facts
            | {
                "id": app.id,
                "slug": app.slug,
                "client_id": app.client_id,
                "client_secret": app.client_secret,
                "pem": app.private_key,
            }
        )

    async def change(self, request: Request) -> Response:
        for name, value in (await read_json(request)).items():
            if name not in CHANGEABLE:
                raise HTTPException(422, f"{name} is nothing that changes")
            setattr(self._sandbox.app, name, value)
        return await self.show(request)

    async def install(self, request: Request) -> Response:
        """Install on an organisation (or a person), also because somebody had asked for it."""
        facts = await read_json(request)
        if "person" in facts:
            account_id = find_person(self._sandbox, facts["person"]).id
        else:
            account_id = find_organization(self._sandbox, required(facts, "organization")).id
        requester = facts.get("requester")
        installed = self._sandbox.install(
            account_id,
            is_organization="person" not in facts,
            requester=find_person(self._sandbox, requester) if requester else None,
            permissions=facts.get("permissions"),
            events=facts.get("events"),
        )
        return JSONResponse(self._shape(installed, request), status_code=201)

    async def change_installation(self, request: Request) -> Response:
        installed, facts = self._named(request), await read_json(request)
        if "suspended" in facts:
            installed.suspended_at = time.time() if facts["suspended"] else None
            self._tell(installed, "suspend" if facts["suspended"] else "unsuspend")
        if "permissions" in facts or "events" in facts:
            installed.permissions = facts.get("permissions", installed.permissions)
            installed.events = facts.get("events", installed.events)
            self._tell(installed, "new_permissions_accepted")
        self._sandbox.installations.keep()
        return JSONResponse(self._shape(installed, request))

    def _tell(self, installed: Installation, action: str) -> None:
        self._sandbox.events.installation_changed(installed, action)

    async def uninstall(self, request: Request) -> Response:
        self._sandbox.uninstall(self._named(request))
        return Response(status_code=204)

    async def make_token(self, request: Request) -> Response:
        installed, facts = self._named(request), await read_json(request)
        token = self._sandbox.tokens.add_installation(
            installed.id, expires_in_s=facts.get("expires_in", 3_600)
        )
        return JSONResponse({"token": token.text}, status_code=201)

    async def list_deliveries(self, request: Request) -> Response:
        """Those of one organisation, oldest first."""
        named = request.query_params.get("organization")
        account_id = find_organization(self._sandbox, named).id if named else None
        return JSONResponse(
            [
                self._facts(one)
                for one in self._sandbox.events.deliveries
                if account_id in (None, one.account_id)
            ]
        )

    async def deliver(self, request: Request) -> Response:
        """Send any event, with what every delivery about the organisation has."""
        facts = await read_json(request)
        events = self._sandbox.events
        organization = find_organization(self._sandbox, required(facts, "organization"))
        installed = self._sandbox.installations.on(organization.id)
        if installed is None:
            raise HTTPException(409, "the App is not installed there")
        delivery = events.send_anything(
            required(facts, "event"), None, organization, installed, facts.get("payload") or {}
        )
        return JSONResponse(self._facts(delivery), status_code=201)

    async def redeliver(self, request: Request) -> Response:
        deliveries = self._sandbox.events.deliveries
        for delivery in deliveries:
            if delivery.guid == request.path_params["guid"]:
                deliveries.attempt(delivery)
                return JSONResponse(self._facts(delivery), status_code=201)
        raise HTTPException(404, "no such delivery")

    def _facts(self, delivery: Delivery) -> dict[str, Any]:
        return {
            "guid": delivery.guid,
            "event": delivery.event,
            "action": delivery.action,
            "headers": self._sandbox.events.deliveries.headers(delivery),
            "body": delivery.body.decode(),
            "attempts": [one.status_code for one in delivery.attempts],
        }

    def _named(self, request: Request) -> Installation:
        installed = self._sandbox.installations.get(request.path_params["installation_id"])
        if installed is None:
            raise HTTPException(404, "no such installation")
        return installed

    def _shape(self, installed: Installation, request: Request) -> dict[str, Any]:
        return payloads.installation(
            installed,
            app=self._sandbox.app,
            world=self._sandbox.world,
            origin=str(request.base_url).rstrip("/"),
        )
