"""What the message at hand in a thread is about: its actor says so, history and reports read it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime


@dataclass
class CurrentWork:
    """A message that a thread works on."""

    message_id: str
    actor: str
    queue: str
    arguments: str
    started_at: datetime
    number: int = 1
    run_id: int | None = None
    team_id: int | None = None


class Running:
    """The work under way in this process, by thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_thread: dict[int, CurrentWork] = {}

    def begin(self, work: CurrentWork) -> None:
        with self._lock:
            self._by_thread[threading.get_ident()] = work

    def end(self) -> CurrentWork | None:
        with self._lock:
            return self._by_thread.pop(threading.get_ident(), None)

    def all(self) -> list[CurrentWork]:
        with self._lock:
            return list(self._by_thread.values())

    def about(self, *, run_id: int | None = None, team_id: int | None = None) -> None:
        """Say what this thread's message is about; nothing when there is none (tests, commands)."""
        with self._lock:
            work = self._by_thread.get(threading.get_ident())
            if work is not None:
                work.run_id, work.team_id = run_id, team_id


running = Running()
