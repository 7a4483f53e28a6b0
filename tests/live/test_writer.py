"""Writing to viewers: at once to those who keep up, in order and bounded to those who don't."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from integrations.live.audience import Audience, Heard
from integrations.live.permits import Permit
from integrations.live.viewer import QUEUED_AT_MOST, Viewer
from integrations.live.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from integrations.live.admission import Message

CHANNEL = "team-7"


class Connection:
    """What a server gives an application to write with, as uvicorn does it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        # As long as its buffer is full, who writes has to wait.
        self.drained = asyncio.Event()
        self.drained.set()
        self.failure: RuntimeError | None = None

    async def send(self, message: Message) -> None:
        if self.failure is not None:
            raise self.failure
        await self.drained.wait()
        self.written.append(message["body"])


def event(number: int) -> Heard:
    return Heard(id=number, type="roster", chunk=f"{number} ".encode())


def listening(audience: Audience, connection: Connection) -> Viewer:
    """Return a viewer whose stream is open and who has everything up to 0."""
    viewer = Viewer(Permit(1, CHANNEL, "session", "password"), last_id=0)
    writer = Writer(viewer, connection.send)
    viewer.wake, viewer.send_now = writer.wake, writer.send_now
    audience.join(viewer)
    return viewer


def in_loop(steps: Callable[[], Coroutine[object, object, None]]) -> None:
    asyncio.run(steps())


async def next_step() -> None:
    """Let the loop make one step."""
    await asyncio.sleep(0)


class TestWhoKeepsUp:
    def test_all_are_written_to_in_one_step_and_without_a_task(self) -> None:
        async def steps() -> None:
            audience = Audience()
            connections = [Connection() for _ in range(1_000)]
            viewers = [listening(audience, connection) for connection in connections]
            audience.tell(CHANNEL, event(1))
            await next_step()
            assert all(connection.written == [b"1 "] for connection in connections)
            assert all(viewer.sent_id == 1 and not viewer.has_news for viewer in viewers)
            assert len(asyncio.all_tasks()) == 1

        in_loop(steps)

    def test_a_comment_that_keeps_the_connection_is_written_at_once(self) -> None:
        async def steps() -> None:
            connection = Connection()
            viewer = listening(Audience(), connection)
            viewer.say_something()
            assert connection.written == [b": keep-alive\n\n"]
            assert not viewer.has_news

        in_loop(steps)

    def test_what_does_not_follow_waits_for_the_rows(self) -> None:
        async def steps() -> None:
            connection = Connection()
            viewer = listening(Audience(), connection)
            viewer.offer(event(2))
            assert (connection.written, viewer.sent_id, viewer.has_news) == ([], 0, True)
            # Nor does what comes then go before it.
            viewer.offer(event(1))
            assert (connection.written, viewer.sent_id) == ([], 0)

        in_loop(steps)

    def test_one_whose_connection_fails_is_told_of_and_costs_nobody_the_event(self) -> None:
        async def steps() -> None:
            failures: list[BaseException] = []
            asyncio.get_running_loop().set_exception_handler(
                lambda _, context: failures.append(context["exception"])
            )
            audience = Audience()
            connections = [Connection() for _ in range(9)]
            for connection in connections:
                listening(audience, connection)
            connections[4].failure = RuntimeError("the viewer's connection")
            audience.tell(CHANNEL, event(1))
            await next_step()
            await next_step()
            assert sum(connection.written == [b"1 "] for connection in connections) == 8
            assert [str(one) for one in failures] == ["the viewer's connection"]

        in_loop(steps)


class TestWhoReadsSlowly:
    def test_everything_comes_once_and_in_order_when_they_read_again(self) -> None:
        async def steps() -> None:
            audience = Audience()
            slow, quick = Connection(), Connection()
            slow.drained.clear()
            viewer = listening(audience, slow)
            listening(audience, quick)
            for number in (1, 2, 3):
                audience.tell(CHANNEL, event(number))
                await next_step()
            assert (slow.written, quick.written) == ([], [b"1 ", b"2 ", b"3 "])
            slow.drained.set()
            while viewer.sent_id < 3 or viewer.has_news:
                await next_step()
            audience.tell(CHANNEL, event(4))
            await next_step()
            assert b"".join(slow.written) == b"1 2 3 4 "

        in_loop(steps)

    def test_no_more_is_kept_for_them_than_the_queue_holds(self) -> None:
        async def steps() -> None:
            audience, connection = Audience(), Connection()
            connection.drained.clear()
            viewer = listening(audience, connection)
            for number in range(1, QUEUED_AT_MOST + 20):
                audience.tell(CHANNEL, event(number))
                await next_step()
            # One is on its way; what the queue doesn't hold is read from the rows.
            assert len(viewer._queued) == QUEUED_AT_MOST
            assert viewer._is_behind
            assert len(asyncio.all_tasks()) == 2

        in_loop(steps)

    def test_whose_connection_is_lost_meanwhile_is_written_to_no_more(self) -> None:
        async def steps() -> None:
            connection = Connection()
            connection.drained.clear()
            viewer = Viewer(Permit(1, CHANNEL, "session", "password"), last_id=0)
            writer = Writer(viewer, connection.send)
            viewer.wake, viewer.send_now = writer.wake, writer.send_now
            viewer.offer(event(1))
            viewer.offer(event(2))
            writer.close()
            connection.drained.set()
            while len(asyncio.all_tasks()) > 1:
                await next_step()
            await next_step()
            assert connection.written == []
            assert not viewer.send_now(b"3 ")

        in_loop(steps)
