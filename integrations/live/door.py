"""The door of the streams: answers a request for a team's stream without Django's machinery.

A request through Django costs a thread, twelve middlewares and a query after the other; then its
objects live as long as the stream. Here those who come together are checked together
(`live/permits.py`), and an open stream is one coroutine that waits for the viewer to hang up; each
piece of news is a short call. Whatever is not the plain case goes on to Django and its view: other
methods, hosts that aren't ours, a redirect to HTTPS, a GRIP proxy, and everybody without a permit.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.asgi import ASGIRequest
from django.db import Error as DatabaseFailure

from integrations.live.audience import audience
from integrations.live.permits import Permits
from integrations.live.stream import HEADERS, given_id, last_id_of, start_hearing
from integrations.live.viewer import Viewer
from integrations.live.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integrations.live.admission import Application, Message, Receive, Send
    from integrations.live.permits import Permit

TEAM_STREAM: Final = re.compile(r"/t/([-a-zA-Z0-9_]+)/live/")
PLAIN: Final = (b"content-type", b"text/plain; charset=utf-8")
TYPE: Final = {"Content-Type": "text/event-stream"}


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What a request for a stream says."""

    team_slug: str
    session_key: str
    given_id: str
    # Whether a GRIP proxy handed it on, or somebody who claims to be one.
    has_grip: bool


class StreamDoor:
    """Streams to who has a permit; everything else is the application's."""

    def __init__(self, application: Application, *, headers: Mapping[str, str]) -> None:
        """Take who answers everything else, and the headers that its middlewares would set."""
        self._application = application
        self._permits = Permits()
        self._start = {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (name.lower().encode(), value.encode())
                for name, value in {**headers, **HEADERS, **TYPE}.items()
            ],
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        request = read_request(scope)
        # A Pushpin's is answered by live/grip_door.py where it is one of ours.
        if request is None or request.has_grip:
            await self._application(scope, receive, send)
            return
        start_hearing()
        try:
            permit = await self._permits.permit(request.session_key, request.team_slug)
            last_id = None if permit is None else last_id_of(request.given_id, permit.channel)
        except DatabaseFailure:
            await _send_away(send)
            return
        except ValueError:
            permit = None
        if permit is None:
            await self._application(scope, receive, send)
        else:
            # A stream may last for hours, and needs none of this.
            scope["headers"].clear()
            await send(self._start)
            await _stream(permit, last_id, receive, send)


def read_request(scope: Message) -> StreamRequest | None:
    """Read a plain request for a team's stream, with Django's own eyes; None for any other."""
    if scope["type"] != "http" or scope["method"] != "GET" or scope.get("root_path"):
        return None
    match = TEAM_STREAM.fullmatch(scope["path"])
    if match is None:
        return None
    request = ASGIRequest(scope, io.BytesIO())
    is_redirected = settings.SECURE_SSL_REDIRECT and not request.is_secure()
    session_key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    if is_redirected or not session_key:
        return None
    try:
        request.get_host()
        has_grip = "Grip-Sig" in request.headers
        return StreamRequest(match[1], session_key, given_id(request), has_grip)
    except SuspiciousOperation:
        return None


async def _send_away(send: Send) -> None:
    """Say that the database is away; the page asks again after a while."""
    await send({"type": "http.response.start", "status": 503, "headers": [PLAIN]})
    await send({"type": "http.response.body", "body": b"Rollcall can't reach its database.\n"})


async def _stream(permit: Permit, last_id: int | None, receive: Receive, send: Send) -> None:
    """Stream until the viewer hangs up, or is told to come back."""
    viewer = Viewer(permit, last_id=last_id)
    writer = Writer(viewer, send)
    audience.join(viewer)
    try:
        await writer.open(last_id)
        while (await receive())["type"] != "http.disconnect":
            pass
    finally:
        audience.leave(viewer)
        writer.close()
