"""PostgreSQL copied by pg_dump and put back by pg_restore, its own programs.

The password goes by the environment, which other people of the machine can't read, unlike a
command line. https://www.postgresql.org/docs/current/libpq-envars.html
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from django.db import DatabaseError, connection, transaction

from integrations.masking import masked
from integrations.services.backups.files import POSTGRES, BackupRefused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Where the tables are while those of a backup are put in their place.
ASIDE: Final = "rollcall_replaced"
# What libpq reads from PG<NAME>; Django's own options are none of its business.
_LIBPQ_OPTIONS: Final = (
    "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile", "service", "options",
    "connect_timeout", "channel_binding", "gssencmode", "target_session_attrs",
)  # fmt: skip


class PostgresDatabase:
    """The PostgreSQL database of DATABASE_URL. Each method raises BackupRefused."""

    kind = POSTGRES

    def write_to(self, path: Path) -> None:
        """Write the database as of one instant into an empty file."""
        dump = _program("pg_dump")
        _refuse_older(dump)
        _run(dump, "--format=custom", "--no-owner", "--no-privileges", f"--file={path}")

    def migrations_in(self, path: Path) -> set[tuple[str, str]]:
        """Return the migrations that the backup's database has, by app and name."""
        restore = _program("pg_restore")
        text = _run(restore, "--data-only", "--table=django_migrations", "--file=-", str(path))
        found = re.search(
            r"^COPY \S*django_migrations \((.+)\) FROM stdin;\n(.*?)^\\\.$", text, re.M | re.S
        )
        if found is None:
            raise BackupRefused(f"{path} is no backup of Rollcall: it has no migrations.")
        columns = found[1].split(", ")
        rows = [dict(zip(columns, line.split("\t"), strict=True)) for line in found[2].splitlines()]
        return {(row["app"], row["name"]) for row in rows}

    def table_count(self) -> int:
        with connection.cursor() as cursor:
            return len(connection.introspection.table_names(cursor))

    def read_from(self, path: Path) -> None:
        """Have what the backup holds in place of what there is.

        What there is stands aside meanwhile: a table that the backup doesn't know goes as well, and
        a restore that fails leaves everything as it was.
        """
        restore = _program("pg_restore")
        with _set_aside():
            _run(
                restore, "--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges",
                f"--dbname={connection.settings_dict['NAME']}", str(path),
            )  # fmt: skip
        with connection.cursor() as cursor:
            # The planner's statistics are no part of a backup.
            cursor.execute("ANALYZE")


@contextmanager
def _set_aside() -> Iterator[None]:
    """Have the tables out of the way for the block, and give them up unless it raises."""
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
    if not tables:
        # Which needs no right to make a schema.
        yield
        return
    _move_aside(tables)
    try:
        yield
    except BaseException:
        _put_back()
        raise
    with connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA {ASIDE} CASCADE")


def _move_aside(tables: list[str]) -> None:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"CREATE SCHEMA {ASIDE}")
            for table in tables:
                cursor.execute(f"ALTER TABLE {connection.ops.quote_name(table)} SET SCHEMA {ASIDE}")
    except DatabaseError as exc:
        raise BackupRefused(
            f"The tables could not be set aside, and nothing was changed: {_first_line(exc)}. "
            f"Where the schema {ASIDE} is there, a restore was cut off: docs/backup.md."
        ) from exc


def _put_back() -> None:
    """Bring what was set aside back. pg_restore left nothing: it works in one transaction."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        [home] = cursor.fetchone()
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [ASIDE])
        for (table,) in cursor.fetchall():
            name = connection.ops.quote_name(table)
            cursor.execute(
                f"ALTER TABLE {ASIDE}.{name} SET SCHEMA {connection.ops.quote_name(home)}"
            )
        cursor.execute(f"DROP SCHEMA {ASIDE}")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BackupRefused(
            f"{name} is not installed. Debian has it in postgresql-client; its version has to be "
            "the server's, or newer."
        )
    return found


def _refuse_older(dump: str) -> None:
    """Refuse a pg_dump that doesn't know the server: it would stop with less clear words."""
    said = _run(dump, "--version")
    version = int(re.findall(r"\d+", said)[0])
    connection.ensure_connection()
    server: int = connection.pg_version // 10000  # type: ignore[attr-defined]
    if version < server:
        raise BackupRefused(
            f"{dump} is of PostgreSQL {version}, and the server is {server}. "
            f"Install postgresql-client-{server}."
        )


def _run(*command: str) -> str:
    done = subprocess.run(
        command, env=_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        errors="replace", check=False,
    )  # fmt: skip
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"it ended with {done.returncode}"
        raise BackupRefused(masked(f"{os.path.basename(command[0])} failed: {said}"))
    return done.stdout


def _environment() -> dict[str, str]:
    """Return what libpq needs to reach the database that Django reaches."""
    facts = connection.settings_dict
    given = {
        "PGDATABASE": facts["NAME"],
        "PGHOST": facts["HOST"],
        "PGPORT": facts["PORT"],
        "PGUSER": facts["USER"],
        "PGPASSWORD": facts["PASSWORD"],
    }
    given |= {f"PG{name.upper()}": facts["OPTIONS"].get(name) for name in _LIBPQ_OPTIONS}
    return os.environ | {name: str(value) for name, value in given.items() if value}


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")
