"""Who may enter a team's pages, and the way there: home, sign-up, a new team."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from integrations.models import Team, User

pytestmark = pytest.mark.django_db


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
