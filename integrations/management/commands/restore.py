"""`manage.py restore PATH`: a backup put back, ready for the product to start on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from redis.exceptions import RedisError

from integrations.services.backups.files import BackupRefused
from integrations.services.backups.restore import Restored, finish, restore
from integrations.telemetry.processes import read_processes
from integrations.telemetry.redis_clients import telemetry_client


class Command(BaseCommand):
    help = "Puts a backup into the database; with everything stopped. See docs/backup.md."
    # The database may be empty, or not one of this code's.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("path", type=Path, nargs="?", help="what `manage.py backup` wrote")
        what.add_argument(
            "--finish",
            action="store_true",
            help="put nothing back: do what follows a restore that another tool did",
        )
        parser.add_argument(
            "--replace", action="store_true", help="give up what the database holds now"
        )

    def handle(self, *, path: Path | None, replace: bool, **options: Any) -> None:
        self._refuse_while_running()
        try:
            restored = finish() if path is None else restore(path, replaces=replace)
        except BackupRefused as exc:
            raise CommandError(str(exc)) from exc
        self._tell(restored)

    def _refuse_while_running(self) -> None:
        """Processes that go on would write to the restored rows what they knew of the old ones."""
        try:
            reports = read_processes(telemetry_client())
        except RedisError:
            self.stderr.write("Redis does not answer: make sure yourself that nothing runs.")
            return
        now = timezone.now()
        running = [f"{one.kind} {one.name}" for one in reports if not one.is_gone(now)]
        if running:
            raise CommandError(f"Stop Rollcall first. Still running: {', '.join(running)}.")

    def _tell(self, restored: Restored) -> None:
        self.stdout.write(
            f"Restored: {restored.team_count:,} teams, {restored.person_count:,} people."
        )
        if restored.active_run_count:
            self.stdout.write(
                f"{restored.active_run_count:,} syncs were under way; they go on with the next "
                "worker and scheduler."
            )
        if restored.unreadable:
            self.stderr.write(
                "No key of FIELD_ENCRYPTION_KEYS reads the token of: "
                f"{', '.join(restored.unreadable)}. Add the key that wrote them, or have these "
                "teams connect again."
            )
        self.stdout.write("Start web, worker and scheduler.")
