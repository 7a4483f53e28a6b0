"""What measurements of queues share: sizes, beginning anew, sending runs and waiting for them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

import dramatiq

from integrations import tasks
from integrations.constants import SYNC_STATUS_COMPLETE, RunTrigger
from integrations.models import GitHubIntegration, SyncRun
from integrations.services.runs import start_run
from integrations.telemetry.redis_clients import broker_client
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.rows import Bench

SMALL_SIZE: Final = 20
WATCHED_S: Final = float(os.environ.get("SWEEP_WATCHED_S", "120"))
LATENCY_MS: Final = 20


def started_at(run: SyncRun) -> Any:
    return SyncRun.objects.values_list("started_at", flat=True).get(pk=run.pk)


def broker_key(name: str) -> str:
    namespace = dramatiq.get_broker().namespace  # type: ignore[attr-defined]
    return f"{namespace}:{name}"


def begin_anew(bench: Bench) -> None:
    """Leave no worker, no message and no run of the measurement before."""
    for name in ("scheduler", "worker", "worker-2"):
        bench.stack[name].stop()
    SyncRun.objects.active().delete()
    GitHubIntegration.objects.update(schedule_enabled=False, next_sync_at=None, people_due_at=None)
    for name in broker_client().scan_iter(broker_key("*")):
        broker_client().delete(name)


def send(integrations: Sequence[GitHubIntegration]) -> list[SyncRun]:
    """Start a night's run of each, and send them all."""
    runs = [start_run(one, trigger=RunTrigger.SCHEDULE).run for one in integrations]
    for run in runs:
        tasks.sync_github_members_later(run)
    return runs


def small_done(integrations: Sequence[GitHubIntegration]) -> float:
    """Return how many seconds it took until all were read."""
    runs = send(integrations)
    began_at = min(run.created_at for run in runs)
    wait_until(lambda: is_over(runs), timeout_s=240, what="the small ones' end")
    ended = SyncRun.objects.filter(pk__in=[run.pk for run in runs])
    assert ended.filter(status=SYNC_STATUS_COMPLETE).count() == len(runs)
    last: Any = ended.order_by("-finished_at").values_list("finished_at", flat=True).first()
    return float((last - began_at).total_seconds())


def is_over(runs: Sequence[SyncRun]) -> bool:
    active = SyncRun.objects.active().filter(pk__in=[run.pk for run in runs])
    if not active.exists():
        return True
    time.sleep(0.2)
    return False
