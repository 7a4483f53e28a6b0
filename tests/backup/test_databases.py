"""What is SQLite's own in backups and restores, and what is PostgreSQL's."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError
from django.db import connection

from integrations.models import Team
from integrations.services.backups import postgres
from tests.backup.commands import run, slugs
from tests.factories import TeamFactory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.django_db(transaction=True)


class TestSqlite:
    @pytest.fixture(autouse=True)
    def _on_sqlite(self) -> None:
        if connection.vendor != "sqlite":
            pytest.skip("SQLite's own")

    def test_what_only_the_log_holds_is_in_the_backup(
        self, path: Path, tmp_path: Path, elsewhere: Callable[[], Any]
    ) -> None:
        """A copy of the file alone misses it: why this is not `cp`."""
        Team.objects.count()
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        TeamFactory(slug="in-the-log")
        copied = tmp_path / "copied"
        # By a process of its own: to close a file that SQLite has open as well drops its locks, and
        # then the other connections write over each other (https://www.sqlite.org/howtocorrupt.html).
        subprocess.run(["cp", connection.settings_dict["NAME"], copied], check=True)
        run("backup", path)
        with elsewhere():
            run("restore", copied)
            assert slugs() == set()
            run("restore", path, "--replace")
            assert slugs() == {"in-the-log"}

    def test_a_restored_database_is_in_write_ahead_mode(
        self, path: Path, elsewhere: Callable[[], Any]
    ) -> None:
        run("backup", path)
        # The backup itself is one file, that can be read where nothing can be written.
        assert path.read_bytes()[18:20] == b"\x01\x01"
        with elsewhere():
            run("restore", path)
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA journal_mode")
                assert cursor.fetchone() == ("wal",)


@pytest.mark.postgres
class TestPostgres:
    @pytest.fixture(autouse=True)
    def _on_postgres(self) -> None:
        if connection.vendor != "postgresql":
            pytest.skip("PostgreSQL's own")

    @pytest.fixture
    def programs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The first folder of PATH."""
        folder = tmp_path / "bin"
        folder.mkdir()
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return folder

    def put(self, folder: Path, name: str, script: str) -> None:
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def test_a_missing_program_is_named(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(CommandError, match=r"pg_dump is not installed.*postgresql-client"):
            run("backup", path)

    def test_a_program_older_than_the_server_is_named(self, path: Path, programs: Path) -> None:
        self.put(programs, "pg_dump", 'echo "pg_dump (PostgreSQL) 9.6.24"')
        with pytest.raises(CommandError, match=r"PostgreSQL 9, and the server is \d+"):
            run("backup", path)
        assert not path.exists()

    def test_the_password_is_on_no_command_line(
        self, path: Path, tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, told = shutil.which("pg_dump"), tmp_path / "told"
        self.put(
            programs, "pg_dump", f'echo "$@" >> {told}\necho "$PGPASSWORD" >> {told}.env\n'
            f'exec {real} "$@"'
        )  # fmt: skip
        secret = connection.settings_dict["PASSWORD"] or "none-is-asked-for"
        monkeypatch.setitem(connection.settings_dict, "PASSWORD", secret)
        run("backup", path)
        assert "--format=custom" in told.read_text()
        assert secret not in told.read_text()
        assert secret in told.with_suffix(".env").read_text()

    def test_what_a_killed_restore_left_is_not_overwritten(
        self, path: Path, elsewhere: Callable[[], Any], acme: Team
    ) -> None:
        run("backup", path)
        with elsewhere():
            run("restore", path)
            TeamFactory(slug="mine")
            with connection.cursor() as cursor:
                cursor.execute(f"CREATE SCHEMA {postgres.ASIDE}")
            with pytest.raises(CommandError, match=r"nothing was changed.*docs/backup"):
                run("restore", path, "--replace")
            assert slugs() == {"acme", "mine"}

    def test_a_restore_that_fails_half_way_puts_everything_back(
        self, path: Path, elsewhere: Callable[[], Any], programs: Path, acme: Team
    ) -> None:
        run("backup", path)
        with elsewhere():
            run("restore", path)
            TeamFactory(slug="mine")
            real = shutil.which("pg_restore", path=os.defpath)
            self.put(
                programs, "pg_restore",
                f'case "$1" in --data-only) exec {real} "$@";; esac\necho broken >&2; exit 1',
            )  # fmt: skip
            with pytest.raises(CommandError, match="pg_restore failed: broken"):
                run("restore", path, "--replace")
            assert slugs() == {"acme", "mine"}
            TeamFactory()
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM pg_namespace WHERE nspname = %s", [postgres.ASIDE]
                )
                assert cursor.fetchone() == (0,)
