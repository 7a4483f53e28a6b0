"""`manage.py backup`: the file that it makes, and what it never overwrites."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from django.core.management import CommandError
from django.db import connection

from tests.backup.commands import run

if TYPE_CHECKING:
    from pathlib import Path

    from integrations.models import Team

pytestmark = pytest.mark.django_db(transaction=True)


class TestBackup:
    def test_it_writes_a_file_for_its_owner_alone(self, path: Path, acme: Team) -> None:
        said = run("backup", path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert said.startswith(f"{path}: ")
        assert list(path.parent.glob(".*")) == []

    def test_in_a_folder_it_takes_the_time_for_a_name(self, tmp_path: Path) -> None:
        folder = tmp_path / "backups"
        folder.mkdir()
        run("backup", folder)
        [made] = folder.iterdir()
        suffix = {"sqlite": "sqlite3", "postgresql": "dump"}[connection.vendor]
        assert made.match(f"rollcall-20*Z.{suffix}")

    def test_it_overwrites_nothing(self, path: Path) -> None:
        path.write_text("somebody's")
        with pytest.raises(CommandError, match="is there already"):
            run("backup", path)
        assert path.read_text() == "somebody's"

    def test_two_at_once_do_not_write_to_one_file(self, path: Path) -> None:
        part = path.with_name(f".{path.name}.part")
        part.write_text("the other's")
        with pytest.raises(CommandError, match="is being written"):
            run("backup", path)
        assert part.read_text() == "the other's"

    def test_one_that_fails_leaves_nothing(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The database has no such file, or no such port."""
        wrong = {"sqlite": {"NAME": "/nowhere/at-all"}, "postgresql": {"PORT": "1"}}
        for name, value in wrong[connection.vendor].items():
            monkeypatch.setitem(connection.settings_dict, name, value)
        with pytest.raises(CommandError):
            run("backup", path)
        assert list(path.parent.iterdir()) == []

    def test_a_folder_that_is_not_there_is_told(self, path: Path) -> None:
        with pytest.raises(CommandError, match="could not be written"):
            run("backup", path / "below")
