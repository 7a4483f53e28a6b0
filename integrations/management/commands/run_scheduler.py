"""`manage.py run_scheduler`: the ticker. Any number of them may run side by side.

It only keeps the time; `tasks.send_due_work` does what is due, and each row goes to one ticker.
"""

from __future__ import annotations

import signal
import threading
import time
import uuid
from typing import Any

import structlog
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, InterfaceError, close_old_connections
from django.utils import timezone
from redis.exceptions import RedisError

from integrations.broker import BROKER_FAULTS
from integrations.constants import TICK_INTERVAL
from integrations.ops import lost, pausing
from integrations.tasks import send_due_work
from integrations.telemetry import processes
from integrations.telemetry.beat import Beat
from integrations.telemetry.processes import Identity

logger = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = "Sends what is due every few seconds, until it is told to stop."
    # It serves no page, and must start while the database is away.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="look once, then end")

    def handle(self, *, once: bool, **options: Any) -> None:
        ticker = Ticker()
        if once:
            ticker.tick()
        else:
            stopping = threading.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: stopping.set())
            beat = Beat(Identity(str(uuid.uuid4()), processes.SCHEDULER), ticker.describe)
            beat.start()
            logger.info("scheduler started", interval_s=TICK_INTERVAL.total_seconds())
            ticker.run(stopping)
            beat.stop()
            logger.info("scheduler stopped")


class Ticker:
    """Looks again and again, and says only once that database or queue are away."""

    def __init__(self) -> None:
        self._is_failing = False
        self._ticked_at_s = 0.0
        self._took_s = 0.0

    def describe(self) -> dict[str, Any]:
        """Return when the last look ended (as seconds), how long it took, and whether it failed."""
        return {
            "ticked_at": self._ticked_at_s,
            "took_s": round(self._took_s, 3),
            "is_failing": self._is_failing,
        }

    def run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            self.tick()
            stopping.wait(TICK_INTERVAL.total_seconds())

    def tick(self) -> None:
        """Send what is due; a database or a queue that is away is for the next tick."""
        close_old_connections()
        begun_s = time.time()
        try:
            send_due_work()
            pausing.tell_workers()
            lost.write_down(timezone.now())
        except (DatabaseError, InterfaceError, RedisError, *BROKER_FAULTS) as exc:
            if not self._is_failing:
                logger.warning("tick failed, will go on trying", error=str(exc))
            self._is_failing = True
        else:
            if self._is_failing:
                logger.info("tick works again")
            self._is_failing = False
        self._ticked_at_s = time.time()
        self._took_s = self._ticked_at_s - begun_s
