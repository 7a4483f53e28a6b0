"""What the processes of a stack hold, as the system tells it: memory, files, threads and more."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import psutil
import redis
from django.apps import apps
from django.conf import settings
from django.db import connection

from tests.drills.harness import pass_time
from tests.drills.leaks import Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

    from tests.processes import Process

MEMORY: Final = "KiB"
FILES: Final = "files"
THREADS: Final = "threads"
CONNECTIONS: Final = "connections"
REDIS_KEYS: Final = "keys"
REDIS_MEMORY: Final = "KiB of data"
ROWS: Final = "rows"
# Tables that forget what is old (services/retention.py), and sessions, which signing out ends.
TABLES: Final = (
    "SyncRun", "StatusTransition", "MemberChange", "PlannedChange", "WebhookDelivery",
    "MessageAttempt", "OperatorAct", "TeamInvitation",
)  # fmt: skip
QUIET_READINGS: Final = 3
QUIET_PAUSE_S: Final = 0.1

Figures = dict[tuple[str, str], float]


def of_process(process: Process) -> Mapping[str, float]:
    """Return what a process and its children hold. Raises psutil.Error when one ends meanwhile."""
    found: dict[str, float] = defaultdict(float)
    root = psutil.Process(process.pid)
    for one in (root, *root.children(recursive=True)):
        found[MEMORY] += private_kib(one.pid)
        found[FILES] += one.num_fds()
        found[THREADS] += one.num_threads()
    return found


def private_kib(pid: int) -> int:
    """Return the memory that is this process's alone (USS): what its end would give back."""
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        parts = [line.split() for line in lines]
    return sum(int(part[1]) for part in parts if part[0].startswith("Private_"))


def of_database() -> Figures:
    """Return how many connections all processes together have; SQLite's are among their files."""
    if connection.vendor == "sqlite":
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()"
        )
        return {("PostgreSQL", CONNECTIONS): cursor.fetchone()[0]}


def of_redis() -> Figures:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        held, spaces = client.info("memory"), client.info("keyspace")
        clients = client.info("clients")
    return {
        ("Redis", REDIS_KEYS): sum(space["keys"] for space in spaces.values()),
        ("Redis", REDIS_MEMORY): held["used_memory_dataset"] / 1024,
        ("Redis", CONNECTIONS): clients["connected_clients"],
    }


def of_tables() -> Figures:
    tables = {name: apps.get_model("integrations", name) for name in TABLES}
    counts = {name: model._default_manager.count() for name, model in tables.items()}
    counts["Session"] = apps.get_model("sessions", "Session")._default_manager.count()
    return {(name, ROWS): count for name, count in counts.items()}


class Footprint:
    """Samples processes: once a second for the peaks, and closely when all work is over."""

    def __init__(self, processes: Iterable[Process]) -> None:
        self._processes = tuple(processes)
        self.peaks: Figures = {}
        self.sample_count = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(timeout=10)

    def quiet_reading(self, units: int) -> Reading:
        """Read everything while nothing is at work: the least of some samples, close together."""
        samples = []
        for _ in range(QUIET_READINGS):
            samples.append(self._sample() | of_redis() | of_database())
            pass_time(QUIET_PAUSE_S)
        least = {name: min(one[name] for one in samples) for name in samples[0]}
        return Reading(units, least | of_tables())

    def _sample(self) -> Figures:
        return {
            (process.name, kind): number
            for process in self._processes
            for kind, number in of_process(process).items()
        }

    def _go_on(self) -> None:
        while not self._is_over.wait(1):
            try:
                sample = self._sample()
            except (psutil.Error, OSError):
                continue
            self.sample_count += 1
            for name, number in sample.items():
                self.peaks[name] = max(number, self.peaks.get(name, 0))
