"""How streams read rows: in a few threads of the process, and many questions by one read.

A thread and a connection for each stream cost ten times what its queries cost. And when Redis is
back, or another process went, ten thousand viewers ask at once: who asks the same has one answer,
and whatever is asked meanwhile is read by a constant number of queries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, Generic, ParamSpec, TypeAlias, TypeVar

import structlog
from django.db import Error as DatabaseFailure
from django.db import connection, connections

from integrations.live.news import RecentNews, read_news

if TYPE_CHECKING:
    from collections.abc import Callable

    from integrations.live.news import News, Question

logger = structlog.get_logger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
Q = TypeVar("Q", bound=Hashable)
A = TypeVar("A")
# Questions, and the people (by id) for whom each is asked.
Askers: TypeAlias = Mapping[Q, set[int]]

READS_AT_ONCE: Final = 4
# One that renders much must not hold up all others.
NEWS_AT_ONCE: Final = 2
# Questions a read; what moved is rendered for each, and the first must not wait long for the last.
BATCH_SIZE: Final = 100
_threads: Final = ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="live-reading")


class Batches(Generic[Q, A]):
    """Answers questions that come close together by one read.

    Whoever asks before a read begins has a share in it, and who asks the same in its answer; who
    asks later has a read of their own, since this one could miss what came meanwhile.
    """

    def __init__(self, read: Callable[[Askers[Q]], Mapping[Q, A]], *, at_once: int) -> None:
        """Take what reads, in a reading thread: the questions, and for whom each is asked.

        The fewer read at once, the more gather meanwhile and share a read.
        """
        self._read = read
        self._at_once = at_once
        self._waiting: dict[Q, tuple[asyncio.Future[A], set[int]]] = {}
        self._reader_count = 0
        # The loop itself holds no task.
        self._readers: set[asyncio.Task[None]] = set()

    async def ask(self, question: Q, *, user_id: int = 0) -> A:
        """Return the answer. Raises whatever reading it raised."""
        loop = asyncio.get_running_loop()
        found = self._waiting.get(question)
        if found is None:
            found = self._waiting[question] = (loop.create_future(), set())
            if self._reader_count < self._at_once:
                self._reader_count += 1
                reader = loop.create_task(self._answer_all())
                self._readers.add(reader)
                reader.add_done_callback(self._readers.discard)
        answer, user_ids = found
        user_ids.add(user_id)
        # A viewer who hangs up must not take the answer from the others.
        return await asyncio.shield(answer)

    async def _answer_all(self) -> None:
        try:
            while self._waiting:
                taken = tuple(islice(self._waiting, BATCH_SIZE))
                await self._answer({question: self._waiting.pop(question) for question in taken})
        finally:
            # Here and not once the task is done, a step of the loop later: who asks in between
            # would count on this one and wait for ever.
            self._reader_count -= 1

    async def _answer(self, batch: dict[Q, tuple[asyncio.Future[A], set[int]]]) -> None:
        asked = {question: user_ids for question, (_, user_ids) in batch.items()}
        read = asyncio.ensure_future(in_reading_thread(self._read, asked))
        await asyncio.wait({read})
        error = read.exception()
        if error is None:
            for question, (answer, _) in batch.items():
                answer.set_result(read.result()[question])
        elif isinstance(error, DatabaseFailure) or len(batch) == 1:
            logger.warning("rows not read for streams", error=str(error))
            for answer, _ in batch.values():
                answer.set_exception(error)
                # Whoever asked may be gone, and nobody there to take it.
                answer.exception()
        else:
            # One that can't be answered must not cost the others theirs.
            for question, waiting in batch.items():
                await self._answer({question: waiting})


class RowReader:
    """Tells streams from the rows what moved."""

    def __init__(self) -> None:
        self._batches: Batches[Question, News] = Batches(
            partial(read_news, recent=RecentNews()), at_once=NEWS_AT_ONCE
        )

    async def news(self, channel: str, *, after_id: int | None, user_id: int) -> News:
        """Return what moved; without an id, only where the channel stands.

        Raises django.db.Error.
        """
        return await self._batches.ask((channel, after_id), user_id=user_id)


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
