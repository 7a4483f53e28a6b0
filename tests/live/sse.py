"""A client of server-sent events for tests: reads one stream in a thread and keeps what came.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import requests
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class SseEvent:
    type: str
    data: str
    id: str
    # time.perf_counter() at its last byte
    at: float

    @property
    def revision(self) -> int:
        return int(self.id.rpartition(":")[2])


class SseClient:
    """One open stream. `events` holds everything since the start or the last `forget()`."""

    def __init__(
        self, url: str, *, cookies: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> None:
        self.events: list[SseEvent] = []
        self.comment_count = 0
        self.is_over = False
        self._came = threading.Condition()
        self._response = requests.get(
            url, cookies=dict(cookies), headers=headers, stream=True, timeout=(5, 60),
            allow_redirects=False,
        )  # fmt: skip
        self.status = self._response.status_code
        self.headers = self._response.headers
        self.last_id = ""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait_for(
        self,
        event_type: str,
        *,
        timeout_s: float = 10,
        where: Callable[[SseEvent], bool] = lambda event: True,
    ) -> SseEvent:
        """Return the first event of a type that fits, waiting for it if it has yet to come."""
        deadline = time.monotonic() + timeout_s
        with self._came:
            while True:
                for event in self.events:
                    if event.type == event_type and where(event):
                        return event
                left_s = deadline - time.monotonic()
                if left_s <= 0 or self.is_over:
                    seen = [event.type for event in self.events]
                    raise TimeoutError(f"no {event_type} within {timeout_s} s; came: {seen}")
                self._came.wait(left_s)

    def forget(self) -> None:
        with self._came:
            self.events.clear()

    def close(self) -> None:
        """Hang up at once: closing the response alone would wait for the reader's next byte."""
        if not self.is_over:
            with contextlib.suppress(OSError, AttributeError):
                self._response.raw.connection.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
        self._thread.join(timeout=5)
        self._response.close()

    def _read(self) -> None:
        unread = ""
        try:
            # Chunk by chunk, as the server sent them: reading byte by byte would cost milliseconds.
            for chunk in self._response.raw.read_chunked():
                *blocks, unread = (unread + chunk.decode()).split("\n\n")
                for block in blocks:
                    self._take(block)
        except (HTTPError, OSError, AttributeError, ValueError):
            # Closed from our side or theirs; which of them is what the tests tell apart.
            pass
        finally:
            with self._came:
                self.is_over = True
                self._came.notify_all()

    def _take(self, block: str) -> None:
        fields: dict[str, list[str]] = {}
        for line in block.splitlines():
            name, _, value = line.partition(":")
            if name:
                fields.setdefault(name, []).append(value.removeprefix(" "))
            else:
                self.comment_count += 1
        self._dispatch(fields)

    def _dispatch(self, fields: dict[str, list[str]]) -> None:
        if "event" not in fields and "data" not in fields:
            return
        self.last_id = fields.get("id", [self.last_id])[-1]
        event = SseEvent(
            type=fields.get("event", ["message"])[-1],
            data="\n".join(fields.get("data", [])),
            id=self.last_id,
            at=time.perf_counter(),
        )
        with self._came:
            self.events.append(event)
            self._came.notify_all()
