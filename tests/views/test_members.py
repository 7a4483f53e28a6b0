"""The page of members: search, order, hostile input, and switching a person off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integrations.constants import DeactivatedBy, MemberChangeKind, RunTrigger
from integrations.models import GitHubIntegration, MemberChange, TeamMember
from integrations.services.runs import start_run
from tests.factories import TeamMemberFactory
from tests.views.htmx import HTMX

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from integrations.models import User

pytestmark = pytest.mark.django_db


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
