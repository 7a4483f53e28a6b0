"""One repository's sync: its facts and its people, beside a member sync."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from integrations import tasks
from integrations.constants import (
    SYNC_STATUS_COMPLETE,
    SYNC_STATUS_ERROR,
    SYNC_STATUS_PENDING,
    RunTrigger,
)
from integrations.models import GitHubIntegration, SyncRun
from integrations.services.repository_list import refresh_if_stale
from integrations.services.runs import start_run
from tests.factories import (
    TrackedRepositoryFactory,
)
from tests.syncing import connect, start

if TYPE_CHECKING:
    from tests.sandbox_control import SandboxControl, SandboxOrganization

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def organization(sandbox: SandboxControl) -> SandboxOrganization:
    return sandbox.organization(size=12)


@pytest.fixture
def integration(organization: SandboxOrganization) -> GitHubIntegration:
    return connect(organization)


class TestRepositorySync:
    def test_it_reads_metadata_and_people(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        listed = organization.control.ask("GET", "organizations")
        assert any(each["login"] == organization.login for each in listed)
        from_github = repositories_of(integration)
        repository = TrackedRepositoryFactory(
            integration=integration, github_id=from_github[0].github_id, full_name="old/name"
        )
        run = start_run(integration, trigger=RunTrigger.MANUAL, repository=repository).run
        tasks.sync_repository_manual_task.fn(run.pk)
        repository.refresh_from_db()
        assert repository.sync_status == SYNC_STATUS_COMPLETE
        assert repository.full_name == from_github[0].full_name
        assert repository.sync_result == {"people": repository.people.count()}
        assert repository.people.exists()
        integration.refresh_from_db()
        assert integration.member_sync_status == SYNC_STATUS_PENDING

    def test_a_repository_that_is_gone_ends_in_error(self, integration: GitHubIntegration) -> None:
        repository = TrackedRepositoryFactory(integration=integration, github_id=1)
        run = start_run(integration, trigger=RunTrigger.MANUAL, repository=repository).run
        tasks.sync_repository_manual_task.fn(run.pk)
        repository.refresh_from_db()
        assert repository.sync_status == SYNC_STATUS_ERROR
        assert repository.sync_error

    def test_members_and_a_repository_sync_side_by_side(
        self, integration: GitHubIntegration
    ) -> None:
        repository = TrackedRepositoryFactory(
            integration=integration, github_id=repositories_of(integration)[0].github_id
        )
        members = start(integration)
        run = start_run(integration, trigger=RunTrigger.MANUAL, repository=repository).run
        tasks.sync_repository_manual_task.fn(run.pk)
        tasks.sync_github_members_task.fn(members.pk)
        assert SyncRun.objects.filter(status=SYNC_STATUS_COMPLETE).count() == 2


def repositories_of(integration: GitHubIntegration) -> list[Any]:
    """List the organisation's repositories as the wizard does, and forget the rows again."""
    refresh_if_stale(integration)
    rows = list(integration.repositories.all())
    integration.repositories.all().delete()
    return rows
