"""Databases of a drill's own: ones that may be stopped, filled up or altered.

The processes get the address; the test's own rows go there too, through the default connection.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import environ
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.utils import load_backend

from tests.processes import free_port
from tests.stack import database_url

if TYPE_CHECKING:
    from collections.abc import Iterator

# Debian keeps PostgreSQL's programs of each version apart, and out of PATH.
DEBIAN: Final = Path("/usr/lib/postgresql")
SUPERUSER: Final = "drill"
# A server that runs as root refuses to start.
SERVER_USER: Final = "postgres"


def postgres_programs() -> Path | None:
    """Return where the newest PostgreSQL's programs are, or None without one."""
    found = sorted(DEBIAN.glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class Cluster:
    """A PostgreSQL server of its own, as it comes, which can be stopped and started again."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._port = free_port()
        # Not pytest's directory, which the server's user may not enter.
        self._home = Path(tempfile.mkdtemp(prefix="rollcall-drill-"))
        self.url = f"postgres://{SUPERUSER}@127.0.0.1:{self._port}/postgres"
        if os.geteuid() == 0:
            shutil.chown(self._home, SERVER_USER, SERVER_USER)
        self._run(
            "initdb", "--pgdata", self._data, "--username", SUPERUSER, "--auth", "trust",
            "--encoding", "UTF8", "--no-sync",
        )  # fmt: skip

    @property
    def _data(self) -> str:
        return str(self._home / "data")

    def start(self) -> None:
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -k {self._home}"
        self._control("start", "--options", options, "--log", str(self._home / "log"))

    def stop(self) -> None:
        """Cut everybody off at once, as at a crash; the next start recovers from its log."""
        self._control("stop", "--mode", "immediate")

    def remove(self) -> None:
        if (self._home / "data" / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    def _control(self, act: str, *options: str) -> None:
        self._run("pg_ctl", act, "--pgdata", self._data, "--wait", *options)

    def _run(self, program: str, *arguments: str) -> None:
        as_user: dict[str, Any] = {"user": SERVER_USER} if os.geteuid() == 0 else {}
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            cwd=self._home, stdin=subprocess.DEVNULL, text=True,
            # Not pipes: the server would hold them open for as long as it runs.
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, **as_user,
        )  # fmt: skip
        assert done.returncode == 0, f"{program} {arguments[0]} ended with {done.returncode}"


@contextmanager
def on_database(url: str, *, migrates: bool = True) -> Iterator[None]:
    """Have this test's own rows in another database, migrated, until the end of the block."""
    before = connections[DEFAULT_DB_ALIAS]
    connections[DEFAULT_DB_ALIAS] = _wrapper(url, like=before.settings_dict)
    try:
        if migrates:
            call_command("migrate", verbosity=0, interactive=False)
        yield
    finally:
        connections[DEFAULT_DB_ALIAS].close()
        connections[DEFAULT_DB_ALIAS] = before


@contextmanager
def empty_database(folder: Path) -> Iterator[str]:
    """Have a database with no table, of the kind that the tests run on, until the block's end.

    Yields its address. PostgreSQL makes none inside a transaction.
    """
    name = f"rollcall_{uuid.uuid4().hex[:12]}"
    if connection.vendor == "sqlite":
        yield f"sqlite:///{folder / name}.sqlite3"
        return
    maker = connections[DEFAULT_DB_ALIAS]
    with maker.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    try:
        yield f"{database_url().rpartition('/')[0]}/{name}"
    finally:
        with maker.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _wrapper(url: str, *, like: dict[str, Any]) -> Any:
    facts = {**like, "HOST": "", "PORT": "", "USER": "", "PASSWORD": "", "OPTIONS": {}}
    facts |= environ.Env.db_url_config(url)
    if "sqlite" in facts["ENGINE"]:
        facts["ENGINE"] = "project.sqlite"
        facts["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    return load_backend(facts["ENGINE"]).DatabaseWrapper(facts, DEFAULT_DB_ALIAS)


def sqlite_copy(to: Path) -> str:
    """Make an empty, migrated SQLite file; return its address."""
    url = f"sqlite:///{to}"
    if connection.vendor == "sqlite":
        # Not the file as it is, which is as large as the tests before have made it.
        with connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [str(to)])
    else:
        with on_database(url):
            pass
    return url
