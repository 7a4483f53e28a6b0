"""The link in an invitation: who joins by it, with an account and without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from integrations.constants import InvitationOutcome, TeamRole
from integrations.models import Team, TeamInvitation, User
from integrations.services import team_people
from tests.factories import MembershipFactory, UserFactory
from tests.team.reading import membership_of, text_of

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db


class TestTheLink:
    def test_looking_at_it_joins_nobody(self, client: Client, dora: User, link: str) -> None:
        client.force_login(dora)
        text = text_of(client.get(link))
        for words in ("Acme", "Alice", "dora@example.com", "Join"):
            assert words in text
        assert not dora.memberships.exists()

    def test_the_invited_joins_with_the_role(
        self, client: Client, dora: User, link: str, acme: Team
    ) -> None:
        client.force_login(dora)
        response = client.post(link)
        assert response.headers["Location"] == reverse("team_home", args=["acme"])
        assert membership_of(dora, acme).role == TeamRole.MEMBER
        assert acme.team_invitations.get().outcome == InvitationOutcome.ACCEPTED

    def test_joining_twice_is_harmless(
        self, client: Client, dora: User, link: str, acme: Team
    ) -> None:
        client.force_login(dora)
        assert client.post(link).status_code == 302
        assert client.post(link).status_code == 302
        assert dora.memberships.count() == 1
        response = client.get(link)
        assert response.status_code == 410
        assert reverse("team_home", args=["acme"]) in text_of(response)

    def test_who_was_removed_cannot_use_it_again(
        self, client: Client, dora: User, link: str, acme: Team, alice: User
    ) -> None:
        client.force_login(dora)
        client.post(link)
        team_people.remove(acme, membership_of(dora, acme).pk, by=alice)
        assert client.post(link).status_code == 410
        assert not dora.memberships.exists()

    def test_an_address_is_the_same_in_capitals(self, client: Client, link: str) -> None:
        user = UserFactory(email="DORA@Example.com")
        client.force_login(user)
        assert client.post(link).status_code == 302
        assert user.memberships.exists()

    @pytest.mark.parametrize("is_verified", [True, False])
    def test_another_address_of_theirs_counts_once_it_is_confirmed(
        self, is_verified: bool, client: Client, charlie: User, link: str
    ) -> None:
        EmailAddress.objects.create(user=charlie, email="dora@example.com", verified=is_verified)
        client.force_login(charlie)
        assert client.post(link).status_code == (302 if is_verified else 403)

    @pytest.mark.parametrize("method", ["get", "post"])
    def test_for_somebody_else_it_is_none(
        self, method: str, client: Client, charlie: User, link: str, acme: Team
    ) -> None:
        client.force_login(charlie)
        response = getattr(client, method)(link)
        assert response.status_code == 403
        text = text_of(response)
        assert "signed in as charlie@example.com" in text
        assert "Sign in as someone else" in text
        assert not acme.memberships.filter(user=charlie).exists()

    def test_somebody_else_signs_out_and_is_back_at_it(
        self, client: Client, charlie: User, link: str
    ) -> None:
        client.force_login(charlie)
        response = client.post(reverse("account_logout"), {"next": link}, follow=True)
        assert response.redirect_chain[-1][0] == link
        assert f"{reverse('account_login')}?next={link}" in text_of(response)

    def test_an_admin_who_was_invited_as_a_member_stays_an_admin(
        self, client: Client, dora: User, link: str, acme: Team
    ) -> None:
        MembershipFactory(team=acme, user=dora, role=TeamRole.ADMIN)
        client.force_login(dora)
        client.post(link)
        assert membership_of(dora, acme).is_admin

    @pytest.mark.parametrize("method", ["get", "post"])
    def test_an_expired_one_leads_nowhere(
        self, method: str, client: Client, dora: User, link: str
    ) -> None:
        TeamInvitation.objects.update(expires_at=timezone.now())
        client.force_login(dora)
        response = getattr(client, method)(link)
        assert response.status_code == 410
        assert "has expired" in text_of(response)
        assert not dora.memberships.exists()

    @pytest.mark.parametrize("token", ["a", "x" * 43, "0" * 64, "y" * 2000])
    def test_an_unknown_one_leads_nowhere(self, token: str, client: Client) -> None:
        response = client.get(f"/invitations/{token}/")
        assert response.status_code == 404
        assert "There is no such invitation" in text_of(response)

    def test_the_hash_is_no_token(self, client: Client, invited: TeamInvitation) -> None:
        assert client.get(f"/invitations/{invited.token_hash}/").status_code == 404

    def test_it_is_kept_by_no_cache(self, client: Client, link: str) -> None:
        assert "no-store" in client.get(link).headers["Cache-Control"]


class TestComingWithoutAnAccount:
    NEW = {"email": "dora@example.com", "password1": "long-enough-pw"}

    def test_the_link_leads_to_sign_up_and_sign_in(self, client: Client, link: str) -> None:
        text = text_of(client.get(link))
        for name in ("account_signup", "account_login"):
            assert f"{reverse(name)}?next={link}" in text

    def test_a_post_leads_to_sign_in(self, client: Client, link: str) -> None:
        response = client.post(link)
        assert response.headers["Location"] == f"{reverse('account_login')}?next={link}"

    def test_signing_up_asks_for_no_team_and_no_confirmation_and_leads_back(
        self, client: Client, link: str, settings: Any
    ) -> None:
        settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
        client.get(link)
        asked = text_of(client.get(reverse("account_signup"), {"next": link}))
        assert "team_name" not in asked
        assert 'value="dora@example.com"' in asked
        sent_count = len(mail.outbox)
        response = client.post(reverse("account_signup"), self.NEW | {"next": link})
        assert response.headers["Location"] == link
        assert len(mail.outbox) == sent_count
        dora = User.objects.get(email="dora@example.com")
        assert not dora.memberships.exists()
        client.post(link)
        assert [one.team.slug for one in dora.memberships.all()] == ["acme"]

    def test_another_address_is_to_be_confirmed_as_ever(
        self, client: Client, link: str, settings: Any
    ) -> None:
        settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
        client.get(link)
        wanted = self.NEW | {"email": "eve@example.com", "next": link}
        client.post(reverse("account_signup"), wanted)
        assert not EmailAddress.objects.get(email="eve@example.com").verified

    @pytest.mark.parametrize("address", ["", "/", "/invitations/nothing/", "//evil.example/"])
    def test_everybody_else_names_a_team(self, address: str, client: Client) -> None:
        response = client.post(reverse("account_signup"), self.NEW | {"next": address})
        assert response.status_code == 200
        assert "team_name" in text_of(response)
        assert not User.objects.exists()
