"""Pages and actions over HTTP: who may, what it answers, and what it leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.messages import get_messages
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone

from integrations.constants import (
    SYNC_STATUS_COMPLETE,
    SYNC_STATUS_ERROR,
    SYNC_STATUS_PENDING,
    SYNC_STATUS_SYNCING,
    DeactivatedBy,
    MemberChangeKind,
    RunKind,
    RunTrigger,
)
from integrations.models import GitHubIntegration, MemberChange, SyncRun, TeamMember
from integrations.reasons import REASONS
from integrations.services import leases, transitions
from integrations.services.runs import start_run
from integrations.views.helpers import _sync_github_members_after_connection
from integrations.views.styleguide import styleguide
from tests.factories import GitHubIntegrationFactory, TeamMemberFactory, TrackedRepositoryFactory

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client, RequestFactory
    from pytest_django import DjangoCaptureOnCommitCallbacks

    from integrations.models import Team, User

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture
def integration(acme: Team) -> GitHubIntegration:
    """Acme's connected integration, never synced."""
    return GitHubIntegrationFactory(team=acme)


@pytest.fixture
def page(acme: Team) -> Callable[..., str]:
    """The address of one of acme's pages."""
    return lambda name, *args: reverse(name, args=[acme.slug, *args])


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


class TestWhoMayEnter:
    READABLE = (
        "team_home",
        "github_members",
        "github_members_table",
        "github_members_sync_progress",
        "github_repos",
        "github_connection",
        "onboarding",
        "onboarding_connect",
    )
    ADMIN_ONLY = (
        "github_connect",
        "github_connect_token",
        "github_members_sync",
        "github_disconnect",
    )

    @pytest.mark.parametrize("name", [*READABLE, *ADMIN_ONLY])
    def test_the_anonymous_are_led_to_sign_in(
        self, name: str, client: Client, page: Callable[..., str]
    ) -> None:
        response = client.post(page(name)) if name in self.ADMIN_ONLY else client.get(page(name))
        assert response.status_code == 302
        assert response.headers["Location"].startswith(reverse("account_login"))

    @pytest.mark.parametrize("name", [*READABLE, *ADMIN_ONLY])
    def test_for_strangers_the_team_is_not_there(
        self, name: str, client: Client, page: Callable[..., str], charlie: User
    ) -> None:
        client.force_login(charlie)
        response = client.post(page(name)) if name in self.ADMIN_ONLY else client.get(page(name))
        assert response.status_code == 404

    @pytest.mark.parametrize("name", READABLE)
    def test_people_of_the_team_may_look(
        self, name: str, client: Client, page: Callable[..., str], bob: User
    ) -> None:
        client.force_login(bob)
        assert client.get(page(name)).status_code in {200, 302}

    @pytest.mark.parametrize("name", ADMIN_ONLY)
    def test_only_admins_may_act(
        self, name: str, client: Client, page: Callable[..., str], bob: User
    ) -> None:
        client.force_login(bob)
        assert client.post(page(name)).status_code == 403

    @pytest.mark.parametrize("name", ADMIN_ONLY)
    def test_acting_takes_a_post(
        self, name: str, client: Client, page: Callable[..., str], alice: User
    ) -> None:
        client.force_login(alice)
        assert client.get(page(name)).status_code == 405

    def test_a_team_that_does_not_exist_looks_the_same(self, client: Client, alice: User) -> None:
        client.force_login(alice)
        assert client.get("/t/nowhere/github/members/").status_code == 404


class TestHome:
    def test_it_tells_strangers_what_this_is(self, client: Client) -> None:
        response = client.get("/")
        assert response.status_code == 200
        assert reverse("account_signup") in response.content.decode()

    def test_it_leads_to_the_team(self, client: Client, alice: User, acme: Team) -> None:
        client.force_login(alice)
        assert client.get("/").headers["Location"] == reverse("team_home", args=[acme.slug])

    def test_an_admin_of_a_new_team_goes_on_to_the_wizard(
        self, client: Client, alice: User, page: Callable[..., str]
    ) -> None:
        client.force_login(alice)
        response = client.get(page("team_home"), follow=True)
        assert response.redirect_chain[-1][0] == page("onboarding_connect")

    def test_a_person_without_a_team_makes_one(self, client: Client, alice: User) -> None:
        alice.memberships.all().delete()
        client.force_login(alice)
        assert client.get("/").headers["Location"] == reverse("team_new")
        response = client.post(reverse("team_new"), {"team_name": "  New   Team "})
        assert response.headers["Location"] == reverse("onboarding", args=["new-team"])

    def test_a_team_needs_a_name(self, client: Client, alice: User) -> None:
        client.force_login(alice)
        response = client.post(reverse("team_new"), {"team_name": " "})
        assert response.status_code == 200
        assert "required" in response.content.decode()


class TestSignUp:
    def test_it_makes_the_person_s_team_on_the_way_into_the_wizard(self, client: Client) -> None:
        response = client.post(
            reverse("account_signup"),
            {"email": "new@example.com", "password1": "long-enough-pw", "team_name": "Newcomers"},
            follow=True,
        )
        assert response.redirect_chain[-1][0] == reverse("onboarding_connect", args=["newcomers"])


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


class TestMembersPage:
    def test_its_button_tells_htmx_what_to_replace(
        self, client: Client, alice: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        client.force_login(alice)
        text = client.get(page("github_members")).content.decode()
        assert f'hx-post="{page("github_members_sync")}"' in text
        assert 'hx-target="#member-sync-status"' in text
        assert 'hx-swap="outerHTML"' in text

    def test_a_member_sees_no_button(
        self, client: Client, bob: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        client.force_login(bob)
        text = client.get(page("github_members")).content.decode()
        assert page("github_members_sync") not in text.replace(
            page("github_members_sync_progress"), ""
        )

    def test_its_stream_opens_at_the_revision_it_shows(
        self, client: Client, bob: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        start_run(integration, trigger=RunTrigger.MANUAL)
        integration.team.refresh_from_db()
        client.force_login(bob)
        text = client.get(page("github_members")).content.decode()
        assert f'data-live-revision="{integration.team.revision}"' in text
        assert f'data-live-channel="team-{integration.team_id}"' in text

    def test_search_filters_and_order_come_from_the_address(
        self, client: Client, bob: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        for login, role, active in (
            ("ann", "admin", True),
            ("anja", "member", True),
            ("andy", "admin", False),
            ("zed", "admin", True),
        ):
            TeamMemberFactory(
                team=integration.team, github_username=login, role=role, is_active=active, name=""
            )
        client.force_login(bob)
        response = client.get(
            page("github_members"), {"q": "an", "role": "admin", "sort": "-login"}
        )
        assert [member.github_username for member in response.context["page"]] == ["ann"]
        response = client.get(
            page("github_members"), {"q": "an", "active": "all", "sort": "-login"}
        )
        assert [member.github_username for member in response.context["page"]] == [
            "ann",
            "anja",
            "andy",
        ]

    @pytest.mark.parametrize(
        "address",
        ["?page=x", "?page=99999999999", "?page=-1", "?sort=password", "?per_page=1e9", "?q=%00"],
    )
    def test_nonsense_in_the_address_is_passed_over(
        self,
        address: str,
        client: Client,
        bob: User,
        integration: GitHubIntegration,
        page: Callable[..., str],
    ) -> None:
        client.force_login(bob)
        assert client.get(page("github_members") + address).status_code == 200

    def test_hostile_names_are_text(
        self, client: Client, bob: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        TeamMemberFactory(team=integration.team, name="<script>alert(1)</script>")
        client.force_login(bob)
        text = client.get(page("github_members")).content.decode()
        assert "<script>alert(1)" not in text
        assert "&lt;script&gt;alert(1)" in text

    def test_its_queries_do_not_grow_with_the_roster(
        self,
        client: Client,
        bob: User,
        integration: GitHubIntegration,
        page: Callable[..., str],
        django_assert_max_num_queries: Callable[..., object],
    ) -> None:
        TeamMemberFactory.create_batch(60, team=integration.team)
        client.force_login(bob)
        with django_assert_max_num_queries(12):  # type: ignore[attr-defined]
            client.get(page("github_members"))


class TestMemberToggle:
    def test_it_switches_off_and_writes_that_down(
        self, client: Client, alice: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        member = TeamMemberFactory(team=integration.team)
        client.force_login(alice)
        response = client.post(page("github_member_toggle", member.pk), {"active": "false"})
        assert response.status_code == 302
        member.refresh_from_db()
        assert not member.is_active
        assert member.deactivated_by == DeactivatedBy.PERSON
        change = MemberChange.objects.get()
        assert (change.kind, change.person) == (MemberChangeKind.SWITCHED_OFF, alice)

    def test_the_same_click_twice_changes_nothing_more(
        self, client: Client, alice: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        member = TeamMemberFactory(team=integration.team)
        client.force_login(alice)
        for _ in range(2):
            client.post(page("github_member_toggle", member.pk), {"active": "false"})
        assert MemberChange.objects.count() == 1

    def test_it_answers_htmx_with_the_row(
        self, client: Client, alice: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        member = TeamMemberFactory(team=integration.team)
        client.force_login(alice)
        address = page("github_member_toggle", member.pk)
        response = client.post(address, {"active": "false"}, headers=HTMX)
        assert f'id="member-{member.pk}"' in response.content.decode()

    def test_another_team_s_person_is_not_there(
        self, client: Client, alice: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        member = TeamMemberFactory()
        client.force_login(alice)
        assert client.post(page("github_member_toggle", member.pk)).status_code == 404
        assert TeamMember.objects.get(pk=member.pk).is_active

    def test_it_is_for_admins(
        self, client: Client, bob: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        member = TeamMemberFactory(team=integration.team)
        client.force_login(bob)
        assert client.post(page("github_member_toggle", member.pk)).status_code == 403


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


class TestDisconnect:
    def test_it_forgets_the_token_and_keeps_the_roster(
        self, client: Client, alice: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        TeamMemberFactory(team=integration.team)
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        client.force_login(alice)
        response = client.post(page("github_disconnect"))
        assert response.headers["Location"] == page("github_connection")
        integration.refresh_from_db()
        assert integration.credential is None
        assert integration.team.members.count() == 1
        run.refresh_from_db()
        assert run.status == SYNC_STATUS_ERROR
        assert run.error_code == "disconnected"

    def test_a_second_click_finds_nothing_to_do(
        self, client: Client, alice: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        client.force_login(alice)
        for _ in range(2):
            assert client.post(page("github_disconnect")).status_code == 302


class TestConnectionPage:
    def test_it_shows_whose_connection_it_is_and_no_token(
        self, client: Client, bob: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        credential = integration.credential
        assert credential is not None
        client.force_login(bob)
        text = client.get(page("github_connection")).content.decode()
        assert credential.github_username in text
        assert credential.access_token not in text

    def test_a_token_that_no_key_reads_says_reconnect(
        self, client: Client, alice: User, integration: GitHubIntegration, page: Callable[..., str]
    ) -> None:
        credential = integration.credential
        assert credential is not None
        credential.encrypted_access_token = "not-a-token"
        credential.save(update_fields=["encrypted_access_token"])
        client.force_login(alice)
        response = client.get(page("github_connection"))
        assert response.status_code == 200
        assert "econnect" in response.content.decode()
        assert client.get(page("github_select_org")).status_code == 502


class TestStyleguide:
    def test_it_shows_every_state_of_the_card(self, rf: RequestFactory, alice: User) -> None:
        request = rf.get("/styleguide/")
        request.user = alice
        SessionMiddleware(lambda _: HttpResponse()).process_request(request)
        MessageMiddleware(lambda _: HttpResponse()).process_request(request)
        text = styleguide(request).content.decode()
        for state in ("never", "pending", "syncing", "waiting", "complete", "error"):
            assert f'data-state="{state}"' in text
        for reason in REASONS:
            assert f"<code>{reason}</code>" in text
