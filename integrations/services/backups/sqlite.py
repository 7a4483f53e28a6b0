"""SQLite copied and put back by its online backup API: whole, while others write.

https://www.sqlite.org/backup.html. Copying the file instead would miss what its write-ahead log
holds, and putting a file in its place would leave the old one's log to be applied to the new one.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from django.db import connection

from integrations.services.backups.files import SQLITE, BackupRefused

# As long as a writer of the product waits.
BUSY_TIMEOUT_S: Final = 20


class SqliteDatabase:
    """The SQLite file of DATABASE_URL. Each method raises BackupRefused."""

    kind = SQLITE

    def __init__(self) -> None:
        self._path = Path(connection.settings_dict["NAME"])

    def write_to(self, path: Path) -> None:
        """Copy the database as of one instant into an empty file, and check the copy."""
        if not self._path.exists():
            raise BackupRefused(f"There is no database at {self._path}.")
        try:
            with closing(_opened(self._path, "rw")) as source, closing(_opened(path, "rw")) as copy:
                # In one step: one reading transaction, which no writer waits for.
                source.backup(copy)
                # One file that needs no log beside it, wherever it is read.
                copy.execute("PRAGMA journal_mode=DELETE")
                _check(copy, path)
        except sqlite3.Error as exc:
            raise BackupRefused(f"The backup failed: {exc}.") from exc

    def migrations_in(self, path: Path) -> set[tuple[str, str]]:
        """Check a backup, and return the migrations that its database has, by app and name."""
        try:
            with closing(_opened(path, "ro")) as backup:
                _check(backup, path)
                return set(backup.execute("SELECT app, name FROM django_migrations"))
        except sqlite3.Error as exc:
            raise BackupRefused(f"{path} is no backup of Rollcall: {exc}.") from exc

    def table_count(self) -> int:
        if not self._path.exists():
            return 0
        with connection.cursor() as cursor:
            return len(connection.introspection.table_names(cursor))

    def read_from(self, path: Path) -> None:
        """Have what the backup holds in place of what there is: all of it, or nothing."""
        connection.close()
        try:
            with (
                closing(_opened(path, "ro")) as backup,
                closing(_opened(self._path, "rwc")) as database,
            ):
                backup.backup(database)
        except sqlite3.Error as exc:
            raise BackupRefused(f"The restore failed, and changed nothing: {exc}.") from exc


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"file:{quote(str(path.absolute()))}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)


def _check(database: sqlite3.Connection, path: Path) -> None:
    """Raise BackupRefused for a file that is not sound."""
    [(found,), *_] = database.execute("PRAGMA integrity_check(1)").fetchall()
    if found != "ok":
        raise BackupRefused(f"{path} is damaged: {found}.")
