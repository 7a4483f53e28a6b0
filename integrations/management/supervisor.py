"""Several processes that live and end together, their output in one terminal.

Honcho's `Process` and `Printer` do the work. Its `Manager` cannot be interrupted while it starts
and ends everything at once; here helpers start first and end last. Knows nothing of what runs.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from honcho.printer import Message, Printer
from honcho.process import Process

LOOK_EVERY_S: Final = 0.1
# Longer than the processes' own limits for an orderly end, see Procfile.dev.
TERM_PATIENCE_S: Final = 8
# What is left unsaid is kept this long, to explain an end that nobody asked for.
UNSAID_LINE_COUNT: Final = 100
SIGNAL_EXIT_CODE: Final = 128


@dataclass
class Stage:
    """Processes that start together, once everything of the stage before them is ready."""

    commands: Mapping[str, str]
    is_ready: Callable[[], bool]
    # Helpers speak only when something went wrong.
    is_quiet: bool = False


@dataclass(frozen=True)
class Fault:
    """Why everything ends although nobody asked for it."""

    words: str
    exit_code: int


@dataclass
class Supervisor:
    """Starts stages in order, ends them in reverse, and returns the exit code of it all."""

    stages: list[Stage]
    environment: Mapping[str, str]
    on_ready: Callable[[], None]
    start_timeout_s: float = 60
    printer: Printer = field(default_factory=Printer)

    def __post_init__(self) -> None:
        # SimpleQueue, since a signal handler may put into it while the main thread reads.
        self._events: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._pids: dict[str, int] = {}
        self._unsaid: deque[Message] = deque(maxlen=UNSAID_LINE_COUNT)
        self._is_ready = False
        self._stop_signal: int | None = None
        self._fault: Fault | None = None

    def run(self) -> int:
        """Run until a signal or the end of any process. Return an exit code."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note_signal)
        names = [name for stage in self.stages for name in stage.commands]
        self.printer.width = max(map(len, names))
        try:
            self._start_all()
            while not self._must_end:
                self._take_event()
        finally:
            self._end_all()
        return self._exit_code()

    @property
    def _must_end(self) -> bool:
        return self._stop_signal is not None or self._fault is not None

    def _note_signal(self, number: int, frame: object) -> None:
        self._stop_signal = self._stop_signal or number

    def _start_all(self) -> None:
        deadline = time.monotonic() + self.start_timeout_s
        for stage in self.stages:
            for name, command in stage.commands.items():
                self._start(name, command, is_quiet=stage.is_quiet)
            while not self._must_end and not stage.is_ready():
                self._take_event()
                if time.monotonic() > deadline:
                    names = ", ".join(stage.commands)
                    self._fault = Fault(f"{names}: not ready after {self.start_timeout_s:.0f} s", 1)
        if not self._must_end:
            self._is_ready = True
            self.on_ready()
            self._unsaid.clear()

    def _start(self, name: str, command: str, *, is_quiet: bool) -> None:
        # In place of its shell, so that a signal reaches the process itself.
        process = Process(f"exec {command}", name=name, env=dict(self.environment))
        threading.Thread(target=process.run, args=(_Relay(self._events, is_quiet),)).start()
        while name not in self._pids:
            self._take_event()

    def _take_event(self) -> None:
        try:
            message = self._events.get(timeout=LOOK_EVERY_S)
        except queue.Empty:
            return
        if message.type == "start":
            self._pids[message.name] = message.data["pid"]
        elif message.type == "stop":
            self._pids.pop(message.name)
            code = message.data["returncode"]
            self._fault = self._fault or Fault(f"{message.name} ended (exit code {code})", code)
        elif message.type == "line" and self._is_ready:
            self.printer.write(message)
        else:
            self._unsaid.append(message._replace(type="line"))

    def _end_all(self) -> None:
        """End the stages in reverse, so that a worker still has the queue to give back to."""
        self._explain()
        for stage in reversed(self.stages):
            self._signal(stage, signal.SIGTERM)
            deadline = time.monotonic() + TERM_PATIENCE_S
            while any(name in self._pids for name in stage.commands):
                self._take_event()
                if time.monotonic() > deadline:
                    self._signal(stage, signal.SIGKILL)

    def _explain(self) -> None:
        if self._stop_signal is not None:
            return
        for message in self._unsaid:
            self.printer.write(message)
        if self._fault is not None:
            print(f"{self._fault.words}; ending the rest.", flush=True)

    def _signal(self, stage: Stage, number: signal.Signals) -> None:
        """Ask the process alone, since Dramatiq's tells its children; kill with its children."""
        # Honcho gives each process a session of its own, and so a group.
        send = os.killpg if number == signal.SIGKILL else os.kill
        for name in stage.commands:
            if name in self._pids:
                with suppress(ProcessLookupError):
                    send(self._pids[name], number)

    def _exit_code(self) -> int:
        if self._stop_signal is not None:
            return SIGNAL_EXIT_CODE + self._stop_signal
        code = self._fault.exit_code if self._fault is not None else 0
        # Nothing here is meant to end by itself; minus is Popen's way to name a signal.
        return SIGNAL_EXIT_CODE - code if code < 0 else code or 1


@dataclass
class _Relay:
    """What honcho's Process takes for a queue: marks the lines of quiet processes."""

    events: queue.SimpleQueue[Message]
    is_quiet: bool

    def put(self, message: Message) -> None:
        if self.is_quiet and message.type == "line":
            message = message._replace(type="quiet line")
        self.events.put(message)
