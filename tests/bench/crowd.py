"""Ten thousand viewers in one process that costs little: plain sockets and epoll, no thread each.

`python -m tests.bench.crowd` takes one command a line on its standard input, as JSON, and answers
each with a line of JSON. Knows no Django: it is told what to send, byte for byte. Instants are of
time.monotonic(), which all processes of a machine share.
"""

from __future__ import annotations

import json
import resource
import select
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Final

STATUS_OK: Final = b"HTTP/1.1 200"
TAIL_LENGTH: Final = 120


@dataclass(slots=True, eq=False)
class Stream:
    """One viewer's connection."""

    number: int
    address: tuple[str, int]
    connection: socket.socket
    request: bytes
    begun_at_s: float
    # After what it counts as open: the first state that it must have.
    awaited: bytes
    tail: bytes = b""
    open_at_s: float = 0.0
    is_sent: bool = False

    @property
    def is_accepted(self) -> bool:
        return self.open_at_s > 0 or self.tail.startswith(STATUS_OK)


@dataclass
class Crowd:
    """All viewers, by the file descriptor of their connection."""

    streams: dict[int, Stream] = field(default_factory=dict)
    opened: list[Stream] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    # Those whom the server let in and left again: when each is opened anew, and how many it were.
    again_after_s: float | None = None
    leaving: list[tuple[float, Stream]] = field(default_factory=list)
    again_count: int = 0
    # What everybody listens for at the moment, and when each heard it.
    words: bytes = b""
    heard_at_s: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.poll = select.epoll()

    def open(
        self,
        *,
        port: int,
        requests: list[list[str]],
        at_once: int,
        timeout_s: float,
        address: str = "127.0.0.1",
        again_after_s: float | None = None,
    ) -> dict[str, Any]:
        """Open a stream for each of (request, awaited words), so many at once at the most.

        One that ends after it was let in is opened anew after a while, as EventSource does, if
        `again_after_s` is given. Whoever is refused is lost, as for EventSource.
        """
        begun_s, number, before = time.monotonic(), 0, len(self.streams)
        self.opened, self.lost = [], []
        self.again_after_s, self.again_count = again_after_s, 0
        pending = requests[::-1]
        expected = len(requests)
        while len(self.opened) + len(self.lost) < expected:
            while pending and number - len(self.opened) - len(self.lost) < at_once:
                request, awaited = pending.pop()
                self._connect(number, (address, port), request.encode(), awaited.encode())
                number += 1
            self._turn(0.5)
            if time.monotonic() - begun_s > timeout_s:
                break
        took_s = max((one.open_at_s for one in self.opened), default=begun_s) - begun_s
        waits = sorted(one.open_at_s - one.begun_at_s for one in self.opened)
        return {
            "opened": len(self.opened),
            "lost": len(self.lost),
            "why": sorted(set(self.lost))[:5],
            "again": self.again_count,
            "took_s": took_s,
            "wait_p95_s": waits[int(len(waits) * 0.95)] if waits else None,
            "wait_max_s": waits[-1] if waits else None,
            "held_before": before,
        }

    def listen(self, *, words: str) -> dict[str, Any]:
        """Note from now on who hears these words."""
        self.words, self.heard_at_s = words.encode(), {}
        return {}

    def hear(self, *, count: int, timeout_s: float) -> dict[str, Any]:
        """Wait until so many have heard; return the instants in order."""
        until_s = time.monotonic() + timeout_s
        while len(self.heard_at_s) < count and time.monotonic() < until_s:
            self._turn(0.05)
        return {"heard_at_s": sorted(self.heard_at_s.values())}

    def stay(self, *, seconds: float) -> dict[str, Any]:
        """Go on reading for a while; return how many are still there, and how many came again."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self._turn(0.1)
        return {"open": len(self.streams), "again": self.again_count}

    def hang_up(self) -> dict[str, Any]:
        """Close all at once, without a goodbye."""
        for stream in self.streams.values():
            stream.connection.close()
        self.streams.clear()
        self.leaving.clear()
        return {}

    def cost(self) -> dict[str, Any]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {"cpu_s": used.ru_utime + used.ru_stime}

    def _connect(
        self, number: int, address: tuple[str, int], request: bytes, awaited: bytes
    ) -> None:
        connection = socket.socket()
        connection.setblocking(False)
        connection.connect_ex(address)
        self.streams[connection.fileno()] = Stream(
            number, address, connection, request, time.monotonic(), awaited
        )
        self.poll.register(connection, select.EPOLLOUT | select.EPOLLIN)

    def _turn(self, timeout_s: float) -> None:
        while self.leaving and self.leaving[0][0] <= time.monotonic():
            _, left = self.leaving.pop(0)
            self._connect(left.number, left.address, left.request, left.awaited)
        for descriptor, _ in self.poll.poll(timeout_s):
            stream = self.streams[descriptor]
            try:
                self._serve(stream)
            except OSError as exc:
                self._lose(descriptor, stream, str(exc))

    def _serve(self, stream: Stream) -> None:
        if not stream.is_sent:
            error = stream.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, "no connection")
            stream.connection.send(stream.request)
            stream.is_sent = True
            self.poll.modify(stream.connection, select.EPOLLIN)
            return
        received = stream.connection.recv(65_536)
        if not received:
            raise OSError(f"it ended: {stream.tail[:60]!r}")
        now_s = time.monotonic()
        text = stream.tail + received
        if not stream.open_at_s:
            self._look_whether_open(stream, text, now_s)
        elif self.words and self.words in text:
            self.heard_at_s[stream.connection.fileno()] = now_s
        stream.tail = text[-TAIL_LENGTH:] if stream.open_at_s else text

    def _look_whether_open(self, stream: Stream, text: bytes, now_s: float) -> None:
        if len(text) >= len(STATUS_OK) and not text.startswith(STATUS_OK):
            raise OSError(text[:60].decode(errors="replace"))
        if stream.awaited in text:
            stream.open_at_s = now_s
            self.opened.append(stream)

    def _lose(self, descriptor: int, stream: Stream, why: str) -> None:
        del self.streams[descriptor]
        stream.connection.close()
        if self.again_after_s is None or not stream.is_accepted:
            self.lost.append(why)
            return
        if stream in self.opened:
            self.opened.remove(stream)
        self.again_count += 1
        self.leaving.append((time.monotonic() + self.again_after_s, stream))


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = Crowd()
    for line in sys.stdin:
        command = json.loads(line)
        answer = getattr(crowd, command.pop("do"))(**command)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
