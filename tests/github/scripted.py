"""A GitHub that says exactly what a test wants, over real HTTP."""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

REQUEST_ID = "0000:1111:2222:3333"
HTML = b"<!DOCTYPE html><html><head><title>Unicorn!</title></head></html>"
IN_AN_HOUR = str(int(datetime.now(UTC).timestamp()) + 3600)


@dataclass(frozen=True)
class Asked:
    """A request as it arrived; header names in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    content: bytes
    connection: tuple[str, int]

    @property
    def body(self) -> Any:
        return json.loads(self.content)


@dataclass(frozen=True)
class Line:
    """One answer of the script."""

    status: int
    content: bytes
    headers: Mapping[str, str]
    # Nothing comes at all, or the bytes come one by one, or fewer of them than announced.
    drops: bool = False
    silent: bool = False
    trickle_s: float = 0
    missing_bytes: int = 0


@dataclass
class ScriptedGitHub:
    url: str
    asked: list[Asked] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    # What to answer once the script is over.
    improvise: Callable[[Asked], Line] | None = None
    _lines: deque[Line] = field(default_factory=deque)

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/v3"

    def answers(
        self,
        body: object = None,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **behaviour: Any,
    ) -> None:
        """Add an answer to the script: bytes as they are, everything else as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"X-GitHub-Request-Id": REQUEST_ID, **(headers or {})}
        self._lines.append(Line(status, content, given, **behaviour))

    def next_line(self, asked: Asked) -> Line:
        if self._lines:
            return self._lines.popleft()
        if self.improvise is not None:
            return self.improvise(asked)
        return Line(500, b'{"message": "the script is over"}', {})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body leave together, or the second waits 40 ms for the first's acknowledgement.
    wbufsize = -1
    server: _Server

    def do_GET(self) -> None:
        github = self.server.github
        asked = self._read()
        github.asked.append(asked)
        line = github.next_line(asked)
        if line.silent:
            github.closing.wait()
        if line.drops or line.silent:
            self.close_connection = True
            return
        self._write(line, github.closing)

    do_POST = do_PATCH = do_DELETE = do_GET

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""

    def _read(self) -> Asked:
        parts = urlsplit(self.path)
        return Asked(
            method=self.command,
            path=parts.path,
            query={name: values[-1] for name, values in parse_qs(parts.query).items()},
            headers={name.lower(): value for name, value in self.headers.items()},
            content=self.rfile.read(int(self.headers.get("Content-Length", 0))),
            connection=self.client_address,
        )

    def _write(self, line: Line, closing: threading.Event) -> None:
        self.send_response(line.status)
        for name, value in line.headers.items():
            self.send_header(name, value)
        if "Transfer-Encoding" not in line.headers and line.status != 204:
            self.send_header("Content-Length", str(len(line.content) + line.missing_bytes))
        self.end_headers()
        if line.trickle_s:
            for number in line.content:
                self.wfile.write(bytes([number]))
                self.wfile.flush()
                if closing.wait(line.trickle_s):
                    return
        elif line.status != 204:
            self.wfile.write(line.content)
        self.close_connection = self.close_connection or bool(line.missing_bytes)


class _Server(ThreadingHTTPServer):
    github: ScriptedGitHub
    # Closing waits for the threads, which close their connections.
    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.connections: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are part of the tests."""

    def hang_up(self) -> None:
        for connection in self.connections:
            # Some have hung up themselves by now.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def scripted_github() -> Iterator[ScriptedGitHub]:
    server = _Server()
    server.github = ScriptedGitHub(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.github
    finally:
        server.github.closing.set()
        server.shutdown()
        thread.join()
        server.hang_up()
        server.server_close()
