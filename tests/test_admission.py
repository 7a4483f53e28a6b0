"""The line before Django: who waits, who doesn't, and that nobody keeps a place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from project.admission import LINES, PageAdmission

Message = MutableMapping[str, Any]
PLACES = dict(LINES)
BODY: Message = {"type": "http.request", "body": b"", "more_body": False}
PART: Message = {"type": "http.request", "body": b"a", "more_body": True}
HEAD: Message = {"type": "http.response.start", "status": 200, "headers": []}


class Site:
    """An application that answers when it is told to, and who is inside of it."""

    def __init__(self) -> None:
        self.inside = 0
        self.answer = asyncio.Event()
        self.entrance = PageAdmission(self._serve)
        self.asking: list[asyncio.Task[None]] = []

    async def _serve(self, scope: Message, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        self.inside += 1
        await self.answer.wait()
        if scope["path"] == "/fails/":
            raise RuntimeError("a view's failure")
        await send(HEAD)
        await send({"type": "http.response.body", "body": b"done"})

    async def ask(
        self, path: str, *, count: int = 1, body: Message = BODY, slowly: bool = False
    ) -> None:
        """Ask so many times, and let everybody go as far as they can."""

        async def receive() -> Message:
            if body is PART:
                await asyncio.sleep(0)
            return body

        async def send(message: Message) -> None:
            if slowly and message["type"] == "http.response.body":
                await asyncio.Event().wait()

        scope = {"type": "http", "path": path}
        for _ in range(count):
            self.asking.append(asyncio.create_task(self.entrance(scope, receive, send)))
        await steps()

    async def end(self) -> None:
        for task in self.asking:
            task.cancel()
        await asyncio.gather(*self.asking, return_exceptions=True)


async def steps() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def run(story: Callable[[Site], Awaitable[None]]) -> None:
    async def told() -> None:
        site = Site()
        try:
            await story(site)
        finally:
            await site.end()

    asyncio.run(told())


def test_more_than_there_are_places_wait_and_are_answered() -> None:
    async def story(site: Site) -> None:
        await site.ask("/t/acme/github/members/", count=PLACES["/"] + 5)
        assert site.inside == PLACES["/"]
        site.answer.set()
        await steps()
        assert site.inside == PLACES["/"] + 5
        assert all(task.done() for task in site.asking)

    run(story)


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/metrics", "/static/js/page.js", "/t/acme/live/", "/ops/live/"]
)
def test_some_never_wait(path: str) -> None:
    async def story(site: Site) -> None:
        await site.ask("/t/acme/", count=PLACES["/"])
        await site.ask("/ops/", count=PLACES["/ops/"])
        before = site.inside
        await site.ask(path, count=30)
        assert site.inside == before + 30

    run(story)


@pytest.mark.parametrize("path", ["/webhooks/github/", "/ops/"])
def test_some_have_a_line_of_their_own(path: str) -> None:
    async def story(site: Site) -> None:
        await site.ask("/t/acme/", count=PLACES["/"] + 1)
        await site.ask(path, count=10)
        assert site.inside == PLACES["/"] + 4

    run(story)


def test_a_body_that_trickles_in_holds_no_place() -> None:
    async def story(site: Site) -> None:
        await site.ask("/t/acme/", count=PLACES["/"] * 2, body=PART)
        await site.ask("/t/acme/")
        assert site.inside == 1

    run(story)


def test_one_who_reads_slowly_holds_no_place() -> None:
    async def story(site: Site) -> None:
        site.answer.set()
        await site.ask("/t/acme/", count=PLACES["/"] * 2, slowly=True)
        assert site.inside == PLACES["/"] * 2
        assert not any(task.done() for task in site.asking)

    run(story)


def test_a_view_that_fails_gives_its_place_back() -> None:
    async def story(site: Site) -> None:
        site.answer.set()
        await site.ask("/fails/", count=PLACES["/"] * 2)
        assert site.inside == PLACES["/"] * 2

    run(story)


def test_one_who_goes_while_waiting_takes_no_place_along() -> None:
    async def story(site: Site) -> None:
        await site.ask("/t/acme/", count=PLACES["/"] + 3)
        for task in site.asking[-3:]:
            task.cancel()
        await steps()
        site.answer.set()
        await site.ask("/t/acme/", count=PLACES["/"])
        assert site.inside == PLACES["/"] * 2

    run(story)
