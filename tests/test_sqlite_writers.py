"""SQLite under several processes that write at once, as web, worker and scheduler do.

A file of its own, opened by our settings (WAL, immediate transactions, a busy timeout), whichever
database the other tests are on.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from project.sqlite.turns import ASKED_FOR_MS, Cursor
from tests.processes import REPOSITORY, wait_until
from tests.together import at_once

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


class TestWaitingForTheWriter:
    """As project/sqlite/turns.py has it; each connection is another process, or another thread."""

    @pytest.fixture
    def wal(self, file: Path) -> Path:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        return file

    def begin(self, connection: sqlite3.Connection, *, within_s: float) -> Cursor:
        cursor = connection.cursor(factory=Cursor)
        cursor.timeout_s = within_s
        cursor.execute("BEGIN IMMEDIATE")
        return cursor

    def add_one(self, file: Path) -> None:
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            cursor = self.begin(connection, within_s=20)
            cursor.execute("UPDATE counter SET total = total + 1")
            cursor.execute("COMMIT")

    def test_one_thread_asks_at_a_time_and_each_has_its_turn(
        self, wal: Path, reader: sqlite3.Connection
    ) -> None:
        holder = sqlite3.connect(wal, isolation_level=None, check_same_thread=False)
        with closing(holder):
            holder.execute("BEGIN IMMEDIATE")
            waiting = threading.Thread(target=at_once, args=[8, lambda: self.add_one(wal)])
            waiting.start()
            holder.execute("UPDATE counter SET total = total + 1")
            holder.execute("COMMIT")
            waiting.join()
        assert total(reader) == 9

    def test_it_says_so_when_the_time_is_over(self, wal: Path) -> None:
        holder, late = (sqlite3.connect(wal, isolation_level=None) for _ in range(2))
        with closing(holder), closing(late):
            holder.execute("BEGIN IMMEDIATE")
            with pytest.raises(sqlite3.OperationalError, match="database is locked"):
                self.begin(late, within_s=0.1)
            holder.execute("COMMIT")
            # The next one waits as long as ever.
            assert self.begin(late, within_s=20).connection.in_transaction
            assert late.execute("PRAGMA busy_timeout").fetchone() == (20_000,)

    def test_it_asks_in_short_pauses(self, wal: Path) -> None:
        holder, late = (sqlite3.connect(wal, isolation_level=None) for _ in range(2))
        asked: list[str] = []
        late.set_trace_callback(asked.append)
        with closing(holder), closing(late):
            holder.execute("BEGIN IMMEDIATE")
            with pytest.raises(sqlite3.OperationalError):
                self.begin(late, within_s=0.1)
        assert asked[0] == f"PRAGMA busy_timeout = {ASKED_FOR_MS}"
        assert asked.count("BEGIN IMMEDIATE") > 2

    def test_any_other_error_is_raised_at_once(self, wal: Path) -> None:
        with closing(sqlite3.connect(wal, isolation_level=None)) as connection:
            cursor = connection.cursor(factory=Cursor)
            cursor.timeout_s = 20
            with pytest.raises(sqlite3.OperationalError, match="no such table"):
                cursor.execute("UPDATE no_table SET total = 1")
