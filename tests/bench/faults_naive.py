"""What the same faults do to the ways that are replaced, watched for a bounded time beside ours."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import redis
from django.conf import settings
from django.urls import reverse

from integrations.live.channels import channel_of
from tests.bench.stream_figures import Web
from tests.bench.viewers import admin_of
from tests.live.sse import SseClient
from tests.processes import Process, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bench.rows import Bench
    from tests.kills import Site

KILLED_AFTER_PAGE: Final = 4
KILL_WATCHED_S: Final = 150
SILENCE_WATCHED_S: Final = 30
# SQLite and a thread each: what a hundred of them would cost is told by the rows about streams.
VIEWERS: Final = 15


class NaiveWorker:
    """A plain Dramatiq worker in the middle of a list, killed and started again at once."""

    def __init__(self, bench: Bench, directory: Path, *, size: int, latency_ms: int) -> None:
        self._journal = directory / "journal.txt"
        self._journal.touch()
        redis_url = f"{bench.stack.valkey.url}/2"
        # Its processes and threads are Dramatiq's defaults as well.
        self._process = Process(
            "-m", "dramatiq", "tests.bench.naive_worker",
            name="naive-worker", log_dir=directory, environment={"NAIVE_REDIS_URL": redis_url},
        )  # fmt: skip
        organization = bench.sandbox.organization(size=size)
        organization.slow_down(latency_ms)
        url = f"{settings.GITHUB_API_URL}/orgs/{organization.login}/members?per_page=100"
        self._sender = Process(
            "-c",
            "import sys; from tests.bench.naive_worker import walk; walk.send(*sys.argv[1:])",
            url, organization.token, str(self._journal),
            name="naive-sender", log_dir=directory, environment={"NAIVE_REDIS_URL": redis_url},
        )  # fmt: skip

    def be_killed(self) -> None:
        """Let it read some pages, and kill it as the kernel would."""
        self._process.start()
        self._sender.start()
        wait_until(lambda: len(self._pages()) >= KILLED_AFTER_PAGE, timeout_s=60, what="its pages")
        self._process.kill()
        self._killed_at, self._read_before = time.time(), len(self._pages())
        self._process.start()

    def outcome(self) -> str:
        """Say when it went on and from where, or that it did not while it was watched."""
        ends_at = self._killed_at + KILL_WATCHED_S
        while len(self._pages()) == self._read_before and time.time() < ends_at:
            time.sleep(1)
        after = self._pages()[self._read_before :]
        if not after:
            return f"a plain Dramatiq worker, killed once: not gone on within {KILL_WATCHED_S} s"
        page, at = after[0]
        return (
            f"a plain Dramatiq worker, killed once: {at - self._killed_at:.0f} s, from page {page} "
            f"({self._read_before} were read)"
        )

    def stop(self) -> None:
        self._sender.kill()
        self._process.kill()

    def _pages(self) -> list[tuple[int, float]]:
        """Return number and time of each page that it had, oldest first."""
        lines = [line.split() for line in self._journal.read_text().splitlines()]
        return [(int(page), float(at)) for page, at in (line for line in lines if len(line) == 2)]


class NaiveViewers:
    """Viewers of one team at django-eventstream's own view, with its own listener of Redis."""

    def __init__(self, bench: Bench, directory: Path, site: Site) -> None:
        team = site.integration.team
        self._channel = channel_of(team.pk)
        self._sent_count = 0
        self._web = Web(directory, application="tests.bench.stream_naive:application")
        self._cleanup = ExitStack()
        self._clients: list[SseClient] = []
        self._bench, self._team = bench, team

    def open(self) -> None:
        """Start its web process, and wait until each stream has heard an event."""
        self._cleanup.enter_context(self._web.running())
        path = reverse("live", args=[self._team.slug])
        for _ in range(VIEWERS):
            with self._bench.stack.browser_session(admin_of(self._team)) as session:
                client = SseClient(
                    f"http://127.0.0.1:{self._web.port}{path}", cookies=session.cookies.get_dict()
                )
            self._cleanup.callback(client.close)
            self._clients.append(client)
        # Its listener subscribes at the first stream; what is sent before that nobody hears.
        wait_until(self._all_hear, timeout_s=30, what="every naive stream hearing an event")

    def outcome(self) -> str:
        """Send an event each second for a while, and say how many heard one of them."""
        for client in self._clients:
            client.forget()
        ends_at = time.monotonic() + SILENCE_WATCHED_S
        while not self._all_hear() and time.monotonic() < ends_at:
            pass
        heard = sum(self._has_heard(client) for client in self._clients)
        still_open = sum(not client.is_over for client in self._clients)
        return (
            f"django-eventstream's own listener: {heard} of {VIEWERS} heard any of "
            f"{SILENCE_WATCHED_S} s of events after its return, {still_open} streams still open"
        )

    def close(self) -> None:
        self._cleanup.close()

    def _all_hear(self) -> bool:
        """Send one more event; say whether each stream has had one a second later."""
        self._sent_count += 1
        message = {
            "channel": self._channel,
            "event_type": "message",
            "data": json.dumps(self._sent_count),
            "pub_id": str(self._sent_count),
        }
        with redis.Redis.from_url(settings.LIVE_REDIS_URL) as client:
            client.publish("events_channel", json.dumps(message))
        time.sleep(1)
        return all(map(self._has_heard, self._clients))

    @staticmethod
    def _has_heard(client: SseClient) -> bool:
        return any(event.type == "message" for event in client.events)
