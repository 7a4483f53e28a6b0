"""Inviting by e-mail: what the mail holds, how many there may be, and sending again."""

from __future__ import annotations

from datetime import timedelta
from smtplib import SMTPRecipientsRefused
from typing import TYPE_CHECKING, Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.utils import timezone

from integrations.constants import (
    INVITATION_KEPT_FOR,
    INVITATION_MAILS_MAX,
    INVITATIONS_OPEN_MAX,
    TeamRole,
)
from integrations.models import Team, TeamInvitation, User
from integrations.services import invitations, retention
from tests.factories import TeamInvitationFactory
from tests.team.reading import link_in, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db


class TestInviting:
    def test_the_address_gets_a_link(
        self, as_alice: Client, acme: Team, page: Callable[..., str]
    ) -> None:
        response = as_alice.post(
            page("team_invite"), {"email": "Dora@Example.com", "role": "admin"}, follow=True
        )
        assert "on its way to dora@example.com" in text_of(response)
        invitation = acme.team_invitations.get()
        assert (invitation.email, invitation.role) == ("dora@example.com", TeamRole.ADMIN)
        assert invitation.sent_at is not None
        assert invitation.expires_at - invitation.created_at == timedelta(days=7)

    def test_the_mail_says_who_invites_whom_whereto(self, link: str, settings: Any) -> None:
        [message] = mail.outbox
        assert message.to == ["dora@example.com"]
        assert message.subject == "Join Acme on Rollcall"
        for words in ("Alice (alice@example.com)", "Acme", f"{settings.SITE_URL}{link}"):
            assert words in str(message.body)

    def test_names_stand_in_the_mail_as_they_are(self, acme: Team, alice: User) -> None:
        acme.name = "R&D\r\nBcc: all@example.com"
        acme.save(update_fields=["name"])
        invitations.invite(acme, "dora@example.com", TeamRole.MEMBER, by=alice)
        assert mail.outbox[0].subject == "Join R&D Bcc: all@example.com on Rollcall"
        assert mail.outbox[0].recipients() == ["dora@example.com"]

    def test_the_token_is_in_the_mail_alone(self, link: str, invited: TeamInvitation) -> None:
        token = link.split("/")[2]
        assert len(token) >= 43
        assert token not in invited.token_hash
        assert len(invited.token_hash) == 64

    @pytest.mark.parametrize(
        ("email", "role"),
        [
            ("", "member"),
            ("nobody", "member"),
            ("dora@example.com\nBcc: all@example.com", "member"),
            ("dora@example.com, eve@example.com", "member"),
            (f"{'d' * 250}@example.com", "member"),
            ("dora@example.com", "owner"),
        ],
    )
    def test_bad_input_is_told(
        self, email: str, role: str, as_alice: Client, page: Callable[..., str]
    ) -> None:
        response = as_alice.post(page("team_invite"), {"email": email, "role": role})
        assert response.status_code == 400
        assert "errorlist" in text_of(response)
        assert not mail.outbox
        assert not TeamInvitation.objects.exists()

    def test_who_is_in_the_team_is_not_invited(
        self, as_alice: Client, bob: User, page: Callable[..., str]
    ) -> None:
        response = as_alice.post(page("team_invite"), {"email": "BOB@example.com", "role": "admin"})
        assert response.status_code == 409
        assert "in the team already" in text_of(response)
        assert not mail.outbox

    def test_inviting_again_renews_the_link(
        self, as_alice: Client, link: str, acme: Team, page: Callable[..., str]
    ) -> None:
        as_alice.post(page("team_invite"), {"email": "dora@example.com", "role": "admin"})
        assert acme.team_invitations.open().get().role == TeamRole.ADMIN
        assert "A newer invitation" in text_of(as_alice.get(link))
        assert link_in(mail.outbox[-1]) != link

    def test_sending_again_renews_the_link_and_its_week(
        self, as_alice: Client, link: str, invited: TeamInvitation, page: Callable[..., str]
    ) -> None:
        TeamInvitation.objects.update(expires_at=timezone.now() - timedelta(days=1))
        assert "Expired" in text_of(as_alice.get(page("team_settings")))
        assert as_alice.post(page("team_invitation_send", invited.pk)).status_code == 302
        newer = TeamInvitation.objects.open().get()
        assert not newer.is_expired
        assert as_alice.post(page("team_invitation_send", invited.pk)).status_code == 404

    def test_a_withdrawn_one_leads_nowhere(
        self, as_alice: Client, link: str, invited: TeamInvitation, page: Callable[..., str]
    ) -> None:
        as_alice.post(page("team_invitation_withdraw", invited.pk))
        assert 'id="invitation-' not in text_of(as_alice.get(page("team_settings")))
        response = as_alice.get(link)
        assert response.status_code == 410
        assert "withdrawn" in text_of(response)

    def test_so_many_are_open_and_no_more(
        self, as_alice: Client, acme: Team, page: Callable[..., str]
    ) -> None:
        long_ago = timezone.now() - timedelta(hours=2)
        TeamInvitationFactory.create_batch(INVITATIONS_OPEN_MAX, team=acme, created_at=long_ago)
        wanted = {"email": "dora@example.com", "role": "member"}
        response = as_alice.post(page("team_invite"), wanted)
        assert response.status_code == 429
        assert "Too many invitations" in text_of(response)
        TeamInvitation.objects.filter(pk=TeamInvitation.objects.latest("pk").pk).update(
            expires_at=timezone.now()
        )
        assert as_alice.post(page("team_invite"), wanted).status_code == 302

    def test_so_many_mails_go_in_an_hour_and_no_more(
        self, as_alice: Client, acme: Team, page: Callable[..., str]
    ) -> None:
        wanted = {"email": "dora@example.com", "role": "member"}
        for _ in range(INVITATION_MAILS_MAX):
            assert as_alice.post(page("team_invite"), wanted).status_code == 302
        response = as_alice.post(page("team_invite"), wanted)
        assert response.status_code == 429
        assert "in an hour" in text_of(response)
        assert len(mail.outbox) == INVITATION_MAILS_MAX
        TeamInvitation.objects.update(created_at=timezone.now() - timedelta(hours=1))
        assert as_alice.post(page("team_invite"), wanted).status_code == 302

    @pytest.mark.parametrize(
        "failure", [ConnectionRefusedError(), TimeoutError(), SMTPRecipientsRefused({})]
    )
    def test_without_a_mail_server_it_is_kept_and_can_be_sent_again(
        self,
        failure: Exception,
        as_alice: Client,
        acme: Team,
        page: Callable[..., str],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def fail(*_: Any) -> int:
            raise failure

        with monkeypatch.context() as patched:
            patched.setattr(EmailBackend, "send_messages", fail)
            response = as_alice.post(
                page("team_invite"), {"email": "dora@example.com", "role": "member"}
            )
        assert response.status_code == 503
        text = text_of(response)
        for words in ("the mail couldn&#x27;t be sent", "Not sent", "Send again"):
            assert words in text
        assert "invitation not sent" in caplog.text
        kept = acme.team_invitations.open().get()
        assert as_alice.post(page("team_invitation_send", kept.pk)).status_code == 302
        assert acme.team_invitations.open().get().sent_at is not None

    def test_a_domain_that_mail_does_not_know_is_no_error_of_ours(
        self, as_alice: Client, page: Callable[..., str]
    ) -> None:
        email = f"dora@{'ü' * 60}.example"
        response = as_alice.post(page("team_invite"), {"email": email, "role": "member"})
        assert response.status_code == 503

    def test_old_ones_are_forgotten(self, acme: Team) -> None:
        now = timezone.now()
        TeamInvitationFactory(team=acme, expires_at=now - INVITATION_KEPT_FOR - timedelta(hours=1))
        kept = TeamInvitationFactory(team=acme, expires_at=now - timedelta(days=1))
        retention.prune(now)
        assert list(TeamInvitation.objects.all()) == [kept]
