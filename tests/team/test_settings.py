"""The page of a team's settings: who may do what there, what it shows, and renaming."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core import mail
from django.urls import reverse

from integrations.constants import TeamRole
from integrations.services import invitations
from tests.factories import MembershipFactory, TeamInvitationFactory, UserFactory
from tests.team.reading import link_in, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from integrations.models import Team, TeamInvitation, User

pytestmark = pytest.mark.django_db

HOSTILE = "\"><script>alert('x')</script>"


class TestWhoMayDoWhat:
    ACTIONS = ("team_invite", "team_delete")
    ROW_ACTIONS = (
        "team_person_role",
        "team_person_remove",
        "team_invitation_send",
        "team_invitation_withdraw",
    )

    def test_the_anonymous_are_led_to_sign_in(
        self, client: Client, page: Callable[..., str]
    ) -> None:
        response = client.get(page("team_settings"))
        assert response.headers["Location"].startswith(reverse("account_login"))

    @pytest.mark.parametrize("name", ["team_settings", "team_leave", *ACTIONS])
    def test_for_strangers_the_team_is_not_there(
        self, name: str, client: Client, charlie: User, page: Callable[..., str]
    ) -> None:
        client.force_login(charlie)
        assert client.post(page(name)).status_code == 404
        assert client.get(page("team_settings")).status_code == 404

    @pytest.mark.parametrize("name", ["team_settings", *ACTIONS])
    def test_a_member_may_not_act(
        self, name: str, as_bob: Client, alice: User, page: Callable[..., str]
    ) -> None:
        assert as_bob.post(page(name), {"team_name": "Bob's"}).status_code == 403

    @pytest.mark.parametrize("name", ROW_ACTIONS)
    def test_a_member_may_not_act_on_a_row(
        self, name: str, as_bob: Client, page: Callable[..., str], invited: TeamInvitation
    ) -> None:
        assert as_bob.post(page(name, invited.pk), {"role": "admin"}).status_code == 403

    @pytest.mark.parametrize("name", [*ACTIONS, "team_leave"])
    def test_acting_takes_a_post(
        self, name: str, as_alice: Client, page: Callable[..., str]
    ) -> None:
        assert as_alice.get(page(name)).status_code == 405

    @pytest.mark.parametrize("name", ROW_ACTIONS)
    def test_acting_on_a_row_takes_a_post(
        self, name: str, as_alice: Client, page: Callable[..., str]
    ) -> None:
        assert as_alice.get(page(name, 1)).status_code == 405

    def test_other_methods_are_none(self, as_alice: Client, page: Callable[..., str]) -> None:
        assert as_alice.put(page("team_settings")).status_code == 405
        assert as_alice.delete("/invitations/abc/").status_code == 405

    @pytest.mark.parametrize("name", ROW_ACTIONS)
    @pytest.mark.parametrize("number", [999_999, 10**30])
    def test_a_row_that_is_not_there_is_said_to_be_none(
        self, name: str, number: int, as_alice: Client, page: Callable[..., str]
    ) -> None:
        assert as_alice.post(page(name, number), {"role": "admin"}).status_code == 404

    def test_rows_of_another_team_are_out_of_reach(
        self, as_alice: Client, charlie: User, page: Callable[..., str]
    ) -> None:
        theirs = charlie.memberships.get()
        invitation = TeamInvitationFactory(team=theirs.team)
        for name in ("team_person_role", "team_person_remove"):
            response = as_alice.post(page(name, theirs.pk), {"role": "member"})
            assert response.status_code == 404
        for name in ("team_invitation_send", "team_invitation_withdraw"):
            assert as_alice.post(page(name, invitation.pk)).status_code == 404
        assert charlie.memberships.get().is_admin
        assert theirs.team.team_invitations.open().count() == 1


class TestThePage:
    def test_an_admin_sees_people_and_what_can_be_done(
        self, as_alice: Client, bob: User, page: Callable[..., str], invited: TeamInvitation
    ) -> None:
        response = as_alice.get(page("team_settings"))
        text = text_of(response)
        assert response.status_code == 200
        for words in ("bob@example.com", "dora@example.com", "Make an admin", "Invite", "Delete"):
            assert words in text

    def test_a_member_sees_the_people_and_may_leave(
        self, as_bob: Client, invited: TeamInvitation, page: Callable[..., str]
    ) -> None:
        text = text_of(as_bob.get(page("team_settings")))
        assert "alice@example.com" in text
        assert page("team_leave") in text
        assert "dora@example.com" not in text
        for name in ("team_invite", "team_delete"):
            assert page(name) not in text
        assert "Make an admin" not in text

    def test_the_tabs_lead_to_it(self, as_bob: Client, page: Callable[..., str]) -> None:
        assert page("team_settings") in text_of(as_bob.get(page("github_members")))

    def test_hostile_names_are_text(
        self, as_alice: Client, alice: User, acme: Team, page: Callable[..., str]
    ) -> None:
        UserFactory(email="eve@example.com", first_name=HOSTILE).memberships.create(team=acme)
        acme.name = HOSTILE
        acme.save(update_fields=["name"])
        invitations.invite(acme, "dora@example.com", TeamRole.MEMBER, by=alice)
        path = link_in(mail.outbox[-1])
        for address in (page("team_settings"), path):
            assert "<script>alert" not in text_of(as_alice.get(address))

    def test_many_people_cost_a_page_and_no_query_each(
        self,
        as_alice: Client,
        acme: Team,
        page: Callable[..., str],
        django_assert_max_num_queries: Any,
    ) -> None:
        for _ in range(101):
            MembershipFactory(team=acme)
        with django_assert_max_num_queries(12):
            text = text_of(as_alice.get(page("team_settings")))
        assert text.count('<tr id="person-') == 100
        second = text_of(as_alice.get(page("team_settings"), {"page": "2"}))
        assert second.count('<tr id="person-') == 2


class TestRenaming:
    def test_the_name_changes_and_the_address_does_not(
        self, as_alice: Client, acme: Team, page: Callable[..., str]
    ) -> None:
        response = as_alice.post(page("team_settings"), {"team_name": "  New \n Name "})
        assert response.headers["Location"] == page("team_settings")
        acme.refresh_from_db()
        assert (acme.name, acme.slug) == ("New Name", "acme")

    @pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\0b"])
    def test_a_bad_name_is_told(
        self, name: str, as_alice: Client, acme: Team, page: Callable[..., str]
    ) -> None:
        response = as_alice.post(page("team_settings"), {"team_name": name})
        assert response.status_code == 400
        assert "errorlist" in text_of(response)
        acme.refresh_from_db()
        assert acme.name == "Acme"
