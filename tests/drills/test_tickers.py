"""Three tickers side by side, one of them killed while nights fall due."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Count
from django.utils import timezone

from integrations.constants import RunTrigger
from integrations.models import GitHubIntegration, SyncRun
from tests.drills.harness import IS_FULL, OVER_WITHIN_AFTER_DEATH_S, marks, now
from tests.processes import wait_until

if TYPE_CHECKING:
    from tests.drills.harness import Drill

pytestmark = marks("worker")

NIGHTS = 60 if IS_FULL else 24
TICKERS = ["scheduler", "scheduler-2", "scheduler-3"]


def test_every_night_is_started_once(drill: Drill) -> None:
    sites = [drill.site(size=90) for _ in range(NIGHTS)]
    integrations = GitHubIntegration.objects.filter(pk__in=[site.integration.pk for site in sites])
    integrations.update(schedule_enabled=True, next_sync_at=timezone.now() + timedelta(hours=1))
    drill.stack.start(TICKERS)
    nights = SyncRun.objects.filter(trigger=RunTrigger.SCHEDULE)
    due_at = timezone.now()
    integrations.update(next_sync_at=due_at)
    wait_until(nights.exists)
    drill.stack["scheduler-2"].kill()
    killed_at = now()
    wait_until(
        lambda: not integrations.filter(next_sync_at__lte=due_at).exists(),
        timeout_s=20,
        what="every night being taken",
    )
    for site in sites:
        site.run = nights.filter(integration=site.integration).first()
    times = nights.values("integration").annotate(times=Count("pk")).values_list("times", flat=True)
    drill.finish(
        "three tickers, one killed",
        since=killed_at,
        within_s=OVER_WITHIN_AFTER_DEATH_S,
        nights=NIGHTS,
        started_twice=sum(count > 1 for count in times),
    )
    assert list(times) == [1] * NIGHTS
