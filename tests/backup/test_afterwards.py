"""After a restore: revisions that pages hold, and what was under way."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from integrations import tasks
from integrations.constants import MessageOutcome, RunTrigger
from integrations.live.channels import channel_of
from integrations.live.replay import RowStorage
from integrations.models import GitHubIntegration, MessageAttempt, SyncRun, Team
from integrations.services import recovery, transitions
from integrations.services.backups.revisions import raise_revisions
from integrations.services.runs import start_run
from tests.backup.commands import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import dramatiq

pytestmark = pytest.mark.django_db(transaction=True)


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
