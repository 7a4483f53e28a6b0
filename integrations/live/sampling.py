"""A stream of samples: one look a second for all who watch, and none while nobody does.

What a sample holds is its maker's business: a sampler is given a function that returns pieces of
HTML by name. It calls it in a thread of its own, once for all watchers, and each watcher hears of
the pieces that are new to it. Watchers are operators: who stops being one hears no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog
from django.contrib.sessions.models import Session
from django.db import Error as DatabaseFailure
from django.http import StreamingHttpResponse
from django.utils import timezone
from django_eventstream.utils import sse_encode_error, sse_encode_event

from integrations.live.audience import KEEP_ALIVE_S
from integrations.live.process_task import ProcessTask
from integrations.live.reading import and_give_back, in_reading_thread
from integrations.live.stream import closing, give_back_thread
from integrations.live.viewer import KEEP_ALIVE, OPENING, come_back
from integrations.live.web_report import web_report
from integrations.models import User

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

logger = structlog.get_logger(__name__)

Pieces: TypeAlias = Mapping[str, str]

INTERVAL_S: Final = 1.0
# Where a look takes longer than the interval: others need this process too.
PAUSE_MIN_S: Final = 0.2
CHECK_INTERVAL_S: Final = 5.0
# While the database is away nobody can say who still is an operator; it goes on for so long.
UNCHECKED_MAX_S: Final = 60.0
FORBIDDEN: Final = "You are no operator any more, or signed out."

_thread: Final = ThreadPoolExecutor(1, thread_name_prefix="live-sampling")


@dataclass(frozen=True)
class Operator:
    """Who watches, and what that stands on: the session, and the password that was theirs."""

    user_id: int
    session_key: str
    password: str


class Watcher:
    """One operator's place. A slow one finds only the newest sample."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.is_forbidden = False
        self._newest: Pieces = {}
        self._heard: dict[str, str] = {}
        self._news = asyncio.Event()
        self._spoke_at_s = 0.0

    def show(self, pieces: Pieces) -> None:
        self._newest = pieces
        self._news.set()

    def wake(self) -> None:
        self._news.set()

    def forbid(self) -> None:
        self.is_forbidden = True
        self._news.set()

    async def next_chunk(self) -> str:
        """Wait for a sample, and return what is new in it; a comment after a long silence."""
        now_s = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(KEEP_ALIVE_S):
                await self._news.wait()
        except TimeoutError:
            return KEEP_ALIVE
        self._news.clear()
        heard = self._heard
        fresh = {name: html for name, html in self._newest.items() if heard.get(name) != html}
        heard.update(fresh)
        if not fresh and now_s() - self._spoke_at_s < KEEP_ALIVE_S:
            return ""
        self._spoke_at_s = now_s()
        return _encoded("".join(fresh.values())) if fresh else KEEP_ALIVE


@lru_cache(maxsize=8)
def _encoded(html: str) -> str:
    """Encode what is new, which is the same for all who keep up, once."""
    return str(sse_encode_event("sample", html))


class Sampler(ProcessTask):
    """Takes samples of one kind in this process, for as long as somebody watches."""

    def __init__(self, name: str, *, take: Callable[[], Pieces]) -> None:
        super().__init__(name)
        self._take = take
        self._watchers: set[Watcher] = set()
        closing.wakers.append(self._wake_all)

    def response_to(self, operator: Operator) -> StreamingHttpResponse:
        """Answer a request with the stream of samples, from the next one on."""
        stream = self.stream(operator)
        response = StreamingHttpResponse(stream, content_type="text/event-stream")
        response.headers["Cache-Control"] = "no-cache, no-transform, no-store"
        response.headers["X-Accel-Buffering"] = "no"
        return response

    async def stream(self, operator: Operator) -> AsyncIterator[str]:
        watcher = Watcher(operator)
        self._watchers.add(watcher)
        self._count()
        try:
            await give_back_thread()
            yield OPENING
            self.start()
            while not (watcher.is_forbidden or closing.is_set):
                chunk = await watcher.next_chunk()
                if chunk:
                    yield chunk
                # A look that failed has ended the task; the next one may do better.
                self.start()
            if watcher.is_forbidden:
                yield str(sse_encode_error("forbidden", FORBIDDEN))
            yield come_back()
            if closing.is_set:
                await closing.wait_for_turn()
        finally:
            self._watchers.discard(watcher)
            self._count()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        guard = _Guard(self._watchers)
        try:
            while self._watchers:
                next_at_s = loop.time() + INTERVAL_S
                guard.look()
                pieces = await loop.run_in_executor(_thread, and_give_back, self._take)
                for watcher in self._watchers:
                    watcher.show(pieces)
                await asyncio.sleep(max(PAUSE_MIN_S, next_at_s - loop.time()))
        finally:
            guard.stop()

    def _count(self) -> None:
        web_report.watcher_count = len(self._watchers)

    def _wake_all(self) -> None:
        for watcher in self._watchers:
            watcher.wake()


class _Guard:
    """Asks every few seconds, beside the samples, who of the watchers still is an operator."""

    def __init__(self, watchers: set[Watcher]) -> None:
        self._watchers = watchers
        self._loop = asyncio.get_running_loop()
        self._question: asyncio.Task[None] | None = None
        # Each of them was let in by the database a moment ago.
        self._asked_at_s = self._answered_at_s = self._loop.time()

    def look(self) -> None:
        """Begin to ask if it is time; end all when nobody could be asked for too long."""
        now_s = self._loop.time()
        if now_s - self._answered_at_s > UNCHECKED_MAX_S:
            for watcher in self._watchers:
                watcher.forbid()
        is_asking = self._question is not None and not self._question.done()
        if not is_asking and now_s - self._asked_at_s >= CHECK_INTERVAL_S:
            self._asked_at_s = now_s
            self._question = self._loop.create_task(self._ask())

    def stop(self) -> None:
        if self._question is not None:
            self._question.cancel()

    async def _ask(self) -> None:
        watchers = list(self._watchers)
        asked = {watcher.operator for watcher in watchers}
        try:
            allowed = await in_reading_thread(_still_operators, asked)
        except DatabaseFailure as exc:
            logger.warning("operators not checked", error=str(exc))
            return
        self._answered_at_s = self._loop.time()
        for watcher in watchers:
            if watcher.operator not in allowed:
                watcher.forbid()


def _still_operators(asked: set[Operator]) -> set[Operator]:
    """Return those who are active staff, signed in, with the same password: two queries."""
    staff = User.objects.filter(
        pk__in=[one.user_id for one in asked], is_active=True, is_staff=True
    )
    passwords = dict(staff.values_list("pk", "password"))
    sessions = Session.objects.filter(
        session_key__in=[one.session_key for one in asked], expire_date__gt=timezone.now()
    )
    live_keys = set(sessions.values_list("session_key", flat=True))
    return {
        one
        for one in asked
        if passwords.get(one.user_id) == one.password and one.session_key in live_keys
    }
