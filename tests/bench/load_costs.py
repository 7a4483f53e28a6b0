"""What each process of the product costs while it is loaded, and which of them is full.

Shares are of one core: a Python process has no more than that one, whatever the machine has.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psutil
from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Mapping

# A process's name by a word of its command line; the first that fits.
NAMES: Final = {
    "project.asgi": "web",
    "dramatiq": "worker",
    "run_scheduler": "ticker",
    "integrations.sandbox": "the stand-in GitHub",
    "bench.crowd": "streams' readers",
    "valkey": "Valkey",
}
# Of a core: what is left goes into switching between threads.
FULL: Final = 0.9


@dataclass(frozen=True)
class Costs:
    """CPU seconds by process, and the machine's, between two moments."""

    wall_s: float
    by_name: Mapping[str, float]
    # Of all cores, by whatever runs on the machine.
    machine_s: float
    core_count: int

    def share(self, name: str) -> float:
        """Return how much of a core a process took on average."""
        return self.by_name.get(name, 0.0) / self.wall_s

    @property
    def others(self) -> float:
        """How many cores whatever else runs on the machine took."""
        return max(0.0, self.machine_s - sum(self.by_name.values())) / self.wall_s

    def full(self) -> str:
        """Name what is full: a process's core, the machine, or nothing of the CPU."""
        busiest = max(self.by_name, key=lambda name: self.by_name[name])
        # The database works in as many processes as there are connections.
        if self.share(busiest) >= FULL and busiest != "database":
            return f"{busiest}'s core ({self.share(busiest):.0%})"
        if self.machine_s / self.wall_s >= FULL * self.core_count:
            return (
                f"the machine's {self.core_count} cores, most of all by {busiest} "
                f"({self.share(busiest):.0%} of one; others' work {self.others:.0%})"
            )
        return f"no CPU (most of it: {busiest}, {self.share(busiest):.0%} of a core): a lock"

    def __str__(self) -> str:
        dearest = sorted(self.by_name.items(), key=lambda item: -item[1])
        return ", ".join(f"{name} {cpu_s:.1f} s" for name, cpu_s in dearest if cpu_s >= 0.05)


class Meter:
    """Reads what the processes below this one, and the database, have used."""

    def __init__(self) -> None:
        self._postmaster = _postmaster()
        self._begun = self._read()

    def lap(self, *, ended: Mapping[str, float]) -> Costs:
        """Return the costs since the last time; of processes that ended, as they told."""
        begun, self._begun = self._begun, self._read()
        (was_s, was_machine, was), (now_s, now_machine, now) = begun, self._begun
        return Costs(
            wall_s=now_s - was_s,
            by_name={**{name: used - was.get(name, 0.0) for name, used in now.items()}, **ended},
            machine_s=now_machine - was_machine,
            core_count=psutil.cpu_count() or 1,
        )

    def _read(self) -> tuple[float, float, dict[str, float]]:
        used: dict[str, float] = {}
        # By their age, so that each has the same name the next time.
        for child in sorted(psutil.Process().children(), key=psutil.Process.create_time):
            name = _name_of(child)
            if name:
                used[_free_name(name, used)] = _tree_cpu_s(child)
        if self._postmaster is not None:
            used["database"] = _tree_cpu_s(self._postmaster)
        machine = psutil.cpu_times()
        return time.monotonic(), machine.user + machine.nice + machine.system, used


def _name_of(process: psutil.Process) -> str:
    try:
        words = " ".join(process.cmdline())
    except psutil.Error:
        return ""
    return next((name for word, name in NAMES.items() if word in words), "")


def _free_name(name: str, taken: Mapping[str, float]) -> str:
    """Number the further ones of a name: each has a core of its own to fill."""
    names = (name, *(f"{name} {number}" for number in range(2, len(taken) + 3)))
    return next(each for each in names if each not in taken)


def _tree_cpu_s(process: psutil.Process) -> float:
    """Return what a process and those below it used, and those that ended, once waited for."""
    total_s = 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            used = one.cpu_times()
        except psutil.Error:
            continue
        total_s += used.user + used.system + used.children_user + used.children_system
    return total_s


def _postmaster() -> psutil.Process | None:
    """Return the parent of all of PostgreSQL's processes, where that is the database."""
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend_id = cursor.fetchone()[0]
    return psutil.Process(backend_id).parent()
