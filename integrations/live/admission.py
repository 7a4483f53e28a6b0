"""Let streams in a few at a time: a storm of reconnects must not use up the database.

An ASGI layer of its own, because the session and the person are read before any view runs.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

STREAM_PATH: Final = re.compile(r"/(?:t/[^/]+|ops)/live/?\Z")
# Between the request and the first byte each needs a thread and a database connection.
ADMITTED_AT_ONCE: Final = 12


class StreamAdmission:
    """Bounds how many streams are between their request and their first byte."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._places = asyncio.Semaphore(ADMITTED_AT_ONCE)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not STREAM_PATH.search(scope["path"]):
            await self._application(scope, receive, send)
            return
        await self._places.acquire()
        is_held = True

        def leave() -> None:
            nonlocal is_held
            if is_held:
                is_held = False
                self._places.release()

        async def send_and_leave(message: Message) -> None:
            if message["type"] == "http.response.body":
                leave()
            await send(message)

        try:
            await self._application(scope, receive, send_and_leave)
        finally:
            leave()
