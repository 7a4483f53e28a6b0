"""A task that a web process runs once, for as long as it lives."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod


class ProcessTask(ABC):
    """Started by whoever needs it first, and stopped with the process."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Run in the present loop, once; in a new loop (tests) again."""
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._task = loop.create_task(self.run(), name=self._name)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    @abstractmethod
    async def run(self) -> None:
        """Do the work until cancelled."""
