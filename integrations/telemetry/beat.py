"""The beat of a process: once a second it tells how it is, and writes what it has counted.

A thread of its own, so that it goes on while the process works; a Redis that is away costs a log
line, and the counts wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import structlog
from redis.exceptions import RedisError

from integrations.constants import BEAT_INTERVAL
from integrations.telemetry import counters, processes
from integrations.telemetry.processes import Identity
from integrations.telemetry.redis_clients import key, telemetry_client

logger = structlog.get_logger(__name__)

# What wakes a beat early (a message begun) may do so this often.
SHORTEST_S: Final = 0.1
STOP_PATIENCE_S: Final = 3.0

Describe: TypeAlias = Callable[[], dict[str, Any]]
Obey: TypeAlias = Callable[[frozenset[str]], None]


class Beat:
    """The beat of one process. `obey` is given the queues that are paused at every beat."""

    def __init__(self, identity: Identity, describe: Describe, *, obey: Obey | None = None) -> None:
        self.identity = identity
        self._describe = describe
        self._obey = obey
        self._woken = threading.Event()
        self._is_over = threading.Event()
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="beat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Tell the news soon rather than at the next second."""
        self._woken.set()

    def stop(self) -> None:
        """Write the last counts and leave the register: whoever stops in order isn't missed."""
        self._is_over.set()
        self._woken.set()
        self._thread.join(STOP_PATIENCE_S)
        try:
            processes.forget(telemetry_client(), self.identity.id)
        except RedisError as exc:
            logger.warning("process not signed off", error=str(exc))

    def _run(self) -> None:
        while not self._is_over.is_set():
            self.tell()
            self._is_over.wait(SHORTEST_S)
            self._woken.wait(BEAT_INTERVAL.total_seconds() - SHORTEST_S)
            self._woken.clear()
        self.tell()

    def tell(self) -> None:
        """Write counts and report in one round trip, and hear which queues are paused."""
        sums = counters.counters.take()
        try:
            with telemetry_client().pipeline() as pipeline:
                counters.write(sums, pipeline)
                processes.put_report(self.identity, self._describe(), pipeline)
                pipeline.smembers(key("paused"))
                paused = pipeline.execute()[-1]
        except RedisError as exc:
            counters.counters.give_back(sums)
            if not self._is_failing:
                logger.warning("process can't tell how it is", error=str(exc))
            self._is_failing = True
        else:
            self._is_failing = False
            if self._obey is not None:
                self._obey(frozenset(name.decode() for name in paused))
