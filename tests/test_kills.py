"""Real workers killed at random points, and all else that can die beside them: every run ends well.

KILLS is how many runs are cut off, KILLS_SEED picks other points.
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING, Final

import pytest
from django.conf import settings
from django.db.models import Sum

from integrations.constants import SYNC_STATUS_COMPLETE
from integrations.models import StatusTransition, SyncRun
from tests.kills import Record, Site, as_facts, now
from tests.processes import Process
from tests.stack import database_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.sandbox_control import SandboxControl
    from tests.stack import Stack

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.processes,
    pytest.mark.timeout(300),
]

KILLS: Final = int(os.environ.get("KILLS", "50"))
SEED: Final = int(os.environ.get("KILLS_SEED", random.randrange(1_000_000)))
SITE_COUNT: Final = 24
THREADS: Final = 8
SIZE: Final = 600
LATENCY_MS: Final = 200
GOES_ON_WITHIN_S: Final = 20

SCHEDULER_ONLY = pytest.mark.parametrize("stack", [("scheduler",)], indirect=True)


@pytest.fixture
def worker(stack: Stack, tmp_path: Path) -> Iterator[Process]:
    """A worker that really works on as many runs at once as it has threads."""
    process = Process(
        "manage.py", "rundramatiq", "--processes", "1", "--threads", str(THREADS), "--skip-logging",
        name="busy-worker",
        log_dir=tmp_path,
        environment={
            "DATABASE_URL": database_url(),
            "REDIS_URL": settings.REDIS_URL,
            "GITHUB_URL": settings.GITHUB_URL,
            "GITHUB_API_URL": settings.GITHUB_API_URL,
            "EMAIL_URL": "dummymail://",
            # Dramatiq counts the messages being worked on too: less would leave threads idle.
            "dramatiq_queue_prefetch": str(THREADS),
        },
    )  # fmt: skip
    start(process)
    yield process
    process.stop()


def start(process: Process) -> None:
    said_before = len(process.output)
    process.start()
    process.wait_ready(lambda: "ready for action" in process.output[said_before:])


def pages_written() -> int:
    pages: int = SyncRun.objects.aggregate(pages=Sum("page_count"))["pages"] or 0
    return pages


class Chaos:
    """Keeps every site busy, and kills the worker at points that the seed picks."""

    def __init__(self, worker: Process, sites: list[Site]) -> None:
        self._worker = worker
        self._sites = sites
        self._random = random.Random(SEED)
        self.record = Record()

    def kill_once(self, wait_until: Callable[..., None]) -> None:
        """Let the worker write some pages, and kill it some milliseconds after."""
        wanted = pages_written() + self._random.randint(1, 30)

        def is_time() -> bool:
            self.tend()
            return pages_written() >= wanted

        wait_until(is_time, timeout_s=30, what="pages being written")
        time.sleep(self._random.uniform(0, LATENCY_MS / 1000))
        self._worker.kill()
        self.record.note_kill(now(), self._sites)
        start(self._worker)

    def tend(self) -> None:
        """Check each site whose sync is over, change its people, and start its next."""
        self.check_ended()
        for site in self._sites:
            if site.run is None:
                if site.ended_count:
                    site.change(self._random)
                site.start()

    def check_ended(self) -> bool:
        """Check each site whose sync is over; return whether all are."""
        running = [site for site in self._sites if site.run is not None]
        active = set(SyncRun.objects.active().values_list("pk", flat=True))
        for site in running:
            if site.run is not None and site.run.pk not in active:
                self.record.note_end(site)
                site.run = None
        return all(site.run is None for site in self._sites)


class TestAWorkerKilledAgainAndAgain:
    @SCHEDULER_ONLY
    def test_every_run_goes_on_and_ends_at_the_truth(
        self, worker: Process, sandbox: SandboxControl, wait_until: Callable[..., None]
    ) -> None:
        print(f"KILLS_SEED={SEED}")
        begun_s = time.monotonic()
        sites = [Site.make(sandbox, size=SIZE, latency_ms=LATENCY_MS) for _ in range(SITE_COUNT)]
        chaos = Chaos(worker, sites)
        record = chaos.record
        while len(record.interruptions) < KILLS:
            chaos.kill_once(wait_until)
        wait_until(chaos.check_ended, timeout_s=60, what="the end of every run")
        print(f"{time.monotonic() - begun_s:.0f} s", as_facts(record))
        assert record.run_count >= SITE_COUNT
        assert max(record.pauses_s()) <= GOES_ON_WITHIN_S
        assert max(record.read_again) <= 1
        assert StatusTransition.objects.filter(to_status=SYNC_STATUS_COMPLETE).count() == (
            record.run_count
        )
