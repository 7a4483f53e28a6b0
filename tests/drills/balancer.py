"""What stands in front of web processes: takes connections, and passes each on to one of them.

Speaks no HTTP. Which processes it knows may change at any time; connections that are open stay.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import socketserver
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

CONNECT_TIMEOUT_S: Final = 2
CHUNK: Final = 65536


class Balancer:
    """Listens at a free port of 127.0.0.1; the processes take turns."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.ports = list(ports)
        turns = itertools.count()
        balancer = self

        class Connection(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                upstream = balancer._upstream(next(turns))
                if upstream is not None:
                    with upstream:
                        _join(self.request, upstream)

        self._server = _Server(("127.0.0.1", 0), Connection)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _upstream(self, turn: int) -> socket.socket | None:
        """Return a connection to a process; the next one where the one whose turn it is refuses."""
        ports = self.ports
        for step in range(len(ports)):
            with contextlib.suppress(OSError):
                address = ("127.0.0.1", ports[(turn + step) % len(ports)])
                made = socket.create_connection(address, timeout=CONNECT_TIMEOUT_S)
                made.settimeout(None)
                return made
        return None


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


def _join(client: Any, upstream: socket.socket) -> None:
    """Pass on what either says, until both have said all."""
    back = threading.Thread(target=_pass_on, args=(upstream, client), daemon=True)
    back.start()
    _pass_on(client, upstream)
    back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(CHUNK):
            target.sendall(chunk)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
