"""Let few requests into Django at a time; the others wait in line, without a thread.

Each request has a thread of its own under ASGI. When more come than a core can answer, hundreds of
threads share it, each request takes as long as all of them together, and the switching takes half
of the core. A line answers as many as can be answered, the first one first. Knows no settings.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final

from integrations.live.admission import STREAM_PATH

if TYPE_CHECKING:
    from integrations.live.admission import Application, Message, Receive, Send

# Streams have a line of their own (live/admission.py); the others ask for hardly anything, and
# whoever watches over us must not wait behind pages.
FREE: Final = re.compile(r"/(?:healthz|readyz|metrics|static/.*)\Z")
# What a path begins with, and how many such requests are let in at once; the first that fits.
# GitHub gives a webhook ten seconds, and operators come when pages hang.
LINES: Final = (
    ("/webhooks/", 4),
    ("/ops/", 4),
    # As many as the database's pool has left when streams read (DATABASE_POOL_SIZE).
    ("/", 12),
)


class PageAdmission:
    """Bounds how many requests are between their last byte and the answer's first."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._lines = [(prefix, asyncio.Semaphore(count)) for prefix, count in LINES]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        line = self._line_of(scope)
        if line is None:
            await self._application(scope, receive, send)
            return
        turn = _Turn(line, receive, send)
        try:
            await self._application(scope, turn.receive, turn.send)
        finally:
            turn.leave()

    def _line_of(self, scope: Message) -> asyncio.Semaphore | None:
        path = scope.get("path", "")
        if scope["type"] != "http" or FREE.match(path) or STREAM_PATH.search(path):
            return None
        return next((line for prefix, line in self._lines if path.startswith(prefix)), None)


class _Turn:
    """One request's place, from the moment at which it has arrived as a whole."""

    def __init__(self, line: asyncio.Semaphore, receive: Receive, send: Send) -> None:
        self._line, self._receive, self._send = line, receive, send
        self._is_held = self._is_over = False

    async def receive(self) -> Message:
        """Wait for a place once the body is there: one that trickles in must not hold any."""
        message = await self._receive()
        is_whole = message["type"] == "http.request" and not message.get("more_body")
        if is_whole and not (self._is_held or self._is_over):
            await self._line.acquire()
            self._is_held = True
        return message

    async def send(self, message: Message) -> None:
        """Give the place up before the body is sent: one who reads slowly must not hold any."""
        if message["type"] == "http.response.body":
            self.leave()
        await self._send(message)

    def leave(self) -> None:
        self._is_over = True
        if self._is_held:
            self._is_held = False
            self._line.release()
