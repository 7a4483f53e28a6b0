"""The Django view of a team's stream, and what ends all streams of a process.

`live/door.py` answers nearly every request for a stream before Django does; this view is for what
it leaves: refusals, and requests that need all of Django. It streams as well, at a greater cost,
and holds neither a thread nor a database connection while it waits. django-eventstream's own
generator keeps both for as long as the stream lives, so that a hundred viewers use up PostgreSQL.
Its encoding is used as it is. The reading of the request is ours: the library's takes parameters of
a GRIP proxy that isn't there (`recover`, `es-meta`) and fails on them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog
from asgiref.sync import SyncToAsync, sync_to_async
from django.db import Error as DatabaseFailure
from django.db import connections
from django.http import (
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseNotAllowed,
    HttpResponseNotFound,
    StreamingHttpResponse,
)
from django_eventstream.utils import parse_last_event_id

from integrations.live.audience import audience
from integrations.live.channels import channel_of
from integrations.live.listener import have_streams_read_again, listener
from integrations.live.permits import Permit
from integrations.live.reading import in_reading_thread
from integrations.live.viewer import Viewer, come_back
from integrations.live.watch import watch
from integrations.models import Membership
from integrations.numbers import whole_number

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from django.http import HttpRequest, HttpResponseBase

logger = structlog.get_logger(__name__)

HEADERS: Final = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
# The end of a request costs a thread: at shutdown all streams are told before the first one ends,
# and then they end one after the other.
TELLING_S: Final = 0.1
ENDING_S: Final = 0.001
PLAIN: Final = "text/plain; charset=utf-8"


class _Closing:
    """Whether this process is going: its streams then end, and browsers come back to the next."""

    def __init__(self) -> None:
        self.is_set = False
        # Called at the beginning of the end, to have other streams look here as well.
        self.wakers: list[Callable[[], None]] = []
        self._turn_count = 0

    def begin(self) -> None:
        self.is_set = True
        have_streams_read_again()
        for wake in self.wakers:
            wake()

    async def wait_for_turn(self) -> None:
        self._turn_count += 1
        await asyncio.sleep(TELLING_S + ENDING_S * self._turn_count)


closing: Final = _Closing()


async def live(request: HttpRequest, team_slug: str) -> HttpResponseBase:
    """Stream a team's events to one of its people, from the revision that the page has."""
    if request.method != "GET":
        return HttpResponseNotAllowed(["GET"])
    start_hearing()
    admitted = await in_reading_thread(_admit, request, team_slug)
    if isinstance(admitted, HttpResponse):
        return admitted
    response = StreamingHttpResponse(_stream(*admitted), content_type="text/event-stream")
    for name, value in HEADERS.items():
        response.headers[name] = value
    return response


def start_hearing() -> None:
    """Start what all streams of this process share, once."""
    listener.start()
    watch.start()
    audience.start()


def _admit(request: HttpRequest, team_slug: str) -> tuple[Permit, int | None] | HttpResponse:
    """Check who asks and from where; a team that isn't theirs is not there."""
    if not request.user.is_authenticated:
        return HttpResponse("Sign in first.\n", status=401, content_type=PLAIN)
    memberships = Membership.objects.filter(team__slug=team_slug, user=request.user)
    team_id = memberships.values_list("team", flat=True).first()
    if team_id is None:
        return HttpResponseNotFound("There is no such team.\n", content_type=PLAIN)
    channel = channel_of(team_id)
    try:
        last_id = last_id_of(given_id(request), channel)
    except ValueError as exc:
        logger.info("stream refused", error=str(exc))
        return HttpResponseBadRequest("The last event id makes no sense.\n", content_type=PLAIN)
    permit = Permit(
        user_id=request.user.pk,
        channel=channel,
        session_key=request.session.session_key or "",
        password=request.user.password,
    )
    return permit, last_id


def given_id(request: HttpRequest) -> str:
    """Return the id that the viewer wants to go on from, unread; nothing for from now on.

    The browser's own header, sent when it reopens by itself, is newer than the page's parameter.
    """
    return request.headers.get("Last-Event-ID") or request.GET.get("lastEventId") or ""


def last_id_of(given: str, channel: str) -> int | None:
    """Return the number to go on from. Raises ValueError for one that we never sent."""
    if not given:
        return None
    last_id = parse_last_event_id(given).get(channel)
    if last_id is None:
        return None
    number = whole_number(last_id)
    if number is None:
        raise ValueError("no number of ours")
    return number


async def _stream(permit: Permit, last_id: int | None) -> AsyncIterator[bytes]:
    """Yield what is new since the viewer's last id, then every event as it comes."""
    viewer = Viewer(permit, last_id=last_id)
    news = asyncio.Event()
    viewer.wake = news.set
    audience.join(viewer)
    try:
        await give_back_thread()
        yield await viewer.open(after_id=last_id)
        while not (viewer.is_over or closing.is_set):
            if viewer.has_news:
                news.clear()
                chunk = await viewer.take()
                if chunk:
                    yield chunk
            else:
                await news.wait()
                news.clear()
        yield come_back().encode()
        if closing.is_set:
            await closing.wait_for_turn()
    except DatabaseFailure:
        # The reader has said so, once for all streams that asked.
        yield come_back().encode()
    finally:
        audience.leave(viewer)


async def give_back_thread() -> None:
    """Close this request's connections and end its thread; both are made again when needed.

    Django's ASGI handler opens one ThreadSensitiveContext a request, which lives as long as the
    response streams, and asgiref makes its executor at the first `sync_to_async`. Where there is no
    executor there is nothing to give back, and asking would make one.
    """
    context = SyncToAsync.thread_sensitive_context.get(None)
    if context is None or context not in SyncToAsync.context_to_thread_executor:
        return
    await sync_to_async(connections.close_all)()
    executor = SyncToAsync.context_to_thread_executor.pop(context, None)
    if executor is not None:
        executor.shutdown(wait=False)
