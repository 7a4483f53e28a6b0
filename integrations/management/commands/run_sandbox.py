"""`manage.py run_sandbox`: a stand-in GitHub for demos, tests and benchmarks.

The only place of the product that imports the sandbox.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from integrations.sandbox.options import add_arguments, options_from
from integrations.sandbox.server import serve


class Command(BaseCommand):
    help = "Runs a stand-in GitHub until it is told to stop."
    # It uses nothing of the project, so nothing of the project has to be in order.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        serve(options_from(options))
