"""One viewer's stream, which holds neither a thread nor a database connection while it waits.

django-eventstream's own generator keeps both for as long as the stream lives, so that a hundred
viewers use up PostgreSQL. Its listeners and encoding are used as they are; the generator is ours,
since only inside it can both be given back. So is the reading of the request: the library's takes
parameters of a GRIP proxy that isn't there (`recover`, `es-meta`) and fails on them.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

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
from django_eventstream.utils import (
    make_id,
    parse_last_event_id,
    sse_encode_error,
    sse_encode_event,
)
from django_eventstream.views import Listener, get_listener_manager

from integrations.live.channels import channel_of
from integrations.live.listener import have_streams_read_again, lag_of, listener
from integrations.live.reading import RowReader, in_reading_thread
from integrations.live.watch import watch
from integrations.live.web_report import web_report
from integrations.models import Membership

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from django.http import HttpRequest, HttpResponseBase

logger = structlog.get_logger(__name__)

# Proxies cut a silent connection after 30 to 60 s.
KEEP_ALIVE_S: Final = 15.0
KEEP_ALIVE: Final = ": keep-alive\n\n"
OPENING: Final = "event: stream-open\ndata:\n\n"
# When a browser whose stream we ended comes back: not all of them at once.
RETRY_MS: Final = (500, 3000)
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
_rows: Final = RowReader()


async def live(request: HttpRequest, team_slug: str) -> HttpResponseBase:
    """Stream a team's events to one of its people, from the revision that the page has."""
    if request.method != "GET":
        return HttpResponseNotAllowed(["GET"])
    listener.start()
    watch.start()
    admitted = await in_reading_thread(_admit, request, team_slug)
    if isinstance(admitted, HttpResponse):
        return admitted
    response = StreamingHttpResponse(_stream(admitted), content_type="text/event-stream")
    response.headers["Cache-Control"] = "no-cache, no-transform"
    response.headers["X-Accel-Buffering"] = "no"
    return response


@dataclass(frozen=True)
class _Admitted:
    """Who listens to which channel, and from where on: None for from now on."""

    user_id: int
    channel: str
    last_id: int | None
    # What the stream stands on: it ends when the session does, or the password is another one.
    session_key: str
    password: str


def _admit(request: HttpRequest, team_slug: str) -> _Admitted | HttpResponse:
    """Check who asks and from where; a team that isn't theirs is not there."""
    if not request.user.is_authenticated:
        return HttpResponse("Sign in first.\n", status=401, content_type=PLAIN)
    memberships = Membership.objects.filter(team__slug=team_slug, user=request.user)
    team_id = memberships.values_list("team", flat=True).first()
    if team_id is None:
        return HttpResponseNotFound("There is no such team.\n", content_type=PLAIN)
    channel = channel_of(team_id)
    try:
        last_id = _last_id(request, channel)
    except ValueError as exc:
        logger.info("stream refused", error=str(exc))
        return HttpResponseBadRequest("The last event id makes no sense.\n", content_type=PLAIN)
    return _Admitted(
        user_id=request.user.pk,
        channel=channel,
        last_id=last_id,
        session_key=request.session.session_key or "",
        password=request.user.password,
    )


def _last_id(request: HttpRequest, channel: str) -> int | None:
    """Return the id to go on from. Raises ValueError for one that we never sent.

    The browser's own header, sent when it reopens by itself, is newer than the page's parameter.
    """
    given = request.headers.get("Last-Event-ID") or request.GET.get("lastEventId")
    if not given:
        return None
    last_id = parse_last_event_id(given).get(channel)
    if last_id is None:
        return None
    if not last_id.isdecimal():
        raise ValueError("no number")
    return int(last_id)


async def _stream(admitted: _Admitted) -> AsyncIterator[str]:
    """Yield what is new since the viewer's last id, then every event as it comes."""
    viewer = Viewer(admitted)
    manager = get_listener_manager()
    manager.add_listener(viewer)
    try:
        await give_back_thread()
        yield OPENING + await viewer.read_rows(after_id=admitted.last_id)
        while not (viewer.is_over or closing.is_set):
            chunk = await viewer.next_chunk()
            if chunk:
                yield chunk
        if viewer.is_over:
            yield come_back()
        if closing.is_set:
            yield come_back()
            await closing.wait_for_turn()
    except DatabaseFailure:
        # The reader has said so, once for all streams that asked.
        yield come_back()
    finally:
        manager.remove_listener(viewer)


def come_back() -> str:
    return f"retry: {random.randint(*RETRY_MS)}\n\n"


class Viewer(Listener):  # type: ignore[misc]
    """One viewer's place among the library's listeners, and how far they are.

    `overflow`, which the library sets when a queue is full, means here: read the rows.
    """

    def __init__(self, admitted: _Admitted) -> None:
        super().__init__()
        self.user_id = admitted.user_id
        self.session_key, self.password = admitted.session_key, admitted.password
        self.channel = admitted.channel
        self.channels = {admitted.channel}
        self.assign_loop()
        self.sent_id = admitted.last_id or 0
        self.is_over = False
        self.channel_items: dict[str, list[Any]] = {}

    async def next_chunk(self) -> str:
        """Wait for news, and return them, or a comment when there were none for a while."""
        try:
            async with asyncio.timeout(KEEP_ALIVE_S):
                await self.aevent.wait()
        except TimeoutError:
            return KEEP_ALIVE
        events, is_behind = self._take_queued()
        if closing.is_set:
            return ""
        chunk = ""
        for event in events:
            if event.id == self.sent_id + 1:
                self.sent_id = event.id
                chunk += self._encode(event.type, event.data)
                web_report.note_sent(event.type, lag_s=lag_of(event))
            elif event.id > self.sent_id:
                # One in between is missing, or still on its way: the rows have them all.
                is_behind = True
        if is_behind:
            chunk += await self.read_rows(after_id=self.sent_id)
        return chunk

    async def read_rows(self, *, after_id: int | None) -> str:
        """Return what moved since; the end of the stream for who may not hear it."""
        news = await _rows.news(self.channel, after_id=after_id, user_id=self.user_id)
        if self.user_id not in news.reader_ids:
            self.is_over = True
            extra = {"channels": [self.channel]}
            return str(sse_encode_error("forbidden", "You left this team.", extra=extra))
        chunk = ""
        if news.is_reset:
            self.sent_id = news.current_id
            chunk += self._encode("stream-reset", "")
        for event in news.events:
            self.sent_id = event.id
            chunk += self._encode(event.type, event.data)
            web_report.note_sent(event.type, lag_s=None)
        self.sent_id = news.current_id
        if news.has_more:
            self.overflow = True
            self.aevent.set()
        return chunk

    def _take_queued(self) -> tuple[list[Any], bool]:
        with get_listener_manager().lock:
            events = [event for items in self.channel_items.values() for event in items]
            is_behind, self.overflow = self.overflow, False
            self.channel_items = {}
            self.aevent.clear()
        return events, is_behind

    def _encode(self, event_type: str, data: str) -> str:
        return _encoded(event_type, data, make_id({self.channel: self.sent_id}))


@lru_cache(maxsize=64)
def _encoded(event_type: str, data: str, event_id: str) -> str:
    """Encode an event, which is the same for all viewers of a team, once."""
    return str(sse_encode_event(event_type, data, event_id=event_id))


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
