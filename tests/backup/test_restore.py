"""`manage.py restore`: what comes back, and what is refused."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from integrations.models import GitHubIntegration, MessageAttempt, Team
from integrations.telemetry import processes
from integrations.telemetry.redis_clients import telemetry_client
from tests.backup.commands import run, slugs
from tests.factories import TeamFactory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.django_db(transaction=True)


class TestRestore:
    def test_what_was_there_comes_back(
        self, path: Path, elsewhere: Callable[[], Any], integration: GitHubIntegration
    ) -> None:
        run("backup", path)
        TeamFactory(slug="later")
        with elsewhere():
            said = run("restore", path)
            assert slugs() == {"acme"}
            restored = GitHubIntegration.objects.select_related("credential").get()
            assert restored.credential is not None
            assert integration.credential is not None
            assert restored.credential.access_token == integration.credential.access_token
            # Ids go on where they were: PostgreSQL's sequences are a part of it.
            assert TeamFactory().pk > integration.team_id
        assert "Restored: 1 teams" in said
        assert "No key" not in said

    def test_a_database_with_tables_is_replaced_only_when_told_to(
        self, path: Path, elsewhere: Callable[[], Any], acme: Team
    ) -> None:
        run("backup", path)
        with elsewhere():
            run("restore", path)
            TeamFactory(slug="mine")
            with connection.cursor() as cursor:
                cursor.execute("CREATE TABLE of_newer_code (team_id bigint)")
            with pytest.raises(CommandError, match="is not empty"):
                run("restore", path)
            assert slugs() == {"acme", "mine"}
            run("restore", path, "--replace")
            assert slugs() == {"acme"}
            # Newer code's migration could not make it otherwise.
            with connection.cursor() as cursor:
                assert "of_newer_code" not in connection.introspection.table_names(cursor)

    def test_a_backup_of_older_code_is_brought_up_to_date(
        self, path: Path, elsewhere: Callable[[], Any], tmp_path: Path, acme: Team
    ) -> None:
        run("backup", path)
        older = tmp_path / "older.backup"
        with elsewhere():
            run("restore", path)
            call_command("migrate", "integrations", "0005", verbosity=0)
            run("backup", older)
            run("restore", older, "--replace")
            assert MessageAttempt.objects.count() == 0
            assert slugs() == {"acme"}

    def test_a_backup_of_newer_code_is_refused(
        self, path: Path, elsewhere: Callable[[], Any], acme: Team
    ) -> None:
        recorder = MigrationRecorder(connection)
        recorder.record_applied("integrations", "9000_of_tomorrow")
        try:
            run("backup", path)
        finally:
            recorder.record_unapplied("integrations", "9000_of_tomorrow")
        with elsewhere():
            with pytest.raises(CommandError, match=r"newer code.*integrations 9000"):
                run("restore", path)
            assert connection.introspection.table_names() == []

    def test_what_is_no_backup_is_refused(
        self, path: Path, elsewhere: Callable[[], Any], tmp_path: Path
    ) -> None:
        other = tmp_path / "other"
        given = {
            "not there": None,
            "neither a SQLite file nor": b"",
            "neither a SQLite": b"text " * 9,
            "and DATABASE_URL names": b"PGDMP "
            if connection.vendor == "sqlite"
            else b"SQLite format 3\0",
        }
        with elsewhere():
            for words, content in given.items():
                if content is not None:
                    other.write_bytes(content)
                expected = "could not be read" if content is None else words
                with pytest.raises(CommandError, match=expected):
                    run("restore", other)

    def test_a_damaged_backup_changes_nothing(
        self, path: Path, elsewhere: Callable[[], Any], acme: Team
    ) -> None:
        run("backup", path)
        whole = path.read_bytes()
        with elsewhere():
            run("restore", path)
            TeamFactory(slug="mine")
            # Cut off: what a full disk or a copy that broke off leaves.
            path.write_bytes(whole[: len(whole) * 3 // 4])
            with pytest.raises(CommandError):
                run("restore", path, "--replace")
            assert slugs() == {"acme", "mine"}
            # And as good as before, for the whole one.
            path.write_bytes(whole)
            run("restore", path, "--replace")
            assert slugs() == {"acme"}

    def test_it_is_refused_while_anything_runs(
        self, path: Path, elsewhere: Callable[[], Any], acme: Team
    ) -> None:
        run("backup", path)
        with telemetry_client().pipeline() as pipeline:
            identity = processes.Identity("one", processes.WORKER, host="here", pid=os.getpid())
            processes.put_report(identity, {}, pipeline)
            pipeline.execute()
        with elsewhere():
            with pytest.raises(CommandError, match="Still running: worker here:"):
                run("restore", path)
            assert connection.introspection.table_names() == []

    def test_tokens_that_no_key_reads_are_named(
        self,
        path: Path,
        elsewhere: Callable[[], Any],
        integration: GitHubIntegration,
        settings: Any,
    ) -> None:
        run("backup", path)
        keys = list(settings.FIELD_ENCRYPTION_KEYS)
        new = Fernet.generate_key().decode()
        assert integration.credential is not None
        name = integration.credential.github_username
        with elsewhere():
            settings.FIELD_ENCRYPTION_KEYS = [new]
            assert f"reads the token of: acme (@{name})" in run("restore", path)
            settings.FIELD_ENCRYPTION_KEYS = [new, *keys]
            assert "No key" not in run("restore", "--finish")


def test_one_of_path_and_finish_is_needed() -> None:
    with pytest.raises(CommandError, match="required"):
        run("restore")
