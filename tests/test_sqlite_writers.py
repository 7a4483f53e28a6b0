"""SQLite under several processes that write at once, as web, worker and scheduler do.

A file of its own, opened by our settings (WAL, immediate transactions, a busy timeout), whichever
database the other tests are on.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.processes import REPOSITORY, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRITERS = ("web", "worker-1", "worker-2", "scheduler")
TRANSACTIONS_EACH = 100
# Past it SQLite itself says "database is locked": no reader waits for a writer.
READ_TIMEOUT_S = 1


class Writer:
    """A process that has the settings read and the file open, and waits for its turn."""

    def __init__(self, name: str, count: int | str, *, file: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.sqlite_writer", name, str(count)],
            cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "project.settings",
                "DATABASE_URL": f"sqlite:///{file}",
            },
        )  # fmt: skip

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    @property
    def is_at_work(self) -> bool:
        return self.process.poll() is None

    def end(self) -> str:
        """Return what it wrote to stderr until its end."""
        return self.process.communicate(timeout=60)[1]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "writers.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE counter (total INTEGER)")
        connection.execute("INSERT INTO counter VALUES (0)")
        connection.execute("CREATE TABLE entry (writer TEXT, number INTEGER)")
    connection.close()
    return path


@pytest.fixture
def reader(file: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(file, timeout=READ_TIMEOUT_S, isolation_level=None)
    yield connection
    connection.close()


@pytest.fixture
def started(file: Path) -> Iterator[list[Writer]]:
    """Writers that a test starts; whatever became of them, none is left."""
    writers: list[Writer] = []
    yield writers
    for writer in writers:
        writer.process.kill()
        writer.process.communicate()


def total(reader: sqlite3.Connection) -> int:
    found: int = reader.execute("SELECT total FROM counter").fetchone()[0]
    return found


def test_four_writers_lose_nothing_and_hold_up_no_reader(
    file: Path, reader: sqlite3.Connection, started: list[Writer]
) -> None:
    # The first makes it a WAL file, as `migrate` does before anybody else is there.
    for number, name in enumerate(WRITERS):
        started.append(Writer(name, TRANSACTIONS_EACH, file=file))
        if number == 0:
            assert started[0].hear() == "ready"
    assert [writer.hear() for writer in started[1:]] == ["ready"] * (len(WRITERS) - 1)
    for writer in started:
        writer.go_on()
    seen: list[int] = []

    def read_to_the_end() -> bool:
        seen.append(total(reader))
        return not any(writer.is_at_work for writer in started)

    wait_until(read_to_the_end, timeout_s=60)
    assert [writer.end() for writer in started] == [""] * len(WRITERS)
    # Each added one to what it had read: one that another writer came between would be missing.
    assert total(reader) == len(WRITERS) * TRANSACTIONS_EACH
    written = reader.execute("SELECT writer, count(DISTINCT number) FROM entry GROUP BY writer")
    assert dict(written) == dict.fromkeys(WRITERS, TRANSACTIONS_EACH)
    # They were read while they were being written, in order.
    assert seen == sorted(seen)
    assert len(set(seen)) > 2
    assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_an_open_transaction_holds_up_writers_and_no_reader(
    file: Path, reader: sqlite3.Connection, started: list[Writer]
) -> None:
    holder, waiting = Writer("web", "hold", file=file), Writer("worker-1", 1, file=file)
    started += [holder, waiting]
    assert [holder.hear(), waiting.hear()] == ["ready", "ready"]
    holder.go_on()
    assert holder.hear() == "holding"
    waiting.go_on()
    # What was committed is read at once; what wasn't, by nobody.
    assert total(reader) == 0
    assert waiting.is_at_work
    holder.go_on()
    assert [holder.hear(), waiting.hear()] == ["1", "1"]
    assert [holder.end(), waiting.end()] == ["", ""]
    assert total(reader) == 2
