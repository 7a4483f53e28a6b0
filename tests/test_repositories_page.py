"""Repositories: all of them at once, one with its people, and the review of who reaches what."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.messages import get_messages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from integrations.constants import (
    QUEUE_OF_TRIGGER,
    QUEUE_SCHEDULED,
    SYNC_STATUS_COMPLETE,
    SYNC_STATUS_PENDING,
    SYNC_STATUS_SYNCING,
    RunKind,
    RunTrigger,
)
from integrations.models import (
    GitHubIntegration,
    RepositoryAccess,
    StatusTransition,
    SyncRun,
    TrackedRepository,
)
from integrations.services import recovery
from integrations.services.runs import start_run, start_tracked
from tests.factories import GitHubIntegrationFactory, TeamMemberFactory, TrackedRepositoryFactory

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from integrations.models import Team, User
    from tests.processes import Valkey
    from tests.sandbox_control import SandboxOrganization

pytestmark = pytest.mark.django_db


@pytest.fixture
def made(acme: Team) -> GitHubIntegration:
    """Acme's integration, which no GitHub stands behind."""
    return GitHubIntegrationFactory(team=acme)


@pytest.fixture
def admin(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


def reach(repository: TrackedRepository, github_id: int, login: str, permission: str) -> None:
    RepositoryAccess.objects.create(
        repository=repository, github_id=github_id, github_username=login, permission=permission
    )


class TestAllTracked:
    def test_each_tracked_one_gets_a_run_and_no_other(
        self, made: GitHubIntegration, alice: User
    ) -> None:
        tracked = TrackedRepositoryFactory.create_batch(3, integration=made, is_tracked=True)
        TrackedRepositoryFactory(integration=made)
        TrackedRepositoryFactory(integration=made, is_tracked=True, gone_at=timezone.now())
        TrackedRepositoryFactory(is_tracked=True)
        busy = start_run(made, trigger=RunTrigger.MANUAL, repository=tracked[0]).run
        runs = start_tracked(made, person=alice)
        assert {run.repository_id for run in runs} == {tracked[1].pk, tracked[2].pk}
        assert SyncRun.objects.active().count() == 3
        assert SyncRun.objects.active().filter(pk=busy.pk).exists()
        for repository in tracked:
            repository.refresh_from_db()
            assert repository.sync_status == SYNC_STATUS_SYNCING

    def test_each_move_is_a_row_under_a_revision_of_its_own(self, made: GitHubIntegration) -> None:
        TrackedRepositoryFactory.create_batch(4, integration=made, is_tracked=True)
        start_tracked(made)
        made.team.refresh_from_db()
        assert made.team.revision == 4
        assert sorted(SyncRun.objects.values_list("revision", flat=True)) == [1, 2, 3, 4]
        moves = StatusTransition.objects.values_list("revision", "to_status")
        assert sorted(moves) == [(number, SYNC_STATUS_PENDING) for number in range(1, 5)]

    def test_a_second_click_starts_nothing_twice(
        self, admin: Client, made: GitHubIntegration
    ) -> None:
        TrackedRepositoryFactory.create_batch(2, integration=made, is_tracked=True)
        for _ in range(2):
            response = admin.post(reverse("github_repos_sync", args=["acme"]))
            assert response.status_code == 302
        assert SyncRun.objects.count() == 2
        assert [str(m) for m in get_messages(response.wsgi_request)]

    def test_its_cost_hardly_grows_with_each_repository(self, made: GitHubIntegration) -> None:
        counts = []
        for size in (5, 200):
            TrackedRepositoryFactory.create_batch(size, integration=made, is_tracked=True)
            with CaptureQueriesContext(connection) as queries:
                assert len(start_tracked(made)) == size
            counts.append(len(queries))
        assert counts[1] <= counts[0] + 2

    def test_they_wait_behind_the_clicks(self) -> None:
        assert QUEUE_OF_TRIGGER[RunTrigger.TRACKED] == QUEUE_SCHEDULED

    def test_members_may_not(self, client: Client, bob: User, made: GitHubIntegration) -> None:
        client.force_login(bob)
        assert client.post(reverse("github_repos_sync", args=["acme"])).status_code == 403
        assert client.get(reverse("github_repos_sync", args=["acme"])).status_code == 403

    def test_a_disconnected_team_is_told_so(self, admin: Client, made: GitHubIntegration) -> None:
        TrackedRepositoryFactory(integration=made, is_tracked=True)
        GitHubIntegration.objects.update(credential=None)
        response = admin.post(reverse("github_repos_sync", args=["acme"]))
        assert not SyncRun.objects.exists()
        assert [str(m) for m in get_messages(response.wsgi_request)]


@pytest.mark.django_db(transaction=True)
class TestAllTrackedForReal:
    def test_the_ticker_sends_what_the_click_could_not(
        self, admin: Client, made: GitHubIntegration, valkey: Valkey
    ) -> None:
        TrackedRepositoryFactory.create_batch(3, integration=made, is_tracked=True)
        valkey.stop()
        assert admin.post(reverse("github_repos_sync", args=["acme"])).status_code == 302
        assert SyncRun.objects.active().count() == 3
        assert len(recovery.take_runs_to_send(timezone.now())) == 3

    def test_a_worker_reads_them(
        self, admin: Client, integration: GitHubIntegration, organization: SandboxOrganization,
        worker: Any, wait_until: Callable[..., None],
    ) -> None:  # fmt: skip
        integration.onboarded_at = timezone.now()
        integration.save(update_fields=["onboarded_at"])
        admin.get(reverse("onboarding_repositories", args=["acme"]))
        TrackedRepository.objects.update(is_tracked=True)
        count = TrackedRepository.objects.count()
        assert count
        admin.post(reverse("github_repos_sync", args=["acme"]))
        over = SyncRun.objects.filter(kind=RunKind.REPOSITORY, status=SYNC_STATUS_COMPLETE)
        wait_until(lambda: over.count() == min(count, 20))


class TestOneRepository:
    def test_it_says_who_can_reach_it_and_who_they_are_here(
        self, client: Client, made: GitHubIntegration, bob: User
    ) -> None:
        repository = TrackedRepositoryFactory(
            integration=made, is_tracked=True, name="<i>rocket</i>", is_archived=True
        )
        member = TeamMemberFactory(team=made.team, name="Ada <b>Lovelace</b>")
        reach(repository, member.github_id, member.github_username, "admin")
        reach(repository, 999_999, "stranger", "read")
        client.force_login(bob)
        page = client.get(reverse("github_repo", args=["acme", repository.pk])).content.decode()
        assert "Ada &lt;b&gt;Lovelace&lt;/b&gt;" in page
        assert "@stranger" in page
        assert "No member" in page
        assert "Archived" in page
        assert "<i>rocket" not in page
        reached = client.get(reverse("github_member", args=["acme", member.pk])).content.decode()
        assert repository.full_name in reached or "&lt;i&gt;rocket" in reached

    def test_its_cost_does_not_grow_with_its_people(
        self, client: Client, made: GitHubIntegration, bob: User
    ) -> None:
        client.force_login(bob)
        counts = []
        for size in (2, 40):
            repository = TrackedRepositoryFactory(integration=made)
            for number in range(size):
                reach(repository, number, f"p-{number}", "read")
            with CaptureQueriesContext(connection) as queries:
                client.get(reverse("github_repo", args=["acme", repository.pk]))
            counts.append(len(queries))
        assert counts[0] == counts[1]

    def test_other_teams_repositories_are_not_there(
        self, client: Client, made: GitHubIntegration, bob: User, charlie: User
    ) -> None:
        mine, theirs = TrackedRepositoryFactory(integration=made), TrackedRepositoryFactory()
        client.force_login(bob)
        assert client.get(reverse("github_repo", args=["acme", theirs.pk])).status_code == 404
        client.force_login(charlie)
        assert client.get(reverse("github_repo", args=["acme", mine.pk])).status_code == 404

    @pytest.mark.parametrize("show", ["tracked", "private", "archived", "gone", "failed"])
    def test_the_list_shows_some_of_them(
        self, client: Client, made: GitHubIntegration, bob: User, show: str
    ) -> None:
        facts: dict[str, dict[str, Any]] = {
            "tracked": {"is_tracked": True}, "private": {"is_private": True},
            "archived": {"is_archived": True}, "gone": {"gone_at": timezone.now()},
            "failed": {"sync_status": "error"},
        }  # fmt: skip
        wanted = TrackedRepositoryFactory(integration=made, **facts[show])
        TrackedRepositoryFactory(integration=made)
        client.force_login(bob)
        response = client.get(reverse("github_repos", args=["acme"]), {"show": show})
        assert [repository for repository, _ in response.context["rows"]] == [wanted]


class TestAccessReview:
    def test_a_line_is_a_person_s_way_to_a_repository(
        self, client: Client, made: GitHubIntegration, bob: User
    ) -> None:
        repository = TrackedRepositoryFactory(
            integration=made, is_tracked=True, name="a", full_name="=cmd|' /C calc'!A0"
        )
        untracked = TrackedRepositoryFactory(integration=made)
        theirs = TrackedRepositoryFactory(is_tracked=True)
        gone = TeamMemberFactory(team=made.team, is_active=False, name="Ada", email="ada@x")
        for one in (repository, untracked, theirs):
            reach(one, gone.github_id, "ada", "write")
        reach(repository, 999_999, "stranger", "read")
        client.force_login(bob)
        response: Any = client.get(reverse("github_access_csv", args=["acme"]))

        async def collect() -> bytes:
            return b"".join([part async for part in response.streaming_content])

        rows = list(csv.DictReader(io.StringIO(async_to_sync(collect)().decode("utf-8-sig"))))
        assert [
            (row["github_username"], row["permission"], row["name"], row["active_member"])
            for row in rows
        ] == [("ada", "write", "Ada", "no"), ("stranger", "read", "", "no")]
        assert rows[0]["repository"].startswith("'=")


class TestThousandsToChooseFrom:
    def test_the_wizard_s_step_costs_the_same_and_shows_a_hundred(
        self, admin: Client, made: GitHubIntegration
    ) -> None:
        GitHubIntegration.objects.update(repositories_listed_at=timezone.now())
        counts = []
        for size in (200, 2_800):
            TrackedRepository.objects.bulk_create(
                TrackedRepository(
                    integration=made, github_id=size * 10_000 + number, name=f"r-{size}-{number}",
                    full_name=f"acme/r-{size}-{number}",
                )
                for number in range(size)
            )  # fmt: skip
            with CaptureQueriesContext(connection) as queries:
                response = admin.get(reverse("onboarding_repositories", args=["acme"]))
            assert response.content.decode().count('name="repository"') == 100
            counts.append(len(queries))
        assert counts[0] == counts[1]
        found = admin.get(reverse("onboarding_repositories", args=["acme"]), {"q": "r-2800-2799"})
        assert found.content.decode().count('name="repository"') == 1
