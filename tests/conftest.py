"""The cast, and the real things around the code: database file, Valkey, worker, sandbox, stack.

Alice administers acme, Bob is a member of it, Charlie is a stranger with a team of his own.
"""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management.commands import flush
from django.utils import translation
from dramatiq.brokers.redis import RedisBroker

from integrations.broker import RollcallBroker
from integrations.constants import TeamRole
from integrations.models import GitHubIntegration, Team, User
from integrations.telemetry.counters import counters
from project import garbage
from tests import processes
from tests.environment import SURROUNDINGS, Surroundings
from tests.factories import (
    GitHubIntegrationFactory,
    IntegrationCredentialFactory,
    MembershipFactory,
    TeamFactory,
    UserFactory,
)
from tests.processes import Valkey
from tests.sandbox_control import SandboxControl, SandboxOrganization
from tests.stack import ALL, Stack

# A leg of CI exists to run these; there a skip would be a hole that nobody sees.
NEVER_SKIPPED_IN_CI = {"browser", "nginx", "postgres", "pushpin", "rabbitmq"}


def pytest_xdist_auto_num_workers() -> int:
    """Take a process more than there are cores: the tests of real processes wait half of theirs."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that may take longest, so that no process ends on one of them alone.

    Each process is given a stretch of the list, of equal length, and steals from the ends of
    others': all of the long ones in the first stretch would run one after the other. The short ones
    of a folder stay together, for the sake of what they share: a RabbitMQ takes ten seconds.
    """
    long = sorted(filter(_longest_time, items), key=_longest_time, reverse=True)
    folders = {
        folder: at for at, folder in enumerate(dict.fromkeys(one.path.parent for one in items))
    }
    short = iter(
        sorted(
            (one for one in items if not _longest_time(one)),
            key=lambda one: folders[one.path.parent],
        )
    )
    count, left = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")), len(items)
    dealt: list[pytest.Item] = []
    for first in range(count):
        length = left // (count - first)
        begins_with = long[first::count]
        dealt += [*begins_with, *islice(short, max(0, length - len(begins_with)))]
        left -= length
    items[:] = [*dealt, *short]


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Look for garbage as seldom as a web process does: it took some of every test's time."""
    gc.set_threshold(*garbage.THRESHOLDS)


def _longest_time(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, pytest.TestReport]:
    report: pytest.TestReport = yield
    if report.skipped and os.environ.get("CI") and _is_never_skipped(item):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report


def _is_never_skipped(item: pytest.Item) -> bool:
    return any(marker.name in NEVER_SKIPPED_IN_CI for marker in item.iter_markers())


@pytest.fixture(scope="session")
def surroundings(request: pytest.FixtureRequest) -> Surroundings:
    return request.config.stash[SURROUNDINGS]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(surroundings: Surroundings) -> None:
    """Give each pytest process a database of its own; SQLite's as a file, which threads share."""
    database = django_settings.DATABASES["default"]
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    name = f"test_rollcall_{worker}_{os.getpid()}"
    if database["ENGINE"] == "project.sqlite":
        name = str(surroundings.directory / f"{name}.sqlite3")
    database.setdefault("TEST", {})["NAME"] = name


@pytest.fixture(scope="session", autouse=True)
def _quick_flush() -> Iterator[None]:
    """Empty the tables after a test with one DELETE each, and leave those of Django's own names.

    Django's flush is made for any database: it looks the tables up, TRUNCATEs them, which makes
    forty files anew on PostgreSQL, and writes content types and permissions again. That took longer
    than most tests. Foreign keys are deferred, so that the order does not matter.
    """
    tables: list[str] = []

    def deletes(_style: object, connection: Any, **options: Any) -> list[str]:
        assert not options["reset_sequences"], "no test may lean on numbers"
        if not tables:
            found = connection.introspection.django_table_names(
                only_existing=True, include_views=False
            )
            tables.extend(
                sorted(set(found) - {ContentType._meta.db_table, Permission._meta.db_table})
            )
        return [f"DELETE FROM {connection.ops.quote_name(table)}" for table in tables]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, "sql_flush", deletes)
        patch.setattr(flush, "emit_post_migrate_signal", lambda *_args: None)
        yield


@pytest.fixture(autouse=True)
def _fast_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _own_language() -> Iterator[None]:
    """Start every test in the site's language; a German page of the test before left its own."""
    with translation.override(django_settings.LANGUAGE_CODE):
        yield


@pytest.fixture(autouse=True)
def _whole_machine(surroundings: Surroundings) -> None:
    """Start every test with a Valkey that runs and is empty, whatever the last test did to it."""
    valkey = surroundings.valkey
    if not valkey.is_running:
        valkey.start()
    _flush(valkey.url)
    # What the test before counted and no beat has told; a worker's first one would tell it.
    counters.take()
    current = dramatiq.get_broker()
    assert isinstance(current, RollcallBroker)
    # What the test before fetched and left lying, and what its worker was told.
    current.held.clear()
    current.paused_queues = frozenset()


def _flush(url: str) -> None:
    """Empty it, in its own protocol: a client of redis-py takes five times as long to make."""
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"FLUSHALL\r\n")
        answer = connection.recv(64)
    assert answer == b"+OK\r\n", answer


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """`wait_until(condition, timeout_s=10)`: the only way to wait for something."""
    return processes.wait_until


@pytest.fixture
def valkey(surroundings: Surroundings) -> Valkey:
    """The Valkey behind REDIS_URL; stop, kill and restart it as you like."""
    return surroundings.valkey


@pytest.fixture
def sandbox(surroundings: Surroundings) -> Iterator[SandboxControl]:
    """The stand-in GitHub behind GITHUB_URL; its faults are gone after the test."""
    control = SandboxControl(surroundings.sandbox.url)
    yield control
    control.ask("DELETE", "faults")


@pytest.fixture
def broker() -> RedisBroker:
    """The product's own broker, on the real Valkey."""
    current = dramatiq.get_broker()
    assert isinstance(current, RedisBroker)
    return current


@pytest.fixture
def worker(transactional_db: None, broker: RedisBroker) -> Iterator[dramatiq.Worker]:
    """A Dramatiq worker in this process, with the product's middleware."""
    # Polls often: an idle queue must not cost a test half a second.
    running = dramatiq.Worker(broker, worker_timeout=50, worker_threads=2)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def stack(
    request: pytest.FixtureRequest,
    transactional_db: None,
    surroundings: Surroundings,
    tmp_path: Path,
) -> Iterator[Stack]:
    """The product's real processes on this test's database.

    All three, or those that `@pytest.mark.parametrize("stack", [("web",)], indirect=True)` names.
    Forked from a process that has the product loaded, but for tests marked `cold_start`.
    """
    is_cold = request.node.get_closest_marker("cold_start") is not None
    running = Stack(log_dir=tmp_path, valkey=surroundings.valkey, is_forked=not is_cold)
    try:
        running.start(getattr(request, "param", ALL))
        yield running
    finally:
        running.kill()


@pytest.fixture
def acme(db: None) -> Team:
    return TeamFactory(name="Acme", slug="acme")


@pytest.fixture
def alice(acme: Team) -> User:
    """Administers acme."""
    alice = UserFactory(email="alice@example.com", first_name="Alice")
    MembershipFactory(team=acme, user=alice, role=TeamRole.ADMIN)
    return alice


@pytest.fixture
def bob(acme: Team) -> User:
    """A member of acme."""
    bob = UserFactory(email="bob@example.com", first_name="Bob")
    MembershipFactory(team=acme, user=bob)
    return bob


@pytest.fixture
def charlie(db: None) -> User:
    """A stranger to acme, and admin of a team of his own."""
    charlie = UserFactory(email="charlie@example.com", first_name="Charlie")
    team = TeamFactory(name="Charlie's", slug="charlies")
    MembershipFactory(team=team, user=charlie, role=TeamRole.ADMIN)
    return charlie


@pytest.fixture
def organization(sandbox: SandboxControl) -> SandboxOrganization:
    """An organisation of 240 in the sandbox, of this test alone."""
    return sandbox.organization(size=240)


@pytest.fixture
def integration(acme: Team, organization: SandboxOrganization) -> GitHubIntegration:
    """Acme, connected to that organisation and never synced."""
    credential = IntegrationCredentialFactory(
        team=acme, access_token=organization.token, github_username=organization.owner
    )
    found: GitHubIntegration = GitHubIntegrationFactory(
        team=acme,
        credential=credential,
        organization_id=organization.id,
        organization_login=organization.login,
    )
    return found
