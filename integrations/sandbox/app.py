"""The application: every address of the sandbox, and what runs while it is up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from integrations.sandbox.api.answers import GitHubJSON
from integrations.sandbox.apps.rest import AppRest
from integrations.sandbox.apps.web import AppWeb
from integrations.sandbox.avatars import Avatars
from integrations.sandbox.control.apps import Apps
from integrations.sandbox.control.faults import Controls
from integrations.sandbox.control.organizations import Organizations
from integrations.sandbox.control.page import ControlPage
from integrations.sandbox.control.teams import Teams
from integrations.sandbox.oauth.applications import Applications
from integrations.sandbox.oauth.web import OAuthWeb
from integrations.sandbox.options import Options
from integrations.sandbox.routes import api_routes
from integrations.sandbox.state import Sandbox
from integrations.sandbox.world.churn import Churn


def make_app(options: Options, *, origin: str) -> Starlette:
    """Put the sandbox together; `origin` is where it is reached."""
    sandbox = Sandbox(options)
    sandbox.events.origin = origin

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with _churning(sandbox):
            yield

    routes: list[Route] = [
        *ControlPage(sandbox).routes(),
        *Organizations(sandbox).routes(),
        *Controls(sandbox).routes(),
        *OAuthWeb(sandbox).routes(),
        *Applications(sandbox).routes(),
        *AppWeb(sandbox).routes(),
        *AppRest(sandbox).routes(),
        *Apps(sandbox).routes(),
        *Teams(sandbox).routes(),
        *Avatars(sandbox).routes(),
        *api_routes(sandbox),
    ]
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={HTTPException: _refuse},
    )
    # GitHub answers 404 to a trailing slash; it doesn't send you on.
    app.router.redirect_slashes = False
    return app


@asynccontextmanager
async def _churning(sandbox: Sandbox) -> AsyncIterator[None]:
    if not sandbox.options.churn_seconds:
        yield
        return
    events = sandbox.events
    churn = Churn(sandbox.world, on_joined=events.member_added, on_left=events.member_removed)
    task = asyncio.create_task(churn.keep_going(every_s=sandbox.options.churn_seconds))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _refuse(request: Request, exception: Exception) -> Response:
    """Word the refusals of the control API and of the router in JSON."""
    status = exception.status_code if isinstance(exception, HTTPException) else 500
    words = exception.detail if isinstance(exception, HTTPException) else "Server Error"
    return GitHubJSON({"message": words, "status": str(status)}, status_code=status)
