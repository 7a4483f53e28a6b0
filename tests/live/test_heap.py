"""The threads of a web process take memory from one heap of the C library."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from tests.processes import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

# Where glibc tells of its heaps: https://man7.org/linux/man-pages/man3/malloc_info.3.html
pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_info"), reason="another C library's heap"
)
BEGIN: Final = """
import asyncio, ctypes, sys, threading
from project.asgi import application

libc = ctypes.CDLL(None)
libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
libc.fopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fclose.argtypes = [ctypes.c_void_p]
all_at_once = threading.Barrier(8)

def allocate():
    all_at_once.wait()
    libc.malloc(100_000)
    all_at_once.wait()

def tell():
    threads = [threading.Thread(target=allocate) for _ in range(all_at_once.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    file = libc.fopen(sys.argv[1].encode(), b"w")
    libc.malloc_info(0, file)
    libc.fclose(file)

async def main():
    asked = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive():
        return {"type": next(asked)}

    async def send(message):
        if message["type"] == "lifespan.startup.complete":
            tell()

    await application({"type": "lifespan"}, receive, send)

asyncio.run(main())
"""


def heap_count(told: Path, **environment: str) -> int:
    """Count the heaps of a process that has started and had eight threads allocate."""
    inherited = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    subprocess.run(
        [sys.executable, "-c", BEGIN, str(told)],
        cwd=REPOSITORY, env=inherited | environment, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    return told.read_text().count("<heap nr=")


def test_all_threads_share_one(tmp_path: Path) -> None:
    assert heap_count(tmp_path / "heaps.xml") == 1


def test_who_runs_it_may_want_more(tmp_path: Path) -> None:
    assert heap_count(tmp_path / "heaps.xml", MALLOC_ARENA_MAX="4") == 4
