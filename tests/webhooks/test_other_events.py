"""Deliveries about the organisation itself, its repositories, and what we don't use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from integrations.constants import SYNC_STATUS_ERROR
from integrations.models import GitHubIntegration, SyncRun, WebhookDelivery
from tests.factories import TeamMemberFactory, TrackedRepositoryFactory
from tests.webhook_deliveries import organization_of, person, post, work

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db(transaction=True)


class TestOtherEvents:
    def deliver(self, client: Client, event: str, payload: dict[str, Any]) -> WebhookDelivery:
        assert post(client, event, payload).status_code in (200, 202)
        work()
        return WebhookDelivery.objects.latest("pk")

    @pytest.mark.parametrize("event", ["star", "ping", "installation_something", "sponsorship"])
    def test_unknown_ones_are_kept_and_ignored(self, client: Client, event: str) -> None:
        delivery = self.deliver(client, event, {"action": "created", "zen": "x"})
        assert (delivery.status, delivery.outcome) == ("ignored", "unused")

    def test_a_renamed_organisation_is_followed(
        self, client: Client, watched: GitHubIntegration
    ) -> None:
        renamed = organization_of(watched) | {"login": "acme-two"}
        self.deliver(
            client, "organization",
            {"action": "renamed", "organization": renamed, "changes": {"login": {"from": "acme"}}},
        )  # fmt: skip
        watched.refresh_from_db()
        assert watched.organization_login == "acme-two"

    def test_a_deleted_organisation_removes_nobody_and_says_so(
        self, client: Client, watched: GitHubIntegration
    ) -> None:
        TeamMemberFactory(team=watched.team)
        payload = {"action": "deleted", "organization": organization_of(watched)}
        self.deliver(client, "organization", payload)
        watched.refresh_from_db()
        assert watched.member_sync_status == SYNC_STATUS_ERROR
        assert "deleted" in watched.member_sync_error
        assert watched.team.members.active().count() == 1

    def repository(
        self, integration: GitHubIntegration, number: int, **facts: Any
    ) -> dict[str, Any]:
        name = facts.get("name", f"repository-{number}")
        return {
            "id": number, "name": name, "full_name": f"acme/{name}", "private": False,
            "archived": False, "description": None, "html_url": "", "language": None,
            "default_branch": "main", "pushed_at": None,
            "owner": organization_of(integration),
        } | facts  # fmt: skip

    def about(
        self, client: Client, integration: GitHubIntegration, action: str, **facts: Any
    ) -> WebhookDelivery:
        payload = {
            "action": action,
            "repository": self.repository(integration, 5, **facts),
            "organization": organization_of(integration),
        }
        return self.deliver(client, "repository", payload)

    def test_a_repository_s_life(self, client: Client, watched: GitHubIntegration) -> None:
        self.about(client, watched, "created", name="api")
        row = watched.repositories.get()
        assert row.full_name == "acme/api"
        self.about(client, watched, "renamed", name="api-2")
        self.about(client, watched, "archived", name="api-2", archived=True)
        self.about(client, watched, "privatized", name="api-2", archived=True, private=True)
        row.refresh_from_db()
        assert (row.name, row.is_archived, row.is_private) == ("api-2", True, True)
        self.about(client, watched, "deleted", name="api-2")
        assert not watched.repositories.exists()
        late = self.about(client, watched, "edited", name="api-2")
        assert late.outcome == "not_news"
        assert not watched.repositories.exists()

    @pytest.mark.parametrize("action", ["deleted", "transferred"])
    def test_a_tracked_one_that_goes_stays_and_says_so(
        self, client: Client, watched: GitHubIntegration, action: str
    ) -> None:
        row = TrackedRepositoryFactory(integration=watched, github_id=5, is_tracked=True)
        owner = {"id": 99, "login": "elsewhere"} if action == "transferred" else None
        facts = {"owner": owner} if owner else {}
        self.about(client, watched, action, **facts)
        row.refresh_from_db()
        assert row.gone_at is not None

    def test_a_collaborator_has_the_tracked_repository_read(
        self, client: Client, watched: GitHubIntegration
    ) -> None:
        row = TrackedRepositoryFactory(integration=watched, github_id=5, is_tracked=True)
        for action in ("added", "edited", "removed"):
            self.deliver(
                client, "member",
                {
                    "action": action, "member": person(8),
                    "repository": self.repository(watched, 5),
                    "organization": organization_of(watched),
                },
            )  # fmt: skip
        assert SyncRun.objects.get().repository == row
