"""The page of repositories: tracking them, and a sync of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integrations.constants import SYNC_STATUS_PENDING, SYNC_STATUS_SYNCING, RunTrigger
from integrations.services.runs import start_run
from tests.factories import TrackedRepositoryFactory
from tests.views.htmx import HTMX

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from integrations.models import GitHubIntegration, User

pytestmark = pytest.mark.django_db


class TestRepositories:
    def test_it_lists_them_with_where_each_sync_stands(
        self, client: Client, bob: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        repository = TrackedRepositoryFactory(integration=integration)
        start_run(integration, trigger=RunTrigger.MANUAL, repository=repository)
        client.force_login(bob)
        response = client.get(page("github_repos"))
        [(row, card)] = response.context["rows"]
        assert row == repository
        assert card.state == "pending"
        assert f'id="repository-{repository.pk}-sync"' in response.content.decode()

    def test_it_tracks_and_stops_tracking(
        self, client: Client, alice: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        repository = TrackedRepositoryFactory(integration=integration)
        client.force_login(alice)
        address = page("github_repo_toggle", repository.pk)
        for wanted in (True, False):
            client.post(address, {"tracked": str(wanted).lower()})
            repository.refresh_from_db()
            assert repository.is_tracked is wanted

    def test_its_sync_leaves_the_members_status_alone(
        self, client: Client, alice: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        repository = TrackedRepositoryFactory(integration=integration)
        client.force_login(alice)
        response = client.post(page("github_repo_sync", repository.pk), headers=HTMX)
        assert f'id="repository-{repository.pk}"' in response.content.decode()
        repository.refresh_from_db()
        integration.refresh_from_db()
        assert repository.sync_status == SYNC_STATUS_SYNCING
        assert repository.sync_started_at is not None
        assert integration.member_sync_status == SYNC_STATUS_PENDING

    def test_another_team_s_repository_is_not_there(
        self, client: Client, alice: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        other = TrackedRepositoryFactory()
        client.force_login(alice)
        for name in ("github_repo_toggle", "github_repo_sync"):
            assert client.post(page(name, other.pk)).status_code == 404
