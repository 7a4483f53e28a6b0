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
SITES = 5 if IS_FULL else 3
# Twelve pages.
LARGE = 1200
# In each of the four phases: old code, migration, both codes, new code.
CLICKS_A_PHASE = 6 if IS_FULL else 2
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


class Deployment:
    """Old and new processes, and everybody who looks on while the one takes the other's place."""

    def __init__(self, drill: Drill, database: str, tmp_path: Path, cleanup: ExitStack) -> None:
        self.drill, self.database = drill, database
        self.place = new_code.make(tmp_path / "release")
        (log_dir := tmp_path / "successor").mkdir()
        self.old = drill.stack
        self.new = Stack(log_dir=log_dir, valkey=drill.valkey, database=database, root=self.place)
        cleanup.callback(self.new.stop)
        self.balancer = Balancer([self.old.port])
        cleanup.callback(self.balancer.close)
        # People know one address.
        self.old.url = self.balancer.url
        self.clicks = Clicks(drill)
        self.sites = [drill.site(size=LARGE) for _ in range(2 * SITES)]
        self.audience = drill.watch(self.sites, each=4 if IS_FULL else 1)
        self.reader = Reader(drill, self.balancer.url)
        cleanup.callback(self.reader.stop)

    def load(self) -> None:
        """Put the old code to work, also with messages that only the new one could have sent."""
        slow_down(self.sites, SLOW_MS)
        for site in self.sites[:SITES]:
            site.start()
        self.drill.wait_for_pages()
        self.clicks.phase()
        enqueue(message_of(self.drill.unsent_run(), actor_name="sync_members_task"))
        enqueue(message_of(self.drill.unsent_run(), options={"release": "new"}))

    def migrate(self) -> None:
        self.clicks.phase()
        new_code.migrate(self.place, database=self.database)

    def work_side_by_side(self) -> None:
        self.new.start()
        self.balancer.ports = [self.old.port, self.new.port]
        for answer in self.clicks.phase():
            answer.result()
        for site in self.sites[SITES:]:
            site.start()

    def hand_over(self) -> int:
        """Have the old code be asked by nobody, and go; return how many syncs it left."""
        self.balancer.ports = [self.new.port]
        self.clicks.phase()
        left: int = self.drill.runs.active().count()
        for name in ("scheduler", "worker", "web"):
            # In order: uvicorn ends by the very signal, once it has done what it had to.
            assert self.old[name].stop() in (0, -signal.SIGTERM), name
        slow_down(self.sites, LATENCY_MS)
        self.audience.wait_open(times=2)
        return left

    def check(self) -> None:
        """Nobody met an error, and both codes did their part."""
        self.reader.stop()
        assert set(self.reader.statuses) == {200}
        statuses = {status for viewer in self.audience.viewers for status in viewer.statuses}
        assert statuses == {200}
        assert self.clicks.answered() == 4 * CLICKS_A_PHASE
        begun = new_code.runs_by_release()
        assert begun["new"] >= CLICKS_A_PHASE
        assert begun[None] >= SITES + CLICKS_A_PHASE
        said = [stack[name].output for stack in (self.old, self.new) for name in ALL]
        assert [text for text in said if BROKEN.search(text)] == []


def test_a_release_with_a_migration_loses_nothing(
    drill: Drill, database: str, tmp_path: Path
) -> None:
    with ExitStack() as cleanup:
        deployment = Deployment(drill, database, tmp_path, cleanup)
        deployment.load()
        # The old code goes on with the new tables.
        deployment.migrate()
        deployment.work_side_by_side()
        left = deployment.hand_over()
        deployed_at = now()
        assert left
        answered = deployment.clicks.answered()
        # It waits its turn behind the syncs that were asked for before it.
        wait_until(
            lambda: dead_count() == 1, timeout_s=OVER_WITHIN_AFTER_DEATH_S, what="a dead letter"
        )
        drill.finish(
            "a release with a migration",
            since=deployed_at,
            within_s=OVER_WITHIN_AFTER_DEATH_S,
            cuts_allowed=3,
            handed_over=left,
            clicks=answered,
            begun_by_new_code=new_code.runs_by_release().get("new", 0),
            pages=len(deployment.reader.statuses),
            dead=dead_count(),
        )
        deployment.check()
