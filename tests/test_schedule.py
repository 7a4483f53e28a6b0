"""The nightly read: spread over its window, started once, caught up, and never beside another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.utils import timezone

from integrations.constants import (
    QUEUE_SCHEDULED,
    SYNC_STATUS_COMPLETE,
    CredentialStatus,
    RunTrigger,
)
from integrations.models import GitHubIntegration, SyncRun
from integrations.services import schedule, transitions
from integrations.services.connection import disconnect
from integrations.services.runs import start_run
from tests.factories import GitHubIntegrationFactory
from tests.syncing import connect, roster, truth
from tests.together import at_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from dramatiq.brokers.redis import RedisBroker

    from tests.sandbox_control import SandboxOrganization
    from tests.stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def due() -> GitHubIntegration:
    """An integration whose night was an hour ago."""
    integration: GitHubIntegration = GitHubIntegrationFactory()
    integration.next_sync_at = timezone.now() - timedelta(hours=1)
    integration.save()
    return integration


def scheduled_runs(integration: GitHubIntegration) -> list[SyncRun]:
    return list(integration.runs.filter(trigger=RunTrigger.SCHEDULE))


class TestTheWindow:
    def test_everybody_is_in_it_and_they_are_spread(self) -> None:
        nights = [
            schedule.next_night(GitHubIntegration(pk=pk), after=NOON) for pk in range(1, 2001)
        ]
        begins, ends = NOON.replace(day=11, hour=1), NOON.replace(day=11, hour=5)
        assert all(begins <= night < ends for night in nights)
        quarters = [0] * 16
        for night in nights:
            quarters[int((night - begins) / timedelta(minutes=15))] += 1
        assert min(quarters) > 60, quarters
        assert max(quarters) < 200, quarters

    def test_a_night_moves_by_a_jitter_and_no_more(self) -> None:
        integration = GitHubIntegration(pk=7)
        noons = [NOON + timedelta(days=days) for days in range(30)]
        times = [schedule.next_night(integration, after=noon) - noon for noon in noons]
        assert len(set(times)) > 10
        assert max(times) - min(times) <= timedelta(minutes=10)

    @pytest.mark.parametrize("from_hour", [0, 1, 22])
    @pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/Los_Angeles"])
    def test_each_team_has_its_own_hours_in_its_own_zone(self, zone: str, from_hour: int) -> None:
        integration = GitHubIntegration(
            pk=3, schedule_from_hour=from_hour, schedule_hours=1, schedule_time_zone=zone
        )
        night = schedule.next_night(integration, after=NOON)
        assert night.astimezone(ZoneInfo(zone)).hour == from_hour
        assert timedelta(0) < night - NOON <= timedelta(days=1)

    @pytest.mark.parametrize("day", [(2026, 3, 28), (2026, 10, 24)])
    def test_one_a_day_even_when_the_clocks_change(self, day: tuple[int, int, int]) -> None:
        integration = GitHubIntegration(
            pk=5, schedule_from_hour=2, schedule_hours=2, schedule_time_zone="Europe/Berlin"
        )
        at = datetime(*day, 12, tzinfo=UTC)
        first = schedule.next_night(integration, after=at)
        second = schedule.next_night(integration, after=first)
        assert timedelta(hours=22) < second - first < timedelta(hours=26)

    def test_a_zone_that_is_no_more_is_utc(self) -> None:
        integration = GitHubIntegration(pk=1, schedule_time_zone="Mars/Olympus")
        assert schedule.zone_of(integration) == ZoneInfo("UTC")


class TestDue:
    def test_it_starts_once_and_plans_the_next_night(self, due: GitHubIntegration) -> None:
        now = timezone.now()
        assert len(schedule.start_due(now)) == 1
        assert schedule.start_due(now) == []
        due.refresh_from_db()
        assert due.next_sync_at is not None
        assert now < due.next_sync_at < now + timedelta(days=1, hours=5)
        [run] = scheduled_runs(due)
        assert run.requested_by is None

    def test_three_nights_missed_are_one_caught_up(self, due: GitHubIntegration) -> None:
        due.next_sync_at = timezone.now() - timedelta(days=3)
        due.save()
        schedule.start_due(timezone.now())
        schedule.start_due(timezone.now())
        assert len(scheduled_runs(due)) == 1

    def test_nothing_starts_beside_a_run_under_way(self, due: GitHubIntegration) -> None:
        start_run(due, trigger=RunTrigger.MANUAL)
        assert schedule.start_due(timezone.now()) == []
        assert due.runs.count() == 1

    def test_nothing_starts_with_a_refused_credential(self, due: GitHubIntegration) -> None:
        assert due.credential is not None
        due.credential.status = CredentialStatus.REVOKED
        due.credential.save()
        assert schedule.start_due(timezone.now()) == []
        due.refresh_from_db()
        assert due.next_sync_at is not None
        assert due.next_sync_at > timezone.now()

    def test_a_ticker_that_comes_after_the_run_s_end_starts_none(
        self, due: GitHubIntegration
    ) -> None:
        stale = GitHubIntegration.objects.select_related("credential").get(pk=due.pk)
        [run] = schedule.start_due(timezone.now())
        transitions.fail(run, "internal_error")
        assert schedule._start(stale, timezone.now()) is None
        assert due.runs.count() == 1

    def test_ten_tickers_at_once_start_it_once(self, due: GitHubIntegration) -> None:
        started: list[SyncRun] = []
        at_once(10, lambda: started.extend(schedule.start_due(timezone.now())))
        assert len(started) == 1
        assert len(scheduled_runs(due)) == 1

    def test_its_message_waits_in_the_queue_of_the_scheduled(
        self, due: GitHubIntegration, broker: RedisBroker
    ) -> None:
        call_command("run_scheduler", once=True)
        assert broker.client.llen(f"{broker.namespace}:{QUEUE_SCHEDULED}") == 1


class TestThePlan:
    def test_the_ticker_gives_a_time_to_whoever_has_none(self) -> None:
        integration: GitHubIntegration = GitHubIntegrationFactory()
        schedule.start_due(timezone.now())
        integration.refresh_from_db()
        assert integration.next_sync_at is not None
        assert integration.runs.count() == 0

    def test_off_means_no_time(self, due: GitHubIntegration) -> None:
        due.schedule_enabled = False
        due.save()
        assert schedule.start_due(timezone.now()) == []
        due.refresh_from_db()
        assert due.next_sync_at is None

    def test_a_disconnection_takes_the_time_away(self, due: GitHubIntegration) -> None:
        disconnect(due)
        due.refresh_from_db()
        assert due.next_sync_at is None


@pytest.mark.processes
@pytest.mark.parametrize(
    "stack", [("scheduler", "scheduler-2", "scheduler-3", "worker")], indirect=True
)
class TestThreeTickers:
    def test_of_three_with_one_killed_each_night_is_read_once(
        self,
        stack: Stack,
        organization: SandboxOrganization,
        wait_until: Callable[..., None],
    ) -> None:
        integrations = [connect(organization) for _ in range(12)]
        GitHubIntegration.objects.update(next_sync_at=timezone.now() + timedelta(seconds=1))
        stack["scheduler-2"].kill()
        wait_until(
            lambda: SyncRun.objects.filter(status=SYNC_STATUS_COMPLETE).count() == 12,
            timeout_s=40,
        )
        assert all(len(scheduled_runs(one)) == 1 for one in integrations)
        assert roster(integrations[0]) == truth(organization)
