"""Processes of ours that start at once: forked from one that has the product loaded already.

A cold start of web, worker and scheduler takes eight seconds of a core, most of it Python's
imports; a test of the whole product would spend more on them than on what it tests. Tests marked
`cold_start` have each process start from nothing, as the Procfile does.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from dramatiq import cli as dramatiq_cli
from dramatiq import worker as dramatiq_worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REPOSITORY: Final = Path(__file__).resolve().parent.parent
CURRENT_TEST: Final = "PYTEST_CURRENT_TEST"
# How many messages a worker fetches ahead: Dramatiq's own variable, which a fork can be told anew.
PREFETCH: Final = "dramatiq_queue_prefetch"
_context = multiprocessing.get_context("forkserver")
# The forks' settings are those of the process that they come from.
_environment: dict[str, str] = {}


class Forked:
    """The part of `subprocess.Popen` that `tests.processes.Process` uses."""

    def __init__(
        self, command: tuple[str, ...], *, log_path: Path, environment: Mapping[str, str]
    ) -> None:
        """`environment` may differ from the server's by its prefetch (`have_server`)."""
        prefetch = int(environment.get(PREFETCH, "0"))
        self._process = _context.Process(target=_run, args=(command, str(log_path), prefetch))
        self._process.start()
        self.pid = self._process.pid or 0

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("a forked process", timeout or 0)
        return code


def have_server(environment: Mapping[str, str]) -> bool:
    """Have the process that the others are forked from; False if it has another environment.

    The first who asks gives it theirs: settings are read once, when it loads the product.
    """
    own = {CURRENT_TEST, PREFETCH}
    wanted = {name: value for name, value in environment.items() if name not in own}
    if not _environment:
        _environment.update(wanted)
        _context.set_forkserver_preload(["tests.preload"])
        with _surrounded_by(wanted):
            forkserver.ensure_running()
    return _environment == wanted


@contextmanager
def _surrounded_by(environment: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _run(command: tuple[str, ...], log_path: str, prefetch: int) -> None:
    """Become the command, in a session of its own that writes to the file."""
    os.setsid()
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.chdir(REPOSITORY)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # As it is in a process that nobody forked: else a worker's own would be made by our server,
    # which takes more than a second over it.
    multiprocessing.set_start_method("fork", force=True)
    # What `rundramatiq` would load next is loaded: its program goes on here.
    os.execvp = _go_on_as_dramatiq  # type: ignore[assignment]
    os.environ[PREFETCH] = str(prefetch)
    dramatiq_worker.QUEUE_PREFETCH = prefetch  # read when the module was loaded
    sys.argv = [*command]
    try:
        if command[0] == "-m":
            sys.argv = [*command[1:]]
            runpy.run_module(command[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(command[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()


def _go_on_as_dramatiq(_path: str, arguments: list[str]) -> NoReturn:
    sys.argv = arguments
    sys.exit(dramatiq_cli.main())  # type: ignore[no-untyped-call]
