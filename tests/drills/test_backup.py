"""A backup while syncs run, restored into a new place, and the product started on it there."""

from __future__ import annotations

import io
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.db.models import Count, F

from integrations.constants import MessageOutcome
from integrations.models import MessageAttempt, SyncRun
from tests.drills.databases import empty_database, on_database
from tests.drills.harness import (
    IS_FULL,
    LATENCY_MS,
    OVER_WITHIN_AFTER_DEATH_S,
    SIZE,
    dead_count,
    enqueue,
    marks,
    message_of,
    now,
    slow_down,
)
from tests.processes import wait_until
from tests.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.drills.harness import Drill

pytestmark = marks("web", "worker", "scheduler")

SITES = 10 if IS_FULL else 4
# Begun after the backup: the restored database knows nothing of them.
LATER = 6 if IS_FULL else 2
# A page takes this long until the backup is written, so that the syncs are under way in it.
SLOW_MS = 1500


@pytest.fixture
def elsewhere(transactional_db: None, tmp_path: Path) -> Iterator[str]:
    """The address of a new place: a database without a table."""
    with empty_database(tmp_path) as url:
        yield url


def run(*command: str) -> float:
    """Run a command as an operator does; return how long it took, in seconds."""
    begun_s = time.monotonic()
    call_command(*command, stdout=io.StringIO(), stderr=io.StringIO())
    return round(time.monotonic() - begun_s, 1)


def backed_up(path: Path, runs: Any) -> tuple[float, dict[int, range]]:
    """Back up; return how long that took, and the pages that each run may have in the backup."""
    before = dict(runs.values_list("pk", "page_count"))
    took_s = run("backup", str(path))
    by_then = dict(runs.values_list("pk", "page_count"))
    return took_s, {pk: range(count, by_then[pk] + 1) for pk, count in before.items()}


def torn_runs() -> list[int]:
    """Return the runs whose count is not that of their roster: a page writes both at once."""
    found = SyncRun.objects.annotate(on_roster=Count("integration__team__members"))
    return list(found.exclude(created_count=F("on_roster")).values_list("pk", flat=True))


def test_a_backup_under_syncs_goes_on_in_a_new_place(
    drill: Drill, elsewhere: str, tmp_path: Path
) -> None:
    path = tmp_path / "rollcall.backup"
    sites = [drill.site(size=2 * SIZE) for _ in range(SITES)]
    audience = drill.watch(sites, each=4 if IS_FULL else 1)
    slow_down(sites, SLOW_MS)
    for site in sites:
        site.start()
    drill.wait_for_pages()
    backup_s, expected = backed_up(path, drill.runs)
    slow_down(sites, LATENCY_MS)
    # The product goes on: every run ends, others begin, and pages show it.
    lost = [drill.site().start() for _ in range(LATER)]
    wait_until(lambda: not drill.runs.active().exists(), timeout_s=60, what="the end of every run")
    drill.stack.stop()
    drill.sites = sites

    with on_database(elsewhere, migrates=False), ExitStack() as cleanup:
        took: dict[str, Any] = {"s to back up": backup_s, "s to restore": run("restore", str(path))}
        pages = dict(SyncRun.objects.values_list("pk", "page_count"))
        # All of it, as of an instant of the backup; whoever began later is not there.
        assert pages.keys() == expected.keys()
        assert all(count in expected[pk] for pk, count in pages.items())
        assert torn_runs() == []
        under_way = SyncRun.objects.active().count()
        assert under_way
        letters = [enqueue(message_of(run_)).message_id for run_ in lost]
        # At the same address, where the open pages look for it.
        port = drill.stack.port
        after = Stack(log_dir=tmp_path, valkey=drill.valkey, database=elsewhere, port=port)
        cleanup.callback(after.stop)
        after.start()
        started_at = now()
        ended = MessageAttempt.objects.filter(message_id__in=letters)
        wait_until(lambda: ended.count() == LATER, what="the messages of what is not there")
        drill.finish(
            "restored in a new place",
            since=started_at,
            within_s=OVER_WITHIN_AFTER_DEATH_S,
            # GitHub was asked for the pages after the backup by the product of before as well.
            doubled=lambda: sum(drill._was_doubled(site) for site in sites),
            under_way=under_way,
            messages_of_nothing=LATER,
            dead=dead_count(),
            **took,
        )
        audience.wait_open(times=2)
        assert set(ended.values_list("outcome", flat=True)) == {MessageOutcome.DONE}
        assert dead_count() == 0
