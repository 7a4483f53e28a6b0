"""Running `manage.py backup` and `restore`, and the teams that are there after it."""

from __future__ import annotations

import io
from typing import Any

from django.core.management import call_command

from integrations.models import Team


def run(*command: Any, **options: Any) -> str:
    """Run a command and return what it wrote, the complaints too."""
    out = io.StringIO()
    call_command(*map(str, command), stdout=out, stderr=out, **options)
    return out.getvalue()


def slugs() -> set[str]:
    return set(Team.objects.values_list("slug", flat=True))
