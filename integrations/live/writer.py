"""Writes a stream to one viewer by ASGI's `send`, and holds no task while nothing keeps it waiting.

An event goes to most viewers in one call each, without a queue, a task or a step of the loop: to
eight thousand of one team all of that costs more than the writing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import Error as DatabaseFailure

from integrations.live.audience import soon
from integrations.live.eager import start_eagerly
from integrations.live.stream import closing
from integrations.live.viewer import come_back, nobody, not_now

if TYPE_CHECKING:
    import asyncio

    from integrations.live.admission import Send
    from integrations.live.viewer import Viewer


class Writer:
    """Writes to one viewer, as long as there is something to write; holds no task meanwhile."""

    __slots__ = ("_is_awake", "_is_complete", "_send", "_task", "_viewer")

    def __init__(self, viewer: Viewer, send: Send) -> None:
        self._viewer, self._send = viewer, send
        # Where a viewer keeps the writing waiting, or the rows have to be read.
        self._task: asyncio.Task[None] | None = None
        self._is_awake = self._is_complete = False

    async def open(self, last_id: int | None) -> None:
        """Write what moved since the last id, and from then on what comes."""
        try:
            chunk = await self._viewer.open(after_id=last_id)
        except DatabaseFailure:
            self._viewer.is_over = True
            chunk = b""
        await self._write(chunk)
        self._viewer.wake, self._viewer.send_now = self.wake, self.send_now
        if self._viewer.has_news or self._is_ending:
            self.wake()

    def wake(self) -> None:
        """Write soon; once, however often it is woken until then."""
        if not (self._is_awake or self._is_complete):
            self._is_awake = True
            soon.call(self._begin)

    def send_now(self, chunk: bytes) -> bool:
        """Write at once, unless something is before it or the stream ends; return whether it did.

        A viewer who reads slowly keeps it waiting: what comes meanwhile is queued behind it.
        """
        if self._is_awake or self._is_complete or self._is_ending:
            return False
        self._task = start_eagerly(self._write(chunk))
        if self._task is not None:
            self._is_awake = True
            self._task.add_done_callback(self._go_on)
        return True

    def _go_on(self, _: asyncio.Task[None]) -> None:
        """Write what came while the viewer kept us waiting."""
        self._is_awake, self._task = False, None
        if self._viewer.has_news or self._is_ending:
            self.wake()

    def _begin(self) -> None:
        self._task = start_eagerly(self._write_news())

    def close(self) -> None:
        """Write no more. The viewer and its writer hold each other: let go."""
        self._viewer.wake, self._viewer.send_now = nobody, not_now
        self._is_complete = True
        if self._task is not None:
            self._task.cancel()

    @property
    def _is_ending(self) -> bool:
        return self._viewer.is_over or closing.is_set

    async def _write_news(self) -> None:
        if self._is_complete:
            # They hung up since it was woken.
            return
        try:
            while self._viewer.has_news and not self._is_ending:
                await self._write(await self._viewer.take())
        except DatabaseFailure:
            # The reader has said so, once for all streams that asked.
            self._viewer.is_over = True
        finally:
            self._is_awake, self._task = False, None
        if self._is_ending:
            self._is_complete = True
            await self._send({"type": "http.response.body", "body": come_back().encode()})

    async def _write(self, chunk: bytes) -> None:
        if chunk:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
