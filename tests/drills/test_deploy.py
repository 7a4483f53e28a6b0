"""A release with a migration put out under load: old and new code work side by side."""

from __future__ import annotations

import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
import requests
from django.db import connection
from django.urls import reverse

from integrations.models import SyncRun
from tests.drills import new_code
from tests.drills.balancer import Balancer
from tests.drills.databases import empty_database, on_database, sqlite_copy
from tests.drills.harness import (
    IS_FULL,
    LATENCY_MS,
    MARKS_OF_EVERY_DRILL,
    OVER_WITHIN_AFTER_DEATH_S,
    SIZE,
    Drill,
    dead_count,
    enqueue,
    message_of,
    now,
    slow_down,
)
from tests.drills.test_web import click, click_of
from tests.drills.viewers import admin_of
from tests.processes import wait_until
from tests.stack import ALL, Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from tests.processes import Valkey
    from tests.sandbox_control import SandboxControl

pytestmark = MARKS_OF_EVERY_DRILL

# Syncs under way at the migration, and as many when the old code goes.
SITES = 8 if IS_FULL else 3
# In each of the four phases: old code, migration, both codes, new code.
CLICKS_A_PHASE = 8 if IS_FULL else 2
PAGES = ("github_members", "github_history", "github_repos")
# Between two pages of the reader.
PAUSE_S = 0.1
# What either code's processes would say of the other's tables.
BROKEN = re.compile(r"no such (column|table)|has no column|(column|relation) .* does not exist")
# A page takes this long until the old code is gone, so that it leaves syncs under way.
SLOW_MS = 1200


@pytest.fixture
def database(transactional_db: None, tmp_path: Path) -> Iterator[str]:
    """A migrated database that may be altered, beside this test's."""
    if connection.vendor == "sqlite":
        yield sqlite_copy(tmp_path / "deploy.sqlite3")
        return
    with empty_database(tmp_path) as url:
        with on_database(url):
            pass
        yield url


@pytest.fixture
def drill(
    database: str,
    valkey: Valkey,
    sandbox: SandboxControl,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> Iterator[Drill]:
    """The old code's processes behind a balancer, and this test's rows on their database."""
    with on_database(database, migrates=False), ExitStack() as cleanup:
        stack = Stack(log_dir=tmp_path, valkey=valkey, database=database)
        cleanup.callback(stack.stop)
        made = Drill(stack, valkey, sandbox, record_property)
        cleanup.callback(made.close)
        stack.start()
        yield made


class Reader:
    """Somebody who opens one page after the other, all the while; keeps what each answered."""

    def __init__(self, drill: Drill, url: str) -> None:
        team = drill.sites[0].integration.team
        with drill.stack.browser_session(admin_of(team)) as session:
            self._cookies = dict(session.cookies.get_dict())
        self._addresses = [f"{url}{reverse(name, args=[team.slug])}" for name in PAGES]
        self.statuses: list[int] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._is_over.wait(PAUSE_S):
            address = self._addresses[len(self.statuses) % len(self._addresses)]
            try:
                answer = requests.get(address, cookies=self._cookies, timeout=20)
                self.statuses.append(answer.status_code)
            except requests.RequestException:
                # Nobody answered: as bad as an error.
                self.statuses.append(0)

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()


class Clicks:
    """People who ask for a sync, a few in each phase; every one has to be answered well."""

    def __init__(self, drill: Drill) -> None:
        self._sites = [drill.site() for _ in range(4 * CLICKS_A_PHASE)]
        self._waiting = [click_of(drill, site) for site in self._sites]
        self._answers: list[Future[bool]] = []
        self._pool = ThreadPoolExecutor(CLICKS_A_PHASE)

    def phase(self) -> list[Future[bool]]:
        """Have the next ones click, now and at once; return their answers, which are to come."""
        made = [self._pool.submit(click, *self._waiting.pop()) for _ in range(CLICKS_A_PHASE)]
        self._answers += made
        return made

    def answered(self) -> int:
        """Count those who were answered well, and note the run of each."""
        count = sum(answer.result() for answer in self._answers)
        for site in self._sites:
            site.run = SyncRun.objects.filter(integration=site.integration).first()
        return count


def test_a_release_with_a_migration_loses_nothing(
    drill: Drill, database: str, tmp_path: Path
) -> None:
    place = new_code.make(tmp_path / "release")
    (log_dir := tmp_path / "successor").mkdir()
    old = drill.stack
    new = Stack(log_dir=log_dir, valkey=drill.valkey, database=database, root=place)
    with ExitStack() as cleanup:
        balancer = Balancer([old.port])
        cleanup.callback(balancer.close)
        cleanup.callback(new.stop)
        # People know one address.
        old.url = balancer.url
        clicks = Clicks(drill)
        sites = [drill.site(size=4 * SIZE) for _ in range(2 * SITES)]
        audience = drill.watch(sites, each=4 if IS_FULL else 1)
        slow_down(sites, SLOW_MS)
        for site in sites[:SITES]:
            site.start()
        drill.wait_for_pages()
        reader = Reader(drill, balancer.url)
        cleanup.callback(reader.stop)

        # The old code, and messages that only the new one could have sent.
        clicks.phase()
        enqueue(message_of(drill.unsent_run(), actor_name="sync_members_task"))
        enqueue(message_of(drill.unsent_run(), options={"release": "new"}))
        # The old code goes on with the new tables.
        clicks.phase()
        new_code.migrate(place, database=database)
        # Both, side by side.
        new.start()
        balancer.ports = [old.port, new.port]
        for answer in clicks.phase():
            answer.result()
        for site in sites[SITES:]:
            site.start()
        # The old code is asked by nobody any more, and goes.
        balancer.ports = [new.port]
        clicks.phase()
        handed_over = drill.runs.active().count()
        for name in ("scheduler", "worker", "web"):
            # In order: uvicorn ends by the very signal, once it has done what it had to.
            assert old[name].stop() in (0, -signal.SIGTERM), name
        deployed_at = now()
        slow_down(sites, LATENCY_MS)
        audience.wait_open(times=2)
        answered = clicks.answered()
        wait_until(lambda: dead_count() == 1)
        drill.finish(
            "a release with a migration",
            since=deployed_at,
            within_s=OVER_WITHIN_AFTER_DEATH_S,
            cuts_allowed=3,
            handed_over=handed_over,
            clicks=answered,
            begun_by_new_code=new_code.runs_by_release().get("new", 0),
            pages=len(reader.statuses),
            dead=dead_count(),
        )
        reader.stop()
        said = [stack[name].output for stack in (old, new) for name in ALL]
    assert handed_over
    assert answered == 4 * CLICKS_A_PHASE
    assert set(reader.statuses) == {200}
    assert {status for viewer in audience.viewers for status in viewer.statuses} == {200}
    begun = new_code.runs_by_release()
    # Half of the third phase's clicks, and all of the fourth's, met the new code.
    assert begun["new"] >= CLICKS_A_PHASE
    assert begun[None] >= SITES + CLICKS_A_PHASE
    assert [text for text in said if BROKEN.search(text)] == []
