"""The ASGI application: Django, the door of the streams before it, and a listener beside it.

uvicorn waits for open connections before it ends the lifespan, so streams are told to end by the
signal itself.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import threading
import warnings
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeAlias

from django.core.asgi import get_asgi_application

from project.admission import PageAdmission

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
# WhiteNoise answers with files, which are read in a thread under ASGI; a log line for it says
# nothing that anybody could mend.
warnings.filterwarnings("ignore", "StreamingHttpResponse must consume synchronous iterators")
django_application = PageAdmission(get_asgi_application())

# Only now: these need settings and models.
from integrations.live.admission import StreamAdmission  # noqa: E402
from integrations.live.audience import audience  # noqa: E402
from integrations.live.door import StreamDoor  # noqa: E402
from integrations.live.grip_door import GripDoor, start_holding, stop_holding  # noqa: E402
from integrations.live.listener import listener  # noqa: E402
from integrations.live.stream import closing, start_hearing  # noqa: E402
from integrations.live.watch import watch  # noqa: E402
from integrations.live.web_report import web_report  # noqa: E402
from integrations.ops.stream import sampler  # noqa: E402
from project.garbage import look_seldom  # noqa: E402
from project.headers import headers_of_every_answer  # noqa: E402
from project.heap import share_one_heap  # noqa: E402

if TYPE_CHECKING:
    from integrations.live.admission import Message, Receive, Send

SignalHandler: TypeAlias = Callable[[int, FrameType | None], Any]

entrance = GripDoor(
    StreamDoor(StreamAdmission(django_application), headers=headers_of_every_answer()),
    headers=headers_of_every_answer(),
)


async def application(scope: Message, receive: Receive, send: Send) -> None:
    """Serve HTTP, and take part in the server's start and end."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    else:
        await entrance(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            _allow_many_files()
            share_one_heap()
            look_seldom()
            start_hearing()
            start_holding()
            web_report.start()
            _end_streams_on(signal.SIGTERM, signal.SIGINT)
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await listener.stop()
            await watch.stop()
            await audience.stop()
            await sampler.stop()
            await stop_holding()
            await asyncio.to_thread(web_report.stop)
            await send({"type": "lifespan.shutdown.complete"})
            return


def _allow_many_files() -> None:
    """Take all the open files that the system lets us have: each stream is one.

    systemd and many shells give a process 1,024 and let it ask for more (`man systemd.exec`,
    LimitNOFILE).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _end_streams_on(*signals: signal.Signals) -> None:
    """Put the end of the streams before what the server does at these signals.

    Where the server does nothing at a signal, its default stays; and only a main thread may ask.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in signals:
        previous = signal.getsignal(number)
        if not callable(previous):
            continue

        def handle(
            received: int, frame: FrameType | None, previous: SignalHandler = previous
        ) -> None:
            loop.call_soon_threadsafe(closing.begin)
            previous(received, frame)

        signal.signal(number, handle)
