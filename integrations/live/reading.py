"""How streams read rows: in a few threads of the process, and once for all who ask the same.

A thread and a connection for each stream cost ten times what its queries cost. And when Redis is
back, ten thousand viewers ask for what moved after the same id: one answer serves them all.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

import structlog
from django.db import connection, connections
from django_eventstream.storage import EventDoesNotExist

from integrations.live.channels import readers_of
from integrations.live.replay import RowStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django_eventstream.event import Event

logger = structlog.get_logger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

READS_AT_ONCE: Final = 4
EVENTS_AT_ONCE: Final = 100
_threads: Final = ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="live-reading")


@dataclass(frozen=True)
class News:
    """What moved after an id, and which of those who asked may hear it."""

    events: tuple[Event, ...]
    # The id that these events bring a viewer up to.
    current_id: int
    is_reset: bool
    has_more: bool
    reader_ids: frozenset[int]


@dataclass
class _Question:
    """A read that has not begun yet, and for whom it will be made."""

    answer: asyncio.Task[News]
    user_ids: set[int] = field(default_factory=set)


class RowReader:
    """Answers streams from the rows; whoever asks before a read begins has a share in it."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, int | None], _Question] = {}
        self._places = asyncio.Semaphore(READS_AT_ONCE)

    async def news(self, channel: str, *, after_id: int | None, user_id: int) -> News:
        """Return what moved; without an id, only where the channel stands.

        Raises django.db.Error.
        """
        question = self._waiting.get((channel, after_id))
        if question is None:
            answer = asyncio.create_task(self._answer(channel, after_id))
            answer.add_done_callback(_say_what_failed)
            question = self._waiting[channel, after_id] = _Question(answer)
        question.user_ids.add(user_id)
        # A viewer who hangs up must not take the answer from the others.
        return await asyncio.shield(question.answer)

    async def _answer(self, channel: str, after_id: int | None) -> News:
        async with self._places:
            # From here on it could miss what comes: who asks later has a read of their own.
            question = self._waiting.pop((channel, after_id))
            return await in_reading_thread(_read, channel, after_id, question.user_ids)


def _say_what_failed(answer: asyncio.Task[News]) -> None:
    if not answer.cancelled() and (error := answer.exception()) is not None:
        logger.warning("rows not read for streams", error=str(error))


def _read(channel: str, after_id: int | None, user_ids: Iterable[int]) -> News:
    answer = partial(News, reader_ids=readers_of(channel, among=user_ids))
    storage = RowStorage()
    # Before the rows: numbers commit in order, so that the rows cover this one at least.
    current_id = storage.get_current_id(channel)
    if after_id is None:
        return answer((), current_id, is_reset=False, has_more=False)
    try:
        events = storage.get_events(channel, after_id, limit=EVENTS_AT_ONCE + 1)
    except EventDoesNotExist as exc:
        return answer((), exc.current_id, is_reset=True, has_more=False)
    has_more = len(events) > EVENTS_AT_ONCE
    told = tuple(events[:EVENTS_AT_ONCE])
    if has_more:
        current_id = told[-1].id
    elif told:
        current_id = max(current_id, told[-1].id)
    return answer(told, current_id, is_reset=False, has_more=has_more)


async def in_reading_thread(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function that reads the database, in one of the few threads made for it."""
    call = partial(function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_threads, and_give_back, call)


def and_give_back(call: Callable[[], R]) -> R:
    """Call, and give the connection back to PostgreSQL's pool.

    SQLite has no pool, and opening its file costs more than the queries: these few threads keep
    theirs. It locks nothing between two queries. After an error it is made anew.
    """
    is_kept = False
    try:
        result = call()
        is_kept = connection.vendor == "sqlite"
    finally:
        if not is_kept:
            connections.close_all()
    return result
