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
from tests.drills.records import PROPERTY, Record
from tests.drills.viewers import Audience
from tests.kills import Site
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
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
# A viewer shows the present state this soon after its stream could come back; the design's figure.
SEEN_WITHIN_S: Final = 5
QUEUE: Final = "interactive"
# What a card shows of a run that is over and well.
END_STATES: Final = ("complete", "held")

_MARKS: Final = [
    pytest.mark.drill,
    pytest.mark.processes,
    pytest.mark.django_db(transaction=True),
    # In full an outage alone lasts 75 s.
    pytest.mark.timeout(300 if IS_FULL else 180),
]
MARKS_OF_EVERY_DRILL: Final = [*_MARKS, pytest.mark.cold_start]


def marks(*processes: str) -> list[pytest.MarkDecorator]:
    """Return the marks of a module whose drills start with these processes at work.

    In full they start from nothing, as the Procfile has them; in the short form they are forked
    (tests/preloaded.py): starting them was most of what a drill took of the machine.
    """
    return [
        *(MARKS_OF_EVERY_DRILL if IS_FULL else _MARKS),
        pytest.mark.parametrize("stack", [processes], indirect=True),
    ]


MARKS: Final = marks("worker", "scheduler")


def outage_s(full: float, short: float) -> float:
    return full if IS_FULL else short


@dataclass
class Drill:
    """Syncs of several organisations in real processes, and the check of what became of them."""

    stack: Stack
    valkey: Valkey
    sandbox: SandboxControl
    note: Callable[[str, object], None]
    sites: list[Site] = field(default_factory=list)
    audience: Audience | None = None

    def sites_at_work(self, count: int = SITE_COUNT, *, size: int = SIZE) -> list[Site]:
        """Start syncs, and return once pages are being written."""
        made = [self.site(size=size) for _ in range(count)]
        for site in made:
            site.start()
        self.wait_for_pages()
        return made

    def site(self, *, size: int = SIZE) -> Site:
        made = Site.make(self.sandbox, size=size, latency_ms=LATENCY_MS)
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

    def watch(self, sites: list[Site], *, each: int) -> Audience:
        """Have people look on, who must show each run's end."""
        self.audience = Audience(self.stack, sites, each=each)
        return self.audience

    def close(self) -> None:
        """End what looks on, and workers at once: the drill is over, and they take 4 s to go."""
        if self.audience is not None:
            self.audience.close()
        for name in ("worker", "worker-2"):
            self.stack[name].kill()

    def finish(
        self,
        name: str,
        *,
        since: datetime,
        within_s: float = OVER_WITHIN_S,
        cuts_allowed: int = 1,
        doubled: Callable[[], int] | None = None,
        **figures: Any,
    ) -> None:
        """Wait for the end of every run, check each, and note the figures.

        `doubled` counts what was done twice where GitHub's answers alone can't tell it.
        """
        wait_until(
            lambda: not self.runs.active().exists(),
            timeout_s=within_s + 20,
            what=f"the end of every run ({self._standing()})",
        )
        # Those that ended before the fault did count as zero.
        took_s = max(0.0, *((run.finished_at - since).total_seconds() for run in self.runs))
        if self.audience is not None:
            figures = {"viewers": len(self.audience)} | figures | self._seen()
        lost = [site for site in self.sites if not self._is_whole(site)]
        twice = doubled() if doubled else sum(self._was_doubled(site) for site in self.sites)
        self.record(
            Record(
                drill=name,
                watched=f"{len(self.sites)} runs",
                over_after_s=round(took_s, 1),
                bar_s=within_s,
                lost=len(lost),
                doubled=twice,
                figures=figures,
            )
        )
        for site in self.sites if doubled is None else ():
            self._check_calls(site, cuts_allowed)

    def record(self, *records: Record) -> None:
        """Keep rows for the table, and then fail if a bar was missed."""
        for record in records:
            self.note(PROPERTY, record.as_property())
            print(f"DRILL {', '.join(record.cells())}")
        assert all(record.holds for record in records), [one for one in records if not one.holds]

    def _seen(self) -> dict[str, Any]:
        """Wait until every viewer shows the end of their run; return how long that took."""
        assert self.audience is not None
        begun_s = time.monotonic()
        wait_until(
            lambda: not self._behind(),
            timeout_s=SEEN_WITHIN_S,
            what=f"the present state on every screen ({self._behind()})",
        )
        went_back = sum(viewer.went_back_count for viewer in self.audience.viewers)
        assert not went_back, f"{went_back} cards older than the one before"
        return {"s until all saw it": round(time.monotonic() - begun_s, 1)}

    def _behind(self) -> list[Any]:
        assert self.audience is not None
        latest = {
            run.integration.team_id: (run.revision, run.status)
            for run in self.runs.select_related("integration")
        }
        return [
            (viewer.team_id, viewer.card, latest[viewer.team_id])
            for viewer in self.audience.viewers
            if viewer.team_id in latest
            and viewer.card not in {(state, latest[viewer.team_id][0]) for state in END_STATES}
        ]

    def _is_whole(self, site: Site) -> bool:
        """Say whether a run is complete and the roster true to GitHub."""
        run = site.run
        assert run is not None
        run.refresh_from_db()
        if run.status != SYNC_STATUS_COMPLETE:
            print(f"LOST run {run.pk}: {run.status} {run.error_code}")
            return False
        return site.roster() == site.truth()

    def _was_doubled(self, site: Site) -> bool:
        """Say whether two worked on a run at once.

        GitHub answers one reader no faster than its latency allows, and claims count up one by one.
        """
        run = site.run
        assert run is not None
        gaps_s = [after - before for before, after in pairwise(site.page_calls_of_run())]
        claims = list(
            StatusTransition.objects.filter(run=run, attempt__gte=1, reason="")
            .exclude(to_status=SYNC_STATUS_COMPLETE)
            .order_by("pk")
            .values_list("attempt", flat=True)
        )
        is_doubled = any(gap < LATENCY_MS / 1000 * 0.9 for gap in gaps_s)
        is_doubled = is_doubled or claims != list(range(1, len(claims) + 1))
        if is_doubled:
            print(f"DOUBLED run {run.pk}: {gaps_s} {claims}")
        return is_doubled

    def _check_calls(self, site: Site, cuts_allowed: int) -> None:
        """Each cut costs the page in hand and the one asked for ahead, and nothing more."""
        run = site.run
        assert run is not None
        answered = site.page_calls_of_run()
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


def slow_down(sites: Iterable[Site], latency_ms: float) -> None:
    """Have GitHub take so long for each answer about these, from now on."""
    for site in sites:
        site.organization.slow_down(latency_ms)


def pass_time(seconds: float) -> None:
    """Let a fault last: while Redis is away there is nothing to wait for."""
    time.sleep(seconds)


def now() -> datetime:
    return timezone.now()
