"""`manage.py backup` and `manage.py restore`: what comes back, what is refused, what follows."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dramatiq
import pytest
from cryptography.fernet import Fernet
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from integrations import tasks
from integrations.constants import MessageOutcome, RunTrigger
from integrations.live.channels import channel_of
from integrations.live.replay import RowStorage
from integrations.models import GitHubIntegration, MessageAttempt, SyncRun, Team
from integrations.services import recovery, transitions
from integrations.services.backups import postgres
from integrations.services.backups.revisions import raise_revisions
from integrations.services.runs import start_run
from integrations.telemetry import processes
from integrations.telemetry.redis_clients import telemetry_client
from tests.drills.databases import empty_database, on_database
from tests.factories import TeamFactory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.django_db(transaction=True)


def run(*command: Any, **options: Any) -> str:
    """Run a command and return what it wrote, the complaints too."""
    out = io.StringIO()
    call_command(*map(str, command), stdout=out, stderr=out, **options)
    return out.getvalue()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the backup goes."""
    return tmp_path / "rollcall.backup"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Callable[[], Any]]:
    """`with elsewhere():` is on another database, which is empty the first time."""
    with empty_database(tmp_path) as url:

        @contextmanager
        def entered() -> Iterator[None]:
            with on_database(url, migrates=False):
                yield

        yield entered


def slugs() -> set[str]:
    return set(Team.objects.values_list("slug", flat=True))


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


class TestRevisions:
    """What a page holds of the time after the backup is never given out for something else."""

    def replay(self, team: Team, after: int) -> list[str]:
        events = RowStorage().get_events(channel_of(team.pk), after)
        assert [one.id for one in events] == sorted({one.id for one in events})
        return [one.type for one in events]

    def test_a_page_from_after_the_backup_is_told_the_present_state(
        self, integration: GitHubIntegration
    ) -> None:
        transitions.fail(start_run(integration, trigger=RunTrigger.MANUAL).run, "gave_up")
        latest = start_run(integration, trigger=RunTrigger.MANUAL).run
        integration.team.refresh_from_db()
        # Four more were heard of that the backup doesn't know.
        held = integration.team.revision + 4
        raise_revisions(timezone.now())
        assert sorted(self.replay(integration.team, held)) == ["member-sync", "roster"]
        integration.team.refresh_from_db()
        latest.refresh_from_db()
        assert held < latest.revision < integration.team.revision

    def test_the_next_move_is_told_alone(self, integration: GitHubIntegration) -> None:
        run_ = start_run(integration, trigger=RunTrigger.MANUAL).run
        raise_revisions(timezone.now())
        integration.team.refresh_from_db()
        held = integration.team.revision
        transitions.fail(SyncRun.objects.get(pk=run_.pk), "gave_up")
        assert self.replay(integration.team, held) == ["member-sync"]

    def test_a_second_restore_begins_past_the_first(self, integration: GitHubIntegration) -> None:
        """Also of the same backup, and after the clock was set back."""
        start_run(integration, trigger=RunTrigger.MANUAL)
        now = timezone.now()
        before = Team.objects.get().revision
        raise_revisions(now)
        Team.objects.update(revision=before)
        raise_revisions(now + timedelta(seconds=1))
        second = Team.objects.get().revision
        assert second > now.timestamp() * 1e6
        raise_revisions(now - timedelta(days=1))
        assert Team.objects.get().revision > second
        assert second < 2**53

    def test_a_team_without_anything_is_no_exception(self, acme: Team) -> None:
        raise_revisions(timezone.now())
        acme.refresh_from_db()
        assert acme.revision > 0
        assert self.replay(acme, 3) == []


class TestWhatWasUnderWay:
    def test_a_run_of_the_backup_is_sent_again(
        self, path: Path, elsewhere: Callable[[], Any], integration: GitHubIntegration
    ) -> None:
        run_ = start_run(integration, trigger=RunTrigger.MANUAL).run
        recovery.note_sent(run_)
        assert transitions.claim(run_.pk) is not None
        run("backup", path)
        with elsewhere():
            assert "1 syncs were under way" in run("restore", path)
            assert recovery.take_runs_to_send(timezone.now()) == []
            # The lease of the worker of then has run out by the time of any restore but a test's.
            [taken] = recovery.take_runs_to_send(timezone.now() + timedelta(minutes=5))
            assert taken.pk == run_.pk

    def test_messages_of_rows_that_are_not_there_end_as_nothing(
        self,
        worker: dramatiq.Worker,
        broker: dramatiq.brokers.redis.RedisBroker,
        wait_until: Callable[..., None],
    ) -> None:
        missing = 987_654_321
        actors = (
            tasks.sync_github_members_task, tasks.sync_repository_manual_task,
            tasks.notify_admins_task, tasks.apply_webhooks_task, tasks.read_people_task,
        )  # fmt: skip
        for actor in actors:
            actor.send(missing)
        attempts = MessageAttempt.objects.filter(arguments__contains=str(missing))
        wait_until(lambda: attempts.count() == len(actors))
        assert set(attempts.values_list("outcome", flat=True)) == {MessageOutcome.DONE}
        namespace = django_settings.BROKER_NAMESPACE
        assert list(broker.client.scan_iter(f"{namespace}:*.XQ")) == []
        assert not SyncRun.objects.exists()


class TestSqlite:
    @pytest.fixture(autouse=True)
    def _on_sqlite(self) -> None:
        if connection.vendor != "sqlite":
            pytest.skip("SQLite's own")

    def test_what_only_the_log_holds_is_in_the_backup(
        self, path: Path, tmp_path: Path, elsewhere: Callable[[], Any]
    ) -> None:
        """A copy of the file alone misses it: why this is not `cp`."""
        Team.objects.count()
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        TeamFactory(slug="in-the-log")
        copied = tmp_path / "copied"
        # By a process of its own: to close a file that SQLite has open as well drops its locks, and
        # then the other connections write over each other (https://www.sqlite.org/howtocorrupt.html).
        subprocess.run(["cp", connection.settings_dict["NAME"], copied], check=True)
        run("backup", path)
        with elsewhere():
            run("restore", copied)
            assert slugs() == set()
            run("restore", path, "--replace")
            assert slugs() == {"in-the-log"}

    def test_a_restored_database_is_in_write_ahead_mode(
        self, path: Path, elsewhere: Callable[[], Any]
    ) -> None:
        run("backup", path)
        # The backup itself is one file, that can be read where nothing can be written.
        assert path.read_bytes()[18:20] == b"\x01\x01"
        with elsewhere():
            run("restore", path)
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA journal_mode")
                assert cursor.fetchone() == ("wal",)


@pytest.mark.postgres
class TestPostgres:
    @pytest.fixture(autouse=True)
    def _on_postgres(self) -> None:
        if connection.vendor != "postgresql":
            pytest.skip("PostgreSQL's own")

    @pytest.fixture
    def programs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The first folder of PATH."""
        folder = tmp_path / "bin"
        folder.mkdir()
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return folder

    def put(self, folder: Path, name: str, script: str) -> None:
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def test_a_missing_program_is_named(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(CommandError, match=r"pg_dump is not installed.*postgresql-client"):
            run("backup", path)

    def test_a_program_older_than_the_server_is_named(self, path: Path, programs: Path) -> None:
        self.put(programs, "pg_dump", 'echo "pg_dump (PostgreSQL) 9.6.24"')
        with pytest.raises(CommandError, match=r"PostgreSQL 9, and the server is \d+"):
            run("backup", path)
        assert not path.exists()

    def test_the_password_is_on_no_command_line(
        self, path: Path, tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, told = shutil.which("pg_dump"), tmp_path / "told"
        self.put(
            programs, "pg_dump", f'echo "$@" >> {told}\necho "$PGPASSWORD" >> {told}.env\n'
            f'exec {real} "$@"'
        )  # fmt: skip
        secret = connection.settings_dict["PASSWORD"] or "none-is-asked-for"
        monkeypatch.setitem(connection.settings_dict, "PASSWORD", secret)
        run("backup", path)
        assert "--format=custom" in told.read_text()
        assert secret not in told.read_text()
        assert secret in told.with_suffix(".env").read_text()

    def test_what_a_killed_restore_left_is_not_overwritten(
        self, path: Path, elsewhere: Callable[[], Any], acme: Team
    ) -> None:
        run("backup", path)
        with elsewhere():
            run("restore", path)
            TeamFactory(slug="mine")
            with connection.cursor() as cursor:
                cursor.execute(f"CREATE SCHEMA {postgres.ASIDE}")
            with pytest.raises(CommandError, match=r"nothing was changed.*docs/backup"):
                run("restore", path, "--replace")
            assert slugs() == {"acme", "mine"}

    def test_a_restore_that_fails_half_way_puts_everything_back(
        self, path: Path, elsewhere: Callable[[], Any], programs: Path, acme: Team
    ) -> None:
        run("backup", path)
        with elsewhere():
            run("restore", path)
            TeamFactory(slug="mine")
            real = shutil.which("pg_restore", path=os.defpath)
            self.put(
                programs, "pg_restore",
                f'case "$1" in --data-only) exec {real} "$@";; esac\necho broken >&2; exit 1',
            )  # fmt: skip
            with pytest.raises(CommandError, match="pg_restore failed: broken"):
                run("restore", path, "--replace")
            assert slugs() == {"acme", "mine"}
            TeamFactory()
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM pg_namespace WHERE nspname = %s", [postgres.ASIDE]
                )
                assert cursor.fetchone() == (0,)
