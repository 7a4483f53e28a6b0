"""A backup's file: one that is whole or isn't there, and what a file says that it is."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SQLITE: Final = "SQLite"
POSTGRES: Final = "PostgreSQL"
# The first bytes of each: https://www.sqlite.org/fileformat.html#the_database_header, and "K_VERS"
# in PostgreSQL's pg_backup_archiver.h.
_BEGINNINGS: Final = {b"SQLite format 3\0": SQLITE, b"PGDMP": POSTGRES}
_SUFFIXES: Final = {SQLITE: "sqlite3", POSTGRES: "dump"}


class BackupRefused(Exception):
    """A backup that can't be written, or can't be restored; a sentence for the operator."""


def place_for(given: Path, *, kind: str) -> Path:
    """Return where a backup goes: the path, or in a folder a name with the time (UTC)."""
    if not given.is_dir():
        return given
    return given / f"rollcall-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.{_SUFFIXES[kind]}"


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give an empty file of nobody else's to write to; it gets its name once it is on the disk.

    Raises BackupRefused where something has that name, or is being written to it.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        _make(part)
        try:
            _refuse_taken(path)
            yield part
            _flush(part)
            # A dump may have taken an hour.
            _refuse_taken(path)
            part.rename(path)
            _flush(path.parent)
        finally:
            part.unlink(missing_ok=True)
    except OSError as exc:
        raise BackupRefused(f"{path} could not be written: {exc}.") from exc


def kind_of(path: Path) -> str:
    """Return the kind of database that a backup is of. Raises BackupRefused."""
    try:
        with path.open("rb") as file:
            beginning = file.read(16)
    except OSError as exc:
        raise BackupRefused(f"{path} could not be read: {exc.strerror}.") from exc
    for known, kind in _BEGINNINGS.items():
        if beginning.startswith(known):
            return kind
    raise BackupRefused(f"{path} is no backup: neither a SQLite file nor pg_dump's custom format.")


def _refuse_taken(path: Path) -> None:
    if path.exists():
        raise BackupRefused(f"{path} is there already; a backup overwrites nothing.")


def _make(part: Path) -> None:
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise BackupRefused(
            f"{part} is there: that backup is being written, or was cut off. Then remove the file."
        ) from None


def _flush(path: Path) -> None:
    """Have the file, or the folder's list of names, on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
