"""Old history is forgotten, a batch at a time, and nothing that is still needed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from integrations.constants import PRUNE_BATCH_SIZE, PRUNE_INTERVAL, RunTrigger
from integrations.models import GitHubIntegration, MemberChange, StatusTransition, SyncRun
from integrations.services import retention, transitions
from integrations.services.runs import start_run
from tests.factories import GitHubIntegrationFactory, TeamMemberFactory

pytestmark = pytest.mark.django_db

NOW = timezone.now()
OLD = NOW - timedelta(days=366)


@pytest.fixture
def integration() -> GitHubIntegration:
    made: GitHubIntegration = GitHubIntegrationFactory()
    return made


def ended_run(integration: GitHubIntegration, *, is_preview: bool = False) -> SyncRun:
    run = start_run(integration, trigger=RunTrigger.MANUAL, is_preview=is_preview).run
    transitions.fail(run, "internal_error")
    SyncRun.objects.filter(pk=run.pk).update(finished_at=OLD)
    return run


def add_changes(integration: GitHubIntegration, count: int, *, days_ago: int) -> None:
    MemberChange.objects.bulk_create(
        MemberChange(
            team=integration.team,
            github_id=number,
            github_username=f"p{number}",
            kind="joined",
            at=NOW - timedelta(days=days_ago),
        )
        for number in range(count)
    )


class TestPrune:
    def test_it_keeps_what_is_young_and_the_newest_run_of_each_subject(
        self, integration: GitHubIntegration
    ) -> None:
        old, newest = ended_run(integration), ended_run(integration)
        newest_preview = ended_run(integration, is_preview=True)
        add_changes(integration, 3, days_ago=366)
        add_changes(integration, 2, days_ago=364)
        member = TeamMemberFactory(team=integration.team, last_seen_run_id=old.pk)
        retention.prune(NOW)
        assert set(SyncRun.objects.all()) == {newest, newest_preview}
        assert not StatusTransition.objects.filter(run_id=old.pk).exists()
        assert MemberChange.objects.count() == 2
        member.refresh_from_db()

    def test_each_team_keeps_as_long_as_it_wants(self, integration: GitHubIntegration) -> None:
        for_ever: GitHubIntegration = GitHubIntegrationFactory(history_days=None)
        a_week: GitHubIntegration = GitHubIntegrationFactory(history_days=7)
        for one in (for_ever, a_week):
            add_changes(one, 1, days_ago=1000)
            add_changes(one, 1, days_ago=8)
        retention.prune(NOW)
        assert for_ever.team.member_changes.count() == 2
        assert a_week.team.member_changes.count() == 0

    def test_plans_go_after_a_day_and_their_run_stays(self, integration: GitHubIntegration) -> None:
        integration.history_days = None
        integration.save()
        run = ended_run(integration, is_preview=True)
        run.planned_changes.create(github_id=1, github_username="ada", kind="joined")
        retention.prune(NOW)
        assert run.planned_changes.count() == 0
        assert SyncRun.objects.filter(pk=run.pk).exists()

    def test_a_run_under_way_stays_however_old(self, integration: GitHubIntegration) -> None:
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        SyncRun.objects.update(created_at=OLD)
        retention.prune(NOW)
        assert SyncRun.objects.filter(pk=run.pk).exists()

    def test_it_goes_in_batches_and_comes_back_for_the_rest(
        self, integration: GitHubIntegration
    ) -> None:
        add_changes(integration, PRUNE_BATCH_SIZE + 5, days_ago=400)
        assert retention.prune(NOW) == PRUNE_BATCH_SIZE
        assert retention.prune(NOW) == 5
        assert retention.prune(NOW) == 0
        integration.refresh_from_db()
        assert integration.next_prune_at == NOW + PRUNE_INTERVAL

    def test_a_turn_is_one_ticker_s(self, integration: GitHubIntegration) -> None:
        retention.prune(NOW)
        add_changes(integration, 1, days_ago=400)
        assert retention.prune(NOW) == 0
        assert retention.prune(NOW + PRUNE_INTERVAL) == 1
