"""`manage.py backup PATH`: the database as of one instant, while everything runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from integrations.services.backups.files import BackupRefused, place_for, written_whole
from integrations.services.backups.restore import own_database


class Command(BaseCommand):
    help = "Writes the database into one file, while everything runs; see docs/backup.md."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "path", type=Path, help="a file that isn't there yet, or a folder: then named by time"
        )

    def handle(self, *, path: Path, **options: Any) -> None:
        database = own_database()
        begun_s = time.monotonic()
        place = place_for(path, kind=database.kind)
        try:
            with written_whole(place) as part:
                database.write_to(part)
        except BackupRefused as exc:
            raise CommandError(str(exc)) from exc
        self.stdout.write(
            f"{place}: {database.kind}, {place.stat().st_size / 1e6:,.1f} MB, "
            f"{time.monotonic() - begun_s:.1f} s. FIELD_ENCRYPTION_KEYS is not in it."
        )
