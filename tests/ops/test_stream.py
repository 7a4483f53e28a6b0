"""The dashboard's stream: one sampler while somebody watches, and only operators do."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, Final

import psutil
import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection
from django.urls import reverse

from integrations.live.sampling import Operator, Sampler
from integrations.live.web_report import web_report
from integrations.models import User
from integrations.telemetry import processes
from integrations.telemetry.redis_clients import telemetry_client
from tests.factories import UserFactory
from tests.live.sse import SseClient
from tests.live.test_stream import RawStream, busy_connections, database_connections_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.processes import Valkey
    from tests.stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)

MANY: Final = 60
NOBODY: Final = Operator(user_id=0, session_key="", password="")


class Looks:
    """A look that counts how often it was taken; one piece changes, the other doesn't."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> dict[str, str]:
        self.count += 1
        return {"clock": f"<p>look {self.count}</p>", "still": "<p>still</p>"}


async def listened_to(stream: AsyncIterator[Any], *, chunk_count: int) -> list[str]:
    """Return the first pieces that a stream sends, without waiting for ever."""
    async with asyncio.timeout(10):
        return [str(await anext(stream)) for _ in range(chunk_count)]


class TestSampler:
    def test_it_looks_once_for_all_and_never_for_nobody(self) -> None:
        looks = Looks()

        async def watch() -> None:
            sampler = Sampler("test", take=looks)
            streams: list[Any] = [sampler.stream(NOBODY) for _ in range(3)]
            heard = await asyncio.gather(
                *(listened_to(stream, chunk_count=3) for stream in streams)
            )
            assert web_report.watcher_count == 3
            assert heard[0] == heard[1] == heard[2]
            assert "look 1" in heard[0][1]
            assert "look 2" in heard[0][2]
            for stream in streams:
                await stream.aclose()
            assert web_report.watcher_count == 0
            seen = looks.count
            await asyncio.sleep(2.5)
            assert looks.count <= seen + 1

        asyncio.run(watch())

    def test_a_watcher_hears_of_what_is_new_only(self) -> None:
        async def watch() -> None:
            stream: Any = Sampler("test", take=Looks()).stream(NOBODY)
            _, first, second = await listened_to(stream, chunk_count=3)
            assert "still" in first
            assert "still" not in second
            await stream.aclose()

        asyncio.run(watch())

    def test_a_slow_one_gets_only_the_newest(self) -> None:
        looks = Looks()

        async def watch() -> None:
            stream: Any = Sampler("test", take=looks).stream(NOBODY)
            await listened_to(stream, chunk_count=2)
            while looks.count < 4:
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.1)
            [newest] = await listened_to(stream, chunk_count=1)
            assert "look 4" in newest
            await stream.aclose()

        asyncio.run(watch())


@pytest.fixture
def olga(transactional_db: None) -> User:
    found: User = UserFactory(email="olga@example.com", is_staff=True)
    return found


def cookies_of(stack: Stack, user: User) -> dict[str, str]:
    with stack.browser_session(user) as session:
        return dict(session.cookies.get_dict())


@pytest.fixture
def watching(stack: Stack, olga: User) -> Iterator[SseClient]:
    client = SseClient(f"{stack.url}{reverse('ops_live')}", cookies=cookies_of(stack, olga))
    client.wait_for("sample")
    yield client
    client.close()


@pytest.mark.processes
@pytest.mark.parametrize("stack", [("web",)], indirect=True)
class TestStream:
    def test_it_brings_the_pieces_and_the_process_tells_of_its_watcher(
        self, stack: Stack, watching: SseClient, wait_until: Callable[..., None]
    ) -> None:
        assert 'id="verdict"' in watching.events[1].data

        def watcher_count() -> int:
            found = processes.read_processes(telemetry_client())
            return sum(one.state.get("watchers", 0) for one in found)

        wait_until(lambda: watcher_count() == 1)
        watching.close()
        # The server finds out when it writes.
        wait_until(lambda: watcher_count() == 0)

    def test_nobody_but_operators_hears_it(self, stack: Stack, alice: User) -> None:
        for user in (None, alice):
            with stack.browser_session(user) as session:
                response = session.get(f"{stack.url}{reverse('ops_live')}", timeout=10)
            assert response.status_code == 404

    def test_it_ends_for_who_is_no_operator_any_more_and_for_nobody_else(
        self, stack: Stack, watching: SseClient
    ) -> None:
        """One lost the role, one signed out, and one has another password."""
        others = UserFactory.create_batch(3, is_staff=True)
        cookies = [cookies_of(stack, other) for other in others]
        address = f"{stack.url}{reverse('ops_live')}"
        clients = [SseClient(address, cookies=one) for one in cookies]
        for client in clients:
            client.wait_for("sample")
        User.objects.filter(pk=others[0].pk).update(is_staff=False)
        Session.objects.filter(pk=cookies[1][settings.SESSION_COOKIE_NAME]).delete()
        User.objects.filter(pk=others[2].pk).update(password="another")
        for client in clients:
            event = client.wait_for("stream-error", timeout_s=12)
            assert json.loads(event.data)["condition"] == "forbidden"
            client.close()
        watching.forget()
        watching.wait_for("sample")

    def test_it_survives_redis_and_says_that_it_is_away(
        self, stack: Stack, watching: SseClient, valkey: Valkey
    ) -> None:
        valkey.stop()
        watching.wait_for("sample", where=lambda event: "Redis doesn" in event.data, timeout_s=8)
        watching.forget()
        valkey.start()
        watching.wait_for("sample", where=lambda event: 'id="queues"' in event.data, timeout_s=8)
        assert not watching.is_over

    def test_watchers_hold_no_thread_and_no_connection(self, stack: Stack, olga: User) -> None:
        cookie = "; ".join(f"{name}={value}" for name, value in cookies_of(stack, olga).items())
        streams = [RawStream(stack, reverse("ops_live"), cookie) for _ in range(MANY)]
        try:
            for stream in streams:
                stream.wait_for(b"event: sample")
            process = psutil.Process(stack.web.pid)
            assert process.num_threads() <= 24
            assert database_connections_of(process) <= 16
            if connection.vendor == "postgresql":
                assert busy_connections() <= 1
            begun_s = time.monotonic()
            stack.web.stop()
            assert time.monotonic() - begun_s < 5
            for stream in streams:
                stream.wait_for(b"retry: ")
        finally:
            for stream in streams:
                stream.close()
