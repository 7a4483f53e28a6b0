"""How a measurement speaks to its crowd of viewers (`crowd.py`), a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.processes import REPOSITORY

if TYPE_CHECKING:
    from types import TracebackType


class CrowdControl:
    """Sends commands and waits for what came of each; see `Crowd` for their names."""

    def __enter__(self) -> CrowdControl:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.crowd"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        self.tell(command, **arguments)
        return self.answer()

    def tell(self, command: str, **arguments: Any) -> None:
        """Send a command whose answer is taken later."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": command, **arguments}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found
