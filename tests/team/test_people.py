"""A team's people: their roles, leaving, and being removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from integrations.constants import InvitationOutcome, TeamRole
from integrations.live.channels import TeamChannels, channel_of
from integrations.models import Membership, Team, User
from integrations.services import team_people
from tests.factories import TeamInvitationFactory
from tests.team.reading import membership_of, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client
    from pytest_django import DjangoCaptureOnCommitCallbacks

pytestmark = pytest.mark.django_db


class TestRoles:
    def test_an_admin_makes_another(
        self, as_alice: Client, bob: User, acme: Team, page: Callable[..., str]
    ) -> None:
        address = page("team_person_role", membership_of(bob, acme).pk)
        response = as_alice.post(address, {"role": "admin"}, follow=True)
        assert "Bob is an admin now." in text_of(response)
        assert membership_of(bob, acme).is_admin

    def test_an_admin_steps_down_where_there_is_another(
        self, as_alice: Client, alice: User, bob: User, acme: Team, page: Callable[..., str]
    ) -> None:
        Membership.objects.filter(user=bob).update(role=TeamRole.ADMIN)
        address = page("team_person_role", membership_of(alice, acme).pk)
        response = as_alice.post(address, {"role": "member"}, follow=True)
        assert response.status_code == 200
        assert not membership_of(alice, acme).is_admin

    @pytest.mark.parametrize("role", ["", "owner", "ADMIN"])
    def test_other_roles_are_none(
        self, role: str, as_alice: Client, bob: User, acme: Team, page: Callable[..., str]
    ) -> None:
        address = page("team_person_role", membership_of(bob, acme).pk)
        assert as_alice.post(address, {"role": role}).status_code == 400
        assert not membership_of(bob, acme).is_admin

    def test_the_last_admin_stays_one(
        self, as_alice: Client, alice: User, bob: User, acme: Team, page: Callable[..., str]
    ) -> None:
        number = membership_of(alice, acme).pk
        for address in (
            page("team_person_role", number),
            page("team_person_remove", number),
            page("team_leave"),
        ):
            response = as_alice.post(address, {"role": "member"})
            assert response.status_code == 409
            assert "A team needs an admin" in text_of(response)
            assert membership_of(alice, acme).is_admin

    def test_an_admin_who_cannot_sign_in_does_not_count(
        self, as_alice: Client, alice: User, bob: User, acme: Team, page: Callable[..., str]
    ) -> None:
        Membership.objects.filter(user=bob).update(role=TeamRole.ADMIN)
        User.objects.filter(pk=bob.pk).update(is_active=False)
        assert as_alice.post(page("team_leave")).status_code == 409

    def test_one_who_stopped_being_an_admin_meanwhile_is_refused(
        self, alice: User, bob: User, acme: Team
    ) -> None:
        with pytest.raises(team_people.NotAnAdmin):
            team_people.remove(acme, membership_of(alice, acme).pk, by=bob)


class TestLeavingAndRemoving:
    def test_a_member_leaves(
        self, as_bob: Client, alice: User, bob: User, page: Callable[..., str]
    ) -> None:
        response = as_bob.post(page("team_leave"))
        assert response.headers["Location"] == reverse("home")
        assert not bob.memberships.exists()
        assert as_bob.get(page("github_members")).status_code == 404

    def test_leaving_twice_is_harmless(self, alice: User, bob: User, acme: Team) -> None:
        team_people.leave(acme, bob)
        team_people.leave(acme, bob)

    def test_an_admin_removes_a_person(
        self, as_alice: Client, bob: User, acme: Team, page: Callable[..., str]
    ) -> None:
        address = page("team_person_remove", membership_of(bob, acme).pk)
        assert "Bob is no longer in the team." in text_of(as_alice.post(address, follow=True))
        assert not bob.memberships.exists()

    def test_an_admin_who_removes_themself_is_led_home(
        self, as_alice: Client, alice: User, bob: User, acme: Team, page: Callable[..., str]
    ) -> None:
        Membership.objects.filter(user=bob).update(role=TeamRole.ADMIN)
        address = page("team_person_remove", membership_of(alice, acme).pk)
        assert as_alice.post(address).headers["Location"] == reverse("home")

    def test_who_is_out_may_listen_no_more(
        self,
        alice: User,
        bob: User,
        acme: Team,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        channels, channel = TeamChannels(), channel_of(acme.pk)
        assert channels.can_read_channel(bob, channel)
        with django_capture_on_commit_callbacks(execute=True) as callbacks:
            team_people.remove(acme, membership_of(bob, acme).pk, by=alice)
        assert not channels.can_read_channel(bob, channel)
        assert len(callbacks) == 1

    def test_an_invitation_that_lies_in_their_mailbox_ends(
        self, alice: User, bob: User, acme: Team
    ) -> None:
        TeamInvitationFactory(team=acme, email=bob.email)
        team_people.remove(acme, membership_of(bob, acme).pk, by=alice)
        assert acme.team_invitations.get().outcome == InvitationOutcome.WITHDRAWN
