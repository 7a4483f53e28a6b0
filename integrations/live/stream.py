"""One viewer's stream, which holds neither a thread nor a database connection while it waits.

django-eventstream's own generator keeps both for as long as the stream lives, so that a hundred
viewers use up PostgreSQL. Its request, permissions, listeners and encoding are used as they are;
the generator is ours, since only inside it can both be given back.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Final

import structlog
from asgiref.sync import SyncToAsync, sync_to_async
from django.db import connections
from django.http import (
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseNotAllowed,
    HttpResponseNotFound,
    StreamingHttpResponse,
)
from django_eventstream.eventrequest import EventRequest
from django_eventstream.eventstream import EventPermissionError, get_events
from django_eventstream.utils import make_id, sse_encode_error, sse_encode_event
from django_eventstream.views import Listener, get_listener_manager

from integrations.live.channels import TeamChannels
from integrations.live.listener import have_streams_read_again, listener
from integrations.live.replay import RowStorage
from integrations.live.watch import watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from django.http import HttpRequest, HttpResponseBase

logger = structlog.get_logger(__name__)

# Proxies cut a silent connection after 30 to 60 s.
KEEP_ALIVE_S: Final = 15.0
KEEP_ALIVE: Final = ": keep-alive\n\n"
# How many streams of a process may read rows at the same time.
READS_AT_ONCE: Final = 8
RETRY_MS: Final = (500, 3000)
PLAIN: Final = "text/plain; charset=utf-8"


class _Closing:
    """Whether this process is going: its streams then end, and browsers come back to the next."""

    def __init__(self) -> None:
        self.is_set = False

    def begin(self) -> None:
        self.is_set = True
        have_streams_read_again()


closing: Final = _Closing()
_reads = asyncio.Semaphore(READS_AT_ONCE)


async def live(request: HttpRequest, team_slug: str) -> HttpResponseBase:
    """Stream a team's events to one of its people, from the revision that the page has."""
    if request.method != "GET":
        return HttpResponseNotAllowed(["GET"])
    listener.start()
    watch.start()
    admitted = await sync_to_async(_admit)(request, team_slug)
    if isinstance(admitted, HttpResponse):
        return admitted
    response = StreamingHttpResponse(_stream(admitted), content_type="text/event-stream")
    response.headers["Cache-Control"] = "no-cache, no-transform"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _admit(request: HttpRequest, team_slug: str) -> EventRequest | HttpResponse:
    """Check who asks and from where; a team that isn't theirs is not there."""
    if not request.user.is_authenticated:
        return HttpResponse("Sign in first.\n", status=401, content_type=PLAIN)
    channels = TeamChannels()
    wanted = channels.get_channels_for_request(request, {"team_slug": team_slug})
    if not wanted or not all(channels.can_read_channel(request.user, name) for name in wanted):
        return HttpResponseNotFound("There is no such team.\n", content_type=PLAIN)
    try:
        event_request = EventRequest(request, view_kwargs={"team_slug": team_slug})
        for last_id in event_request.channel_last_ids.values():
            int(last_id)
    except ValueError as exc:
        # EventRequest's own errors are ValueErrors too.
        logger.info("stream refused", error=str(exc))
        return HttpResponseBadRequest("The last event id makes no sense.\n", content_type=PLAIN)
    return event_request


async def _stream(event_request: EventRequest) -> AsyncIterator[str]:
    """Yield what is new since the viewer's last id, then every event as it comes."""
    viewer = Viewer(event_request)
    manager = get_listener_manager()
    manager.add_listener(viewer)
    try:
        yield await viewer.read_rows(opening="event: stream-open\ndata:\n\n")
        while not (viewer.is_over or closing.is_set):
            chunk = await viewer.next_chunk()
            if chunk:
                yield chunk
        if closing.is_set:
            yield f"retry: {random.randint(*RETRY_MS)}\n\n"
    finally:
        manager.remove_listener(viewer)


class Viewer(Listener):  # type: ignore[misc]
    """One viewer's place among the library's listeners, and how far they are.

    `overflow`, which the library sets when a queue is full, means here: read the rows.
    """

    def __init__(self, event_request: EventRequest) -> None:
        super().__init__()
        self.user_id = event_request.user.pk
        self.channels = event_request.channels
        self.assign_loop()
        self._request = event_request
        (self.channel,) = event_request.channels
        self.sent_id = int(event_request.channel_last_ids.get(self.channel, 0))
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
            elif event.id > self.sent_id:
                # One in between is missing, or still on its way: the rows have them all.
                is_behind = True
        if is_behind:
            chunk += await self.read_rows()
        return chunk

    async def read_rows(self, opening: str = "") -> str:
        """Return what moved since the last id sent, and give thread and connection back."""
        async with _reads:
            if not opening:
                self._request.channel_last_ids = {self.channel: str(self.sent_id)}
            try:
                response, current_id = await sync_to_async(_read)(self._request, self.channel)
            except EventPermissionError as exc:
                self.is_over = True
                extra = {"channels": exc.channels}
                return str(sse_encode_error("forbidden", "You left this team.", extra=extra))
            finally:
                await give_back_thread()
        return opening + self._encode_all(response, current_id)

    def _encode_all(self, response: Any, current_id: int) -> str:
        chunk = ""
        self.sent_id = int(response.channel_last_ids.get(self.channel, self.sent_id))
        if response.channel_reset:
            chunk += self._encode("stream-reset", "")
        for event in response.channel_items.get(self.channel, []):
            self.sent_id = max(self.sent_id, event.id)
            chunk += self._encode(event.type, event.data)
        if response.channel_more:
            self.overflow = True
            self.aevent.set()
        else:
            self.sent_id = max(self.sent_id, current_id)
        return chunk

    def _take_queued(self) -> tuple[list[Any], bool]:
        with get_listener_manager().lock:
            events = [event for items in self.channel_items.values() for event in items]
            is_behind, self.overflow = self.overflow, False
            self.channel_items = {}
            self.aevent.clear()
        return events, is_behind

    def _encode(self, event_type: str, data: str) -> str:
        event_id = make_id({self.channel: self.sent_id})
        return str(sse_encode_event(event_type, data, event_id=event_id))


def _read(event_request: EventRequest, channel: str) -> tuple[Any, int]:
    """Read what moved, and before it the id that this covers: numbers commit in order."""
    current_id = RowStorage().get_current_id(channel)
    return get_events(event_request), current_id


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
