"""PostgreSQL crashed and started again under everything, and away under the operators' page."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from django.db import connection

from tests.drills.databases import Cluster, on_database, postgres_programs
from tests.drills.harness import (
    IS_FULL,
    MARKS_OF_EVERY_DRILL,
    OVER_WITHIN_AFTER_DEATH_S,
    SIZE,
    Drill,
    now,
    outage_s,
    pass_time,
)
from tests.drills.records import Record
from tests.factories import UserFactory
from tests.processes import wait_until
from tests.stack import ALL, Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.processes import Valkey
    from tests.sandbox_control import SandboxControl

pytestmark = [*MARKS_OF_EVERY_DRILL, pytest.mark.postgres]

CRASHES = 3 if IS_FULL else 1
# The operators' page, its health checks and its metrics: the bar of the dashboard.
ANSWERS_WITHIN_S = 2.0
METRICS_TOKEN = "metrics-of-the-drill"
PAGES = ("/ops/", "/readyz", "/healthz", "/metrics")
LOOKERS = 8


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("needs PostgreSQL's programs, which Debian's package postgresql brings")
    made = Cluster(programs)
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture
def stack(
    request: pytest.FixtureRequest,
    transactional_db: None,
    cluster: Cluster,
    valkey: Valkey,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stack]:
    """The processes on the cluster, and this test's rows as well."""
    monkeypatch.setenv("METRICS_TOKEN", METRICS_TOKEN)
    with on_database(cluster.url):
        running = Stack(log_dir=tmp_path, valkey=valkey, database=cluster.url)
        try:
            running.start(getattr(request, "param", ALL))
            yield running
        finally:
            running.kill()


@pytest.fixture
def drill(
    stack: Stack,
    valkey: Valkey,
    sandbox: SandboxControl,
    record_property: Callable[[str, object], None],
) -> Iterator[Drill]:
    """As every drill's, and closed before the connection is another database's again."""
    made = Drill(stack, valkey, sandbox, record_property)
    yield made
    made.close()


def crash(cluster: Cluster, *, away_s: float) -> None:
    cluster.stop()
    pass_time(away_s)
    cluster.start()
    # Cut off like everybody's.
    connection.close()


def test_a_crash_of_postgres_loses_nothing(drill: Drill, cluster: Cluster) -> None:
    sites = drill.sites_at_work(4, size=2 * SIZE)
    audience = drill.watch(sites, each=10 if IS_FULL else 2)
    for _ in range(CRASHES):
        crash(cluster, away_s=outage_s(5, 1))
        back_at = now()
        audience.wait_open()
    reopened = sum(viewer.opened_count > 1 for viewer in audience.viewers)
    drill.finish(
        "PostgreSQL crashed",
        since=back_at,
        within_s=OVER_WITHIN_AFTER_DEATH_S,
        # A page in hand at each crash, and one more where the lease ran out on a live worker.
        cuts_allowed=2 * CRASHES,
        crashes=CRASHES,
        reopened=reopened,
    )
    assert all(process.is_running for process in (drill.stack.web, drill.stack.worker))
    assert drill.stack.scheduler.is_running


@pytest.mark.parametrize("stack", [("web", "worker")], indirect=True)
def test_the_operators_page_says_that_postgres_is_away(drill: Drill, cluster: Cluster) -> None:
    operator = UserFactory(is_staff=True)
    slowest_s = 0.0
    with drill.stack.browser_session(operator) as session:

        def ask(path: str) -> tuple[int, str]:
            nonlocal slowest_s
            begun_s = time.monotonic()
            headers = {"Authorization": f"Bearer {METRICS_TOKEN}"} if path == "/metrics" else {}
            answer = session.get(
                f"{drill.stack.url}{path}", headers=headers, timeout=20, allow_redirects=False
            )
            slowest_s = max(slowest_s, time.monotonic() - begun_s)
            return answer.status_code, answer.text

        # The visit that leaves the operator a cookie to be known by without a database.
        wait_until(lambda: all(ask(path)[0] == 200 for path in PAGES))
        cluster.stop()
        slowest_s = 0.0
        # At once: a good answer of a moment ago still counts, and the pool runs out of connections
        # that it believes in.
        with ThreadPoolExecutor(LOOKERS) as lookers:
            list(lookers.map(ask, ["/ops/"] * LOOKERS))
        found = {path: ask(path) for path in PAGES * 3}
        away_s = slowest_s
        assert found["/ops/"][0] in (200, 503)
        assert "database" in found["/ops/"][1]
        assert found["/readyz"][0] == 503
        assert found["/healthz"][0] == 200
        assert 'rollcall_up{part="database"} 0' in found["/metrics"][1]
        begun_s = time.monotonic()
        cluster.start()
        connection.close()
        wait_until(lambda: all(ask(path)[0] == 200 for path in PAGES), timeout_s=20)
    drill.record(
        Record(
            drill="PostgreSQL away, operators' pages",
            watched=f"{LOOKERS + len(PAGES) * 3} pages",
            over_after_s=round(away_s, 2),
            bar_s=ANSWERS_WITHIN_S,
            figures={"s until whole again": round(time.monotonic() - begun_s, 1)},
        )
    )
