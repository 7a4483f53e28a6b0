"""A new release of the product: the working tree's own code, with a migration and what needs it.

Made of files, not of git's history, which a shallow clone lacks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from django.db import connection

from tests.processes import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

PARTS: Final = ("integrations", "project", "templates", "static")
# Where the new code's own field goes: behind one that is there.
BEHIND: Final = "    revision = models.PositiveBigIntegerField(default=0, editable=False)\n"
FIELD: Final = '    release = models.CharField(max_length=20, null=True, default="new")\n'
NAME: Final = "9000_release"
MIGRATION: Final = """
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("integrations", "{last}")]
    operations = [
        migrations.CreateModel(
            "Release",
            [
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=20, unique=True)),
            ],
        ),
        # Without a default in the database: what the old code writes has no release.
        migrations.AddField("syncrun", "release", models.CharField(max_length=20, null=True)),
        migrations.AddIndex(
            "syncrun", models.Index(fields=["release", "id"], name="runs_by_release")
        ),
        migrations.RunSQL(
            "INSERT INTO integrations_release (name) VALUES ('new')",
            "DELETE FROM integrations_release",
        ),
    ]
"""


def make(place: Path) -> Path:
    """Make the new release's folder: each run that it starts says so in a column of its own."""
    for part in PARTS:
        shutil.copytree(REPOSITORY / part, place / part)
    shutil.copy2(REPOSITORY / "manage.py", place)
    migrations = place / "integrations" / "migrations"
    last = max(path.stem for path in migrations.glob("0*.py"))
    (migrations / f"{NAME}.py").write_text(MIGRATION.format(last=last))
    models = place / "integrations" / "models" / "runs.py"
    text = models.read_text()
    assert text.count(BEHIND) == 1
    models.write_text(text.replace(BEHIND, BEHIND + FIELD))
    return place


def migrate(place: Path, *, database: str) -> None:
    """Migrate as the release does, by its own command and with its own code."""
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--noinput"],
        cwd=place, env={**os.environ, "DATABASE_URL": database},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{NAME}... OK" in done.stdout, done.stdout


def runs_by_release() -> dict[str | None, int]:
    """Count the runs that each code began: None is the old one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT release, COUNT(*) FROM integrations_syncrun GROUP BY release")
        return dict(cursor.fetchall())
