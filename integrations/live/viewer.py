"""One viewer's place in the audience: what was offered, how far they are, what to send next.

Knows nothing of how it is sent: whoever streams sets `wake` and then asks `take` for the bytes. Who
can send without waiting sets `send_now` as well, and is spared the way over both: to eight thousand
viewers of one team that is most of an event's time.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from django_eventstream.utils import sse_encode_error

from integrations.live.encoding import encoded
from integrations.live.reading import RowReader
from integrations.live.web_report import web_report

if TYPE_CHECKING:
    from collections.abc import Callable

    from integrations.live.audience import Heard
    from integrations.live.permits import Permit

KEEP_ALIVE: Final = ": keep-alive\n\n"
OPENING: Final = "event: stream-open\ndata:\n\n"
# When a browser whose stream we ended comes back: not all of them at once.
RETRY_MS: Final = (500, 3000)
# As many as django-eventstream queues for a slow reader. What comes then is read from the rows.
QUEUED_AT_MOST: Final = 10

_rows: Final = RowReader()


def come_back() -> str:
    return f"retry: {random.randint(*RETRY_MS)}\n\n"


def nobody() -> None:
    """Wake nobody: nobody streams yet, or any more."""


def not_now(chunk: bytes) -> bool:
    """Send nothing: it has to wait until it is asked for."""
    return False


class Viewer:
    """One stream's state; ten thousand of them must be small."""

    __slots__ = (
        "_is_behind", "_is_silent", "_queued", "channel", "is_over", "password", "send_now",
        "sent_id", "session_key", "user_id", "wake",
    )  # fmt: skip

    def __init__(self, permit: Permit, *, last_id: int | None) -> None:
        self.channel = permit.channel
        self.user_id = permit.user_id
        self.session_key, self.password = permit.session_key, permit.password
        self.sent_id = last_id or 0
        self.is_over = False
        self.wake: Callable[[], None] = nobody
        # Sends a piece if nothing is before it, and says whether it did.
        self.send_now: Callable[[bytes], bool] = not_now
        self._queued: list[Heard] = []
        self._is_behind = self._is_silent = False

    def offer(self, event: Heard) -> None:
        is_next = event.id == self.sent_id + 1 and not self.has_news
        if is_next and self.send_now(event.chunk):
            self.sent_id = event.id
            web_report.note_sent(event.type, committed_at_s=event.committed_at_s)
            return
        if len(self._queued) < QUEUED_AT_MOST:
            self._queued.append(event)
        else:
            self._is_behind = True
        self.wake()

    def read_again(self) -> None:
        self._is_behind = True
        self.wake()

    def end(self) -> None:
        self.is_over = True
        self.wake()

    def say_something(self) -> None:
        if self.has_news or not self.send_now(KEEP_ALIVE.encode()):
            self._is_silent = True
            self.wake()

    @property
    def has_news(self) -> bool:
        return bool(self._queued) or self._is_behind or self._is_silent

    async def open(self, *, after_id: int | None) -> bytes:
        """Return a stream's first bytes: what moved since. Raises django.db.Error."""
        return OPENING.encode() + await self._read_rows(after_id=after_id)

    async def take(self) -> bytes:
        """Return what there is to send, without waiting for more. Raises django.db.Error."""
        queued, self._queued = self._queued, []
        is_behind, is_silent = self._is_behind, self._is_silent
        self._is_behind = self._is_silent = False
        chunk = b""
        for event in queued:
            if event.id == self.sent_id + 1:
                self.sent_id = event.id
                chunk += event.chunk
                web_report.note_sent(event.type, committed_at_s=event.committed_at_s)
            elif event.id > self.sent_id:
                # One in between is missing, or still on its way: the rows have them all.
                is_behind = True
        if is_behind:
            chunk += await self._read_rows(after_id=self.sent_id)
        return chunk or (KEEP_ALIVE.encode() if is_silent else b"")

    async def _read_rows(self, *, after_id: int | None) -> bytes:
        """Return what moved since; the end of the stream for who may not hear it."""
        news = await _rows.news(self.channel, after_id=after_id, user_id=self.user_id)
        if self.user_id not in news.reader_ids:
            self.is_over = True
            extra = {"channels": [self.channel]}
            return str(sse_encode_error("forbidden", "You left this team.", extra=extra)).encode()
        chunk = b""
        if news.is_reset:
            chunk += encoded("stream-reset", "", channel=self.channel, event_id=news.current_id)
        chunk += news.chunk
        for event in news.events:
            web_report.note_sent(event.type, committed_at_s=None)
        self.sent_id = news.current_id
        self._is_behind |= news.has_more
        return chunk
