"""Who listens in this process, by channel, and how all of them are told something.

django-eventstream's manager takes a lock, and wakes the loop across threads for every listener of
every event; a timer for each keeps its connection alive. With ten thousand listeners that costs
more than the writing. This one stands in its place, with the same idea of a listener, which has a
short queue and overflows; it belongs to the event loop, so that nothing needs a lock.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass
from functools import partial
from operator import length_hint
from typing import TYPE_CHECKING, Final, Protocol

from integrations.live.process_task import ProcessTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# Proxies cut a silent connection after 30 to 60 s.
KEEP_ALIVE_S: Final = 15.0
# The listeners take turns, so that ten thousand comments are not written at one moment.
TURN_COUNT: Final = 150


@dataclass(frozen=True, slots=True)
class Heard:
    """An event as it goes to everybody of its channel: encoded once."""

    id: int
    type: str
    chunk: bytes
    # time.time() of its commit, by the publisher's clock.
    committed_at_s: float | None = None


class Listening(Protocol):
    """What the audience asks of a listener."""

    channel: str
    session_key: str
    user_id: int
    password: str
    sent_id: int

    def offer(self, event: Heard) -> None:
        """Take an event, or remember that one was missed."""

    def read_again(self) -> None:
        """Read the rows, which checks the permission as well."""

    def end(self) -> None:
        """End, and have the browser ask again who it is."""

    def say_something(self) -> None:
        """Send a comment, to keep the connection."""


class Audience(ProcessTask):
    """The listeners of this process. Only the event loop's thread may touch them.

    `count` may be read from any thread.
    """

    def __init__(self) -> None:
        super().__init__("live-audience")
        self.count = 0
        self._by_channel: dict[str, set[Listening]] = {}
        self._turns: list[set[Listening]] = [set() for _ in range(TURN_COUNT)]
        self._turn_of: dict[Listening, int] = {}

    def join(self, listener: Listening) -> None:
        turn = random.randrange(TURN_COUNT)
        self._turns[turn].add(listener)
        self._turn_of[listener] = turn
        self._by_channel.setdefault(listener.channel, set()).add(listener)
        self.count = len(self._turn_of)

    def leave(self, listener: Listening) -> None:
        self._turns[self._turn_of.pop(listener)].discard(listener)
        listeners = self._by_channel[listener.channel]
        listeners.discard(listener)
        if not listeners:
            del self._by_channel[listener.channel]
        self.count = len(self._turn_of)

    def of(self, channel: str) -> Sequence[Listening]:
        """Return who listens to a channel now."""
        return tuple(self._by_channel.get(channel, ()))

    def everybody(self) -> Sequence[Listening]:
        return tuple(self._turn_of)

    def tell(self, channel: str, event: Heard) -> None:
        """Offer an event, in the loop's next step, to everybody who listens to the channel now."""
        soon.call(partial(_offer, iter(self.of(channel)), event))

    async def run(self) -> None:
        """Have each listener say something in its turn, once in `KEEP_ALIVE_S`."""
        while True:
            for turn in self._turns:
                await asyncio.sleep(KEEP_ALIVE_S / TURN_COUNT)
                for listener in turn:
                    soon.call(listener.say_something)


def _offer(listeners: Iterator[Listening], event: Heard) -> None:
    """Offer an event to one after the other: most of them write it to their viewer at once."""
    try:
        for listener in listeners:
            listener.offer(event)
    finally:
        # One that fails is told of by the loop, and costs the others a step.
        if length_hint(listeners):
            soon.call(partial(_offer, listeners, event))


class Soon:
    """Calls made in the loop's next step: one handle of the loop for however many ask in this one.

    To wake eight thousand listeners by a handle each was a sixth of the time of telling them.
    """

    def __init__(self) -> None:
        self._calls: deque[Callable[[], None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_due = False

    def call(self, function: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # Of a loop that is gone (tests), nothing is left to do.
            self._calls.clear()
            self._loop, self._is_due = loop, False
        self._calls.append(function)
        if not self._is_due:
            self._is_due = True
            loop.call_soon(self._call_all)

    def _call_all(self) -> None:
        try:
            for _ in range(len(self._calls)):
                self._calls.popleft()()
        finally:
            # One that fails is told of by the loop, and costs the others a step. What was asked
            # for meanwhile has its turn after the loop has looked at its sockets.
            self._is_due = bool(self._calls)
            if self._is_due:
                asyncio.get_running_loop().call_soon(self._call_all)


audience: Final = Audience()
soon: Final = Soon()
