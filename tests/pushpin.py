"""A private Pushpin for tests, from Debian's package: its own ports, folder and key.

It runs the configuration of `docs/deploy/pushpin.conf`, with its addresses changed, and can be
stopped and started again on the same ports. Knows no Django.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from tests.processes import REPOSITORY, free_port, is_listening, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

IS_THERE: Final = shutil.which("pushpin") is not None
START_TIMEOUT_S: Final = 20
CONFIGURATION: Final = REPOSITORY / "docs/deploy/pushpin.conf"


class Pushpin:
    """One Pushpin (runner, condure, proxy and handler) before web processes."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        """`settings` are put in the place of the configuration's own."""
        self.directory = Path(tempfile.mkdtemp(prefix="rollcall-pushpin-"))
        self.port, self.control_port = free_port(), free_port()
        self.key = secrets.token_urlsafe(32)
        self.url = f"http://127.0.0.1:{self.port}"
        self.control_url = f"http://127.0.0.1:{self.control_port}"
        self.grip_url = f"{self.control_url}?iss=rollcall&key={self.key}"
        changed = {
            "rundir": str(self.directory),
            "logdir": str(self.directory),
            "http_port": f"127.0.0.1:{self.port}",
            "push_in_http_port": str(self.control_port),
            "push_in_spec": f"ipc://{self.directory}/push-in",
            "push_in_sub_specs": f"ipc://{self.directory}/push-in-sub",
            "command_spec": f"ipc://{self.directory}/command",
            "sig_key": self.key,
            **(settings or {}),
        }
        text = CONFIGURATION.read_text()
        for name, value in changed.items():
            text, count = re.subn(rf"(?m)^{name}=.*$", f"{name}={value}", text)
            assert count == 1, f"{CONFIGURATION.name} has {count} lines for {name}"
        (self.directory / "pushpin.conf").write_text(text)
        self._runner: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._runner is not None and self._runner.poll() is None

    @property
    def output(self) -> str:
        return (self.directory / "output").read_text(errors="replace")

    def start(self, *, web_ports: Sequence[int] = ()) -> None:
        """Start it before web processes; again before the same ones."""
        assert not self.is_running
        if web_ports:
            targets = " ".join(f"127.0.0.1:{port}" for port in web_ports)
            (self.directory / "routes").write_text(f"* {targets}\n")
        with (self.directory / "output").open("ab") as output:
            self._runner = subprocess.Popen(
                ["pushpin", f"--config={self.directory}/pushpin.conf"],
                cwd=self.directory, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        wait_until(self._listens, timeout_s=START_TIMEOUT_S, what="Pushpin listening")

    def stop(self) -> None:
        """Have it go at once, with all that it holds."""
        if self._runner is not None:
            # Each of them is in a process group of its own.
            for process in self.processes():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self._runner.wait()
            self._runner = None
            # Else the next one would pass for ready while the last one's ports are still closing.
            wait_until(lambda: not self._is_heard(), what="Pushpin gone")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def processes(self) -> list[psutil.Process]:
        """Return the runner and what it started."""
        assert self._runner is not None
        runner = psutil.Process(self._runner.pid)
        return [runner, *runner.children(recursive=True)]

    def _listens(self) -> bool:
        assert self.is_running, self.output
        return is_listening(self.port) and is_listening(self.control_port)

    def _is_heard(self) -> bool:
        return is_listening(self.port) or is_listening(self.control_port)
