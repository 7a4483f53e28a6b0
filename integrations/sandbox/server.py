"""Runs the sandbox with uvicorn: one line when it listens, a quiet end when told to stop."""

from __future__ import annotations

import signal
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from integrations.sandbox.api.answers import TRANSPORT_EXTENSION
from integrations.sandbox.app import make_app
from integrations.sandbox.options import Options


class CuttableProtocol(HttpToolsProtocol):
    """Hands the connection's transport to the application, for the fault that cuts it."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT_EXTENSION: self.transport}  # type: ignore[dict-item]


class AnnouncedServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, *, url: str) -> None:
        super().__init__(config)
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        print(f"Sandbox GitHub ready at {self._url}", flush=True)


def serve(options: Options) -> None:
    """Serve until SIGTERM or SIGINT, then return."""
    listener = _listen(options)
    host, port = listener.getsockname()[:2]
    url = f"http://{host}:{port}"
    config = uvicorn.Config(
        make_app(options, origin=url),
        http=CuttableProtocol,
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        # A slow answer may be under way; whoever waits for it is going down as well.
        timeout_graceful_shutdown=1,
    )
    # Uvicorn raises the signal again once it has stopped, which would end us with an error.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _already_stopped)
    AnnouncedServer(config, url=url).run(sockets=[listener])


def _listen(options: Options) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # A restart at once finds its port free.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((options.host, options.port))
    return listener


def _already_stopped(number: int, frame: Any) -> None:
    """Do nothing: the server has stopped by now."""
