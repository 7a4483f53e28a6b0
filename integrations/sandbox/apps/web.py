"""GitHub's pages about the App: installing it, asking the owners to, and making it of a manifest.

https://docs.github.com/apps/using-github-apps/installing-a-github-app-from-a-third-party
https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from integrations.sandbox.api.answers import GitHubJSON, not_found
from integrations.sandbox.apps.app import App, new_private_key
from integrations.sandbox.page_parts import hidden, message, option, page
from integrations.sandbox.state import Sandbox

CODE_LIFETIME_S = 3_600


@dataclass(frozen=True, slots=True)
class _NewApp:
    manifest: dict[str, Any]
    name: str
    made_at: float  # epoch seconds


class AppWeb:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._new: dict[str, _NewApp] = {}

    def routes(self) -> list[Route]:
        create = "/_sandbox/manifests"
        return [
            Route("/apps/{slug}", self.show, methods=["GET"]),
            Route("/apps/{slug}/installations/new", self.ask, methods=["GET"]),
            Route("/apps/{slug}/installations/new", self.install, methods=["POST"]),
            Route("/organizations/{login}/settings/installations/{id:int}", self.show_installed),
            Route("/settings/apps/new", self.propose, methods=["POST"]),
            Route("/organizations/{login}/settings/apps/new", self.propose, methods=["POST"]),
            Route(create, self.create, methods=["POST"]),
            Route("/api/v3/app-manifests/{code}/conversions", self.convert, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        app = self._sandbox.app
        if request.path_params["slug"] != app.slug:
            return message("Not found", "No app has this name.", status=404)
        return message(app.name, "A GitHub App of the sandbox.", status=200)

    async def show_installed(self, request: Request) -> Response:
        installed = self._sandbox.installations.get(request.path_params["id"])
        if installed is None:
            return message("Not found", "The app is not installed there.", status=404)
        granted = ", ".join(f"{name}: {level}" for name, level in installed.permissions.items())
        return message(f"{self._sandbox.app.name} is installed", granted, status=200)

    async def ask(self, request: Request) -> Response:
        if request.path_params["slug"] != self._sandbox.app.slug:
            return message("Not found", "No app has this name.", status=404)
        people = self._sandbox.people_who_can_sign_in()
        organizations = list(self._sandbox.world.organizations())
        return page(
            "install",
            app_name=escape(self._sandbox.app.name),
            address=escape(request.url.path),
            hidden=hidden("state", request.query_params.get("state", "")),
            people="".join(
                option(one.login, f"{one.name or one.login} ({one.login})") for one in people
            ),
            organizations="".join(option(one.login, one.login) for one in organizations),
            permissions="".join(
                f"<li><code>{escape(name)}: {escape(level)}</code></li>"
                for name, level in self._sandbox.app.permissions.items()
            ),
        )

    async def install(self, request: Request) -> Response:
        """Install as an owner; ask the owners as a member. Lead on to the App's setup address."""
        form = await request.form()
        person = self._sandbox.world.people.find(str(form.get("login") or ""))
        organization = self._sandbox.world.find_organization(str(form.get("account") or ""))
        if person is None or organization is None or not organization.has(person.id):
            return message("You can't install it there", "You are not a member.", status=403)
        state = str(form.get("state") or "")
        if organization.role_of(person.id) == "admin":
            known = self._sandbox.installations.on(organization.id)
            installed = known or self._sandbox.install(organization.id)
            action = "update" if known else "install"
            return self._back(state, setup_action=action, installation_id=str(installed.id))
        self._sandbox.installations.requests.add((person.id, organization.id))
        return self._back(state, setup_action="request")

    def _back(self, state: str, **params: str) -> Response:
        setup_url = self._sandbox.app.setup_url
        if not setup_url:
            return message("Done", "This app has no setup address to lead back to.", status=200)
        query = urlencode(params | ({"state": state} if state else {}))
        return RedirectResponse(f"{setup_url}?{query}", status_code=302)

    async def propose(self, request: Request) -> Response:
        """Show what would be made of a manifest, for the owner to say yes to."""
        form = await request.form()
        state = request.query_params.get("state", "")
        try:
            manifest = json.loads(str(form.get("manifest") or ""))
            name, back = str(manifest["name"]), str(manifest["redirect_url"])
        except (ValueError, KeyError, TypeError):
            return message("Invalid GitHub App configuration", "The manifest.", status=422)
        if not manifest.get("url") or not back.startswith("http"):
            return message("Invalid GitHub App configuration", "url is missing.", status=422)
        return page(
            "manifest",
            app_name=escape(name),
            hidden=hidden("manifest", json.dumps(manifest)) + hidden("state", state),
        )

    async def create(self, request: Request) -> Response:
        form = await request.form()
        manifest = json.loads(str(form.get("manifest")))
        code = secrets.token_hex(20)
        name = str(form.get("name") or manifest["name"])
        self._new[code] = _NewApp(manifest, name, time.time())
        query = urlencode({"code": code, "state": str(form.get("state") or "")})
        return RedirectResponse(f"{manifest['redirect_url']}?{query}", status_code=302)

    async def convert(self, request: Request) -> Response:
        """Make the App of a code, once; from then on it is the sandbox's one App."""
        new = self._new.pop(request.path_params["code"], None)
        if new is None or time.time() - new.made_at > CODE_LIFETIME_S:
            return not_found().answer()
        app = self._sandbox.app
        _become(app, new)
        origin = str(request.base_url).rstrip("/")
        return GitHubJSON(
            {
                "id": app.id, "slug": app.slug, "node_id": f"A_{app.id}", "name": app.name,
                "client_id": app.client_id, "client_secret": app.client_secret,
                "webhook_secret": app.webhook_secret, "pem": app.private_key,
                "html_url": f"{origin}/apps/{app.slug}", "permissions": app.permissions,
                "events": app.events, "owner": {"login": "demo-owner", "id": 1},
            },
            status_code=201,
        )  # fmt: skip


def _become(app: App, new: _NewApp) -> None:
    manifest = new.manifest
    hook = manifest.get("hook_attributes") or {}
    app.id += 1
    app.name = new.name
    app.slug = "-".join(new.name.lower().split())
    app.client_id = f"Iv23{secrets.token_hex(8)}"
    app.client_secret = secrets.token_hex(20)
    app.webhook_secret = secrets.token_hex(20)
    app.webhook_url = hook.get("url", "") if hook.get("active", True) else ""
    app.setup_url = manifest.get("setup_url", "")
    app.permissions = dict(manifest.get("default_permissions") or {})
    app.events = list(manifest.get("default_events") or [])
    app.pem = new_private_key()
    for name in ("private_key", "public_key"):
        vars(app).pop(name, None)
