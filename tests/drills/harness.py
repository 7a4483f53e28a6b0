"""What every drill does: many syncs under way, a fault, and proof that none was lost or doubled.

A drill's short form is for every run of CI; DRILLS=full is for `make drills`.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import dramatiq
import pytest
import redis
from django.conf import settings
from django.utils import timezone

from integrations import tasks
from integrations.constants import SYNC_STATUS_COMPLETE, RunTrigger
from integrations.models import StatusTransition, SyncRun
from integrations.services import recovery
from integrations.services.runs import start_run
from tests.kills import Site
from tests.processes import wait_until

if TYPE_CHECKING:
    from datetime import datetime

    from dramatiq import Message

    from tests.processes import Valkey
    from tests.sandbox_control import SandboxControl
    from tests.stack import Stack

IS_FULL: Final = os.environ.get("DRILLS") == "full"
SITE_COUNT: Final = 24 if IS_FULL else 6
SIZE: Final = 600 if IS_FULL else 300
LATENCY_MS: Final = 300
# After Redis is back, or the worker was killed; the figure of the design.
OVER_WITHIN_S: Final = 20
# Where a message died the ticker sends the next 15 s after it (RESEND_AFTER), and a tick later.
OVER_WITHIN_AFTER_DEATH_S: Final = 30
QUEUE: Final = "interactive"

MARKS: Final = [
    pytest.mark.drill,
    pytest.mark.processes,
    pytest.mark.cold_start,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(180),
    pytest.mark.parametrize("stack", [("worker", "scheduler")], indirect=True),
]


def outage_s(full: float, short: float) -> float:
    return full if IS_FULL else short


@dataclass
class Drill:
    """Syncs of several organisations in real processes, and the check of what became of them."""

    stack: Stack
    valkey: Valkey
    sandbox: SandboxControl
    sites: list[Site] = field(default_factory=list)

    def sites_at_work(self, count: int = SITE_COUNT) -> list[Site]:
        """Start syncs, and return once pages are being written."""
        made = [self.site() for _ in range(count)]
        for site in made:
            site.start()
        self.wait_for_pages()
        return made

    def site(self) -> Site:
        made = Site.make(self.sandbox, size=SIZE, latency_ms=LATENCY_MS)
        self.sites.append(made)
        return made

    def unsent_run(self) -> SyncRun:
        """Start a run whose message is the drill's own affair; the ticker leaves it its time."""
        site = self.site()
        site.run = run = start_run(site.integration, trigger=RunTrigger.MANUAL).run
        recovery.note_sent(run)
        return run

    @property
    def runs(self) -> Any:
        return SyncRun.objects.filter(pk__in=[site.run.pk for site in self.sites if site.run])

    def wait_for_pages(self) -> None:
        wait_until(
            lambda: self.runs.filter(page_count__gte=1).exists(), timeout_s=20, what="a page"
        )

    def finish(
        self,
        name: str,
        *,
        since: datetime,
        within_s: float = OVER_WITHIN_S,
        cuts_allowed: int = 1,
        **figures: Any,
    ) -> None:
        """Wait for the end of every run, check each, and print the figures."""
        wait_until(
            lambda: not self.runs.active().exists(),
            timeout_s=within_s + 20,
            what=f"the end of every run ({self._standing()})",
        )
        self._check(cuts_allowed)
        took_s = max((run.finished_at - since).total_seconds() for run in self.runs)
        facts = {"runs": len(self.sites), "lost": 0, "twice at once": 0} | figures
        words = ", ".join(f"{value} {key}" for key, value in facts.items())
        print(f"DRILL {name}: {words}, over after {took_s:.1f} s")
        assert took_s <= within_s

    def _check(self, cuts_allowed: int) -> None:
        for site in self.sites:
            run = site.run
            assert run is not None
            run.refresh_from_db()
            assert run.status == SYNC_STATUS_COMPLETE, (run.pk, run.status, run.error_code)
            assert site.roster() == site.truth()
            self._check_one_at_a_time(site, run, cuts_allowed)

    def _check_one_at_a_time(self, site: Site, run: SyncRun, cuts_allowed: int) -> None:
        """Refuse two holders: GitHub answers one reader no faster than its latency allows."""
        answered = site.page_calls_of_run()
        gaps_s = [after - before for before, after in pairwise(answered)]
        assert all(gap >= LATENCY_MS / 1000 * 0.9 for gap in gaps_s), (run.pk, gaps_s)
        claims = list(
            StatusTransition.objects.filter(run=run, attempt__gte=1, reason="")
            .exclude(to_status=SYNC_STATUS_COMPLETE)
            .order_by("pk")
            .values_list("attempt", flat=True)
        )
        assert claims == list(range(1, len(claims) + 1)), (run.pk, claims)
        # Each cut costs the page in hand and the one asked for ahead, and nothing more.
        assert len(answered) - run.page_count <= 2 * cuts_allowed, (run.pk, len(answered))

    def _standing(self) -> list[Any]:
        return list(self.runs.active().values_list("pk", "status", "claim_count", "page_count"))


def message_of(run: SyncRun, **changes: Any) -> Message[Any]:
    return tasks.sync_github_members_task.message(run.pk).copy(queue_name=QUEUE, **changes)


def enqueue(message: Message[Any], *, delay_ms: int | None = None) -> Message[Any]:
    return dramatiq.get_broker().enqueue(message, delay=delay_ms)


def dead_count() -> int:
    with redis.Redis.from_url(settings.BROKER_REDIS_URL) as client:
        return int(client.zcard(f"{settings.BROKER_NAMESPACE}:{QUEUE}.XQ"))


def pass_time(seconds: float) -> None:
    """Let a fault last: while Redis is away there is nothing to wait for."""
    time.sleep(seconds)


def now() -> datetime:
    return timezone.now()
