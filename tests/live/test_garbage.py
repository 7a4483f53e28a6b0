"""A web process looks seldom for garbage that holds itself."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from project.garbage import THRESHOLDS
from tests.processes import REPOSITORY

# In a process of its own, since what is frozen would stay so in this one.
BEGIN_AND_END: Final = """
import asyncio, gc
from project.asgi import application

async def main():
    asked = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive():
        return {"type": next(asked)}

    async def send(message):
        if message["type"] == "lifespan.startup.complete":
            print(*gc.get_threshold(), gc.get_freeze_count() > 10_000, gc.isenabled())

    await application({"type": "lifespan"}, receive, send)

asyncio.run(main())
"""


def test_from_its_start_on_and_without_what_was_made_before() -> None:
    child = subprocess.run(
        [sys.executable, "-c", BEGIN_AND_END],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    words = " ".join(map(str, THRESHOLDS))
    assert child.stdout.splitlines()[-1] == f"{words} True True"
    _, _, full_looks = THRESHOLDS
    assert full_looks > 10
