"""Real workers killed at random points, and all else that can die beside them: every run ends well.

KILLS is how many runs are cut off, KILLS_SEED picks other points.
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING, Final

import pytest
from django.db.models import Sum

from integrations.constants import SYNC_STATUS_COMPLETE
from integrations.models import StatusTransition, SyncRun
from tests.kills import Record, Site, as_facts, now

if TYPE_CHECKING:
    from collections.abc import Callable

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
SIZE: Final = 600
LATENCY_MS: Final = 200
GOES_ON_WITHIN_S: Final = 20

WITHOUT_WEB = pytest.mark.parametrize("stack", [("worker", "scheduler")], indirect=True)


def pages_written() -> int:
    pages: int = SyncRun.objects.aggregate(pages=Sum("page_count"))["pages"] or 0
    return pages


class Chaos:
    """Keeps every site busy, and kills the worker at points that the seed picks."""

    def __init__(self, stack: Stack, sites: list[Site]) -> None:
        self._stack = stack
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
        self._stack.worker.kill()
        self.record.note_kill(now(), self._sites)
        self._stack.start(["worker"])

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
    @WITHOUT_WEB
    def test_every_run_goes_on_and_ends_at_the_truth(
        self, stack: Stack, sandbox: SandboxControl, wait_until: Callable[..., None]
    ) -> None:
        print(f"KILLS_SEED={SEED}")
        begun_s = time.monotonic()
        sites = [Site.make(sandbox, size=SIZE, latency_ms=LATENCY_MS) for _ in range(SITE_COUNT)]
        chaos = Chaos(stack, sites)
        record = chaos.record
        while len(record.interruptions) < KILLS:
            chaos.kill_once(wait_until)
        wait_until(chaos.check_ended, timeout_s=60, what="the end of every run")
        print(f"{time.monotonic() - begun_s:.0f} s", as_facts(record))
        assert max(record.pauses_s()) <= GOES_ON_WITHIN_S
        assert max(record.read_again) <= 1
        assert StatusTransition.objects.filter(to_status=SYNC_STATUS_COMPLETE).count() == (
            record.run_count
        )
