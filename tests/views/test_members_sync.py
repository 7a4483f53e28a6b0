"""Starting a sync of members by a click or after connecting, and the card that tells of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.messages import get_messages
from django.utils import timezone

from integrations.constants import (
    SYNC_STATUS_COMPLETE,
    SYNC_STATUS_ERROR,
    SYNC_STATUS_PENDING,
    SYNC_STATUS_SYNCING,
    RunKind,
    RunTrigger,
)
from integrations.models import GitHubIntegration, SyncRun
from integrations.services import leases, transitions
from integrations.services.runs import start_run
from integrations.views.helpers import _sync_github_members_after_connection
from tests.views.htmx import HTMX

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client
    from pytest_django import DjangoCaptureOnCommitCallbacks

    from integrations.models import User

pytestmark = pytest.mark.django_db


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


class TestMembersSync:
    def test_it_sets_the_status_and_starts_a_run(
        self, client: Client, alice: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        client.force_login(alice)
        client.post(page("github_members_sync"))
        integration.refresh_from_db()
        assert integration.member_sync_status == SYNC_STATUS_SYNCING
        assert integration.member_sync_started_at is not None
        run = SyncRun.objects.get()
        assert run.kind == RunKind.MEMBERS
        assert run.trigger == RunTrigger.MANUAL
        assert run.requested_by == alice

    def test_it_sets_the_status_before_it_queues_the_run(
        self,
        client: Client,
        alice: User,
        integration: GitHubIntegration,
        page: Callable[..., str],
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        client.force_login(alice)
        with django_capture_on_commit_callbacks(execute=False) as callbacks:
            client.post(page("github_members_sync"))
        integration.refresh_from_db()
        assert integration.member_sync_status == SYNC_STATUS_SYNCING
        assert SyncRun.objects.get().enqueued_at is None
        for callback in callbacks:
            callback()
        assert SyncRun.objects.get().enqueued_at is not None

    def test_it_answers_htmx_with_the_card_saying_syncing(
        self, client: Client, alice: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        client.force_login(alice)
        response = client.post(page("github_members_sync"), headers=HTMX)
        assert response.status_code == 200
        assert "integrations/partials/member_sync_progress.html" in [
            template.name for template in response.templates
        ]
        text = response.content.decode()
        assert 'id="member-sync-status"' in text
        assert "Syncing" in text
        assert "<html" not in text

    def test_it_redirects_a_browser_without_scripts_and_says_so(
        self, client: Client, alice: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        client.force_login(alice)
        response = client.post(page("github_members_sync"))
        assert response.headers["Location"] == page("github_members")
        assert messages_of(response) == ["Syncing members in the background."]

    def test_a_second_click_joins_the_first(
        self, client: Client, alice: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        client.force_login(alice)
        for _ in range(3):
            assert client.post(page("github_members_sync"), headers=HTMX).status_code == 200
        assert SyncRun.objects.count() == 1

    def test_without_a_connection_it_says_so_and_starts_nothing(
        self, client: Client, alice: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        integration.credential = None
        integration.save(update_fields=["credential"])
        client.force_login(alice)
        response = client.post(page("github_members_sync"))
        assert response.status_code == 409
        assert "GitHub is not connected" in response.content.decode()
        assert not SyncRun.objects.exists()

    def test_without_an_organisation_there_is_nothing_to_sync(
        self, client: Client, alice: User, page: Callable[..., str]
    ) -> None:
        client.force_login(alice)
        assert client.post(page("github_members_sync")).status_code == 404


class TestMembersSyncProgress:
    @pytest.fixture
    def get(self, client: Client, bob: User, page: Callable[..., str]) -> Callable[..., str]:
        client.force_login(bob)
        return lambda: client.get(page("github_members_sync_progress")).content.decode()

    def test_it_says_that_nothing_is_connected(self, get: Callable[[], str]) -> None:
        assert 'data-state="not_connected"' in get()

    def test_it_says_that_nothing_was_synced_yet(
        self, get: Callable[[], str], integration: GitHubIntegration
    ) -> None:
        assert integration.member_sync_status == SYNC_STATUS_PENDING
        assert 'data-state="never"' in get()

    def test_it_says_that_a_worker_is_awaited(
        self, get: Callable[[], str], integration: GitHubIntegration
    ) -> None:
        start_run(integration, trigger=RunTrigger.MANUAL)
        assert 'data-state="pending"' in get()

    def test_it_shows_how_far_a_sync_is(
        self, get: Callable[[], str], integration: GitHubIntegration
    ) -> None:
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        lease = transitions.claim(run.pk)
        assert lease is not None
        leases.checkpoint(
            lease,
            counts={"created_count": 100, "page_count": 1},
            cursor="graphql:x",
            page_size=100,
            expected_count=240,
        )
        text = get()
        assert 'data-state="syncing"' in text
        assert "100" in text
        assert "240" in text

    def test_it_shows_until_when_github_makes_us_wait(
        self, get: Callable[[], str], integration: GitHubIntegration
    ) -> None:
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        lease = transitions.claim(run.pk)
        assert lease is not None
        resume_at = timezone.now() + timezone.timedelta(minutes=11)  # type: ignore[attr-defined]
        transitions.wait(lease, resume_at=resume_at, reason="rate_limited")
        text = get()
        assert 'data-state="waiting"' in text
        assert resume_at.isoformat()[:16] in text

    def test_it_shows_the_counts_of_a_complete_sync(
        self, get: Callable[[], str], integration: GitHubIntegration
    ) -> None:
        integration.member_sync_status = SYNC_STATUS_COMPLETE
        integration.member_sync_result = {"created": 12, "updated": 3, "departed": 2}
        integration.save(update_fields=["member_sync_status", "member_sync_result"])
        text = get()
        assert 'data-state="complete"' in text
        assert "12" in text

    def test_it_shows_what_went_wrong(
        self, get: Callable[[], str], integration: GitHubIntegration
    ) -> None:
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        transitions.fail(run, "bad_credentials")
        text = get()
        assert 'data-state="error"' in text
        assert "GitHub no longer accepts the connection" in text

    def test_it_answers_programs_in_json(
        self, client: Client, bob: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        transitions.fail(run, "bad_credentials")
        client.force_login(bob)
        response = client.get(
            page("github_members_sync_progress"), headers={"Accept": "application/json"}
        )
        answer = response.json()
        assert answer["status"] == SYNC_STATUS_ERROR
        assert answer["error_code"] == "bad_credentials"
        assert set(answer["result"]) == {
            "created",
            "updated",
            "unchanged",
            "departed",
            "held",
            "failed",
        }


class TestAfterConnection:
    def test_it_queues_and_returns_0_at_once(
        self,
        integration: GitHubIntegration,
        alice: User,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            assert _sync_github_members_after_connection(integration, person=alice) == 0
        run = SyncRun.objects.get()
        assert run.trigger == RunTrigger.ONBOARDING
        assert run.requested_by == alice
        assert run.enqueued_at is not None
        integration.refresh_from_db()
        assert integration.member_sync_status == SYNC_STATUS_SYNCING
