"""A database put back from its backup, and what has to follow before the product starts on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from integrations.models import CredentialUnreadable, IntegrationCredential, SyncRun, Team, User
from integrations.services.backups.files import BackupRefused, kind_of
from integrations.services.backups.postgres import PostgresDatabase
from integrations.services.backups.revisions import raise_revisions
from integrations.services.backups.sqlite import SqliteDatabase

if TYPE_CHECKING:
    from pathlib import Path

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Restored:
    """What a restored database holds."""

    team_count: int
    person_count: int
    active_run_count: int
    # Whose tokens no key of FIELD_ENCRYPTION_KEYS reads: team and GitHub's name.
    unreadable: list[str]


def own_database() -> SqliteDatabase | PostgresDatabase:
    """Return the database of DATABASE_URL, as something to copy and to put back."""
    return SqliteDatabase() if connection.vendor == "sqlite" else PostgresDatabase()


def restore(path: Path, *, replaces: bool) -> Restored:
    """Put a backup into the database, and make it ready to start on.

    Raises BackupRefused, before anything is changed: for a file that is no sound backup of this
    kind of database, one of newer code, and a database with tables, unless it is to be replaced.
    """
    database = own_database()
    _refuse_other_kind(path, ours=database.kind)
    _refuse_newer(path, database.migrations_in(path))
    count = database.table_count()
    if count and not replaces:
        raise BackupRefused(
            f"The database is not empty: it has {count} tables. --replace gives them up for the "
            "backup's."
        )
    database.read_from(path)
    logger.info("backup restored", path=str(path))
    return finish()


def finish() -> Restored:
    """Do what follows a restore, ours or another tool's: migrations, revisions, a look at tokens.

    Done again it harms nothing.
    """
    call_command("migrate", interactive=False, verbosity=0)
    raise_revisions(timezone.now())
    return Restored(
        team_count=Team.objects.count(),
        person_count=User.objects.count(),
        active_run_count=SyncRun.objects.active().count(),
        unreadable=_unreadable(),
    )


def _refuse_other_kind(path: Path, *, ours: str) -> None:
    kind = kind_of(path)
    if kind != ours:
        raise BackupRefused(
            f"{path} is a backup of {kind}, and DATABASE_URL names {ours}. A backup goes back into "
            "the kind of database that it came from."
        )


def _refuse_newer(path: Path, found: set[tuple[str, str]]) -> None:
    loader = MigrationLoader(None)
    known = set(loader.disk_migrations)
    for migration in loader.disk_migrations.values():
        known.update(migration.replaces)
    unknown = sorted(found - known)
    if not any(app == "integrations" for app, _ in found):
        raise BackupRefused(f"{path} is no backup of Rollcall: it has none of its migrations.")
    if unknown:
        names = ", ".join(f"{app} {name}" for app, name in unknown[:3])
        raise BackupRefused(
            f"{path} is of newer code: this one doesn't know {names}. Install that version first."
        )


def _unreadable() -> list[str]:
    found = []
    for credential in IntegrationCredential.objects.select_related("team").order_by("team__slug"):
        try:
            # The text itself is nobody's business here.
            _ = credential.access_token, credential.refresh_token
        except CredentialUnreadable:
            found.append(f"{credential.team.slug} (@{credential.github_username})")
    return found
