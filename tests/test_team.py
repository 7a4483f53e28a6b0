"""A team's settings: its people and their roles, invitations by e-mail, and its end."""

from __future__ import annotations

import re
import threading
from datetime import timedelta
from smtplib import SMTPRecipientsRefused
from typing import TYPE_CHECKING, Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import connection as database
from django.urls import reverse
from django.utils import timezone

from integrations.constants import (
    INVITATION_KEPT_FOR,
    INVITATION_MAILS_MAX,
    INVITATIONS_OPEN_MAX,
    SYNC_STATUS_ERROR,
    ConnectionKind,
    InvitationOutcome,
    RunTrigger,
    TeamRole,
)
from integrations.github import rest
from integrations.github.errors import BadCredentials
from integrations.github.http import GitHubClient
from integrations.live.channels import TeamChannels, channel_of
from integrations.models import (
    GitHubIntegration,
    IntegrationCredential,
    Membership,
    SyncRun,
    Team,
    TeamInvitation,
    TeamMember,
    User,
)
from integrations.services import connection, invitations, retention, team_people
from integrations.services.runs import start_run
from tests.factories import (
    GitHubIntegrationFactory,
    IntegrationCredentialFactory,
    MembershipFactory,
    TeamInvitationFactory,
    TeamMemberFactory,
    TrackedRepositoryFactory,
    UserFactory,
)
from tests.test_connecting import begin, consent

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client
    from pytest_django import DjangoCaptureOnCommitCallbacks

    from tests.sandbox_control import SandboxOrganization

pytestmark = pytest.mark.django_db

HOSTILE = "\"><script>alert('x')</script>"


@pytest.fixture
def page(acme: Team) -> Callable[..., str]:
    """The address of one of acme's pages."""
    return lambda name, *args: reverse(name, args=[acme.slug, *args])


@pytest.fixture
def as_alice(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


@pytest.fixture
def as_bob(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


def text_of(response: Any) -> str:
    text: str = response.content.decode()
    return text


def membership_of(person: User, team: Team) -> Membership:
    return Membership.objects.get(team=team, user=person)


def link_in(message: mail.EmailMessage) -> str:
    """Return the path of the link in a mail."""
    found = re.search(r"https?://[^/]+(/invitations/[\w-]+/)", str(message.body))
    assert found is not None
    return found.group(1)


@pytest.fixture
def invited(acme: Team, alice: User) -> TeamInvitation:
    """An invitation that Alice sent to Dora."""
    return invitations.invite(acme, "dora@example.com", TeamRole.MEMBER, by=alice)


@pytest.fixture
def link(invited: TeamInvitation) -> str:
    return link_in(mail.outbox[-1])


@pytest.fixture
def dora(db: None) -> User:
    """A person with an account and no team."""
    dora: User = UserFactory(email="dora@example.com", first_name="Dora")
    return dora


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


class TestDeleting:
    @pytest.mark.parametrize("typed", ["", "Acme", "acme2"])
    def test_the_short_name_has_to_be_typed(
        self, typed: str, as_alice: Client, acme: Team, page: Callable[..., str]
    ) -> None:
        response = as_alice.post(page("team_delete"), {"slug": typed})
        assert response.status_code == 400
        assert "Nothing was deleted" in text_of(response)
        assert Team.objects.filter(pk=acme.pk).exists()

    def test_it_can_be_reached_without_scripts(
        self, as_alice: Client, page: Callable[..., str]
    ) -> None:
        text = text_of(as_alice.get(page("team_settings")))
        assert 'href="#delete"' in text
        assert '<dialog class="dialog" id="delete"' in text

    def test_everything_of_the_team_goes_and_nothing_else(
        self,
        as_alice: Client,
        acme: Team,
        alice: User,
        charlie: User,
        page: Callable[..., str],
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        integration = GitHubIntegrationFactory(team=acme)
        TrackedRepositoryFactory(integration=integration)
        TeamMemberFactory.create_batch(3, team=acme)
        TeamInvitationFactory(team=acme)
        run = start_run(integration, trigger=RunTrigger.MANUAL, person=alice).run
        other = GitHubIntegrationFactory(team=charlie.memberships.get().team)
        kept = TeamMemberFactory(team=other.team)
        with django_capture_on_commit_callbacks(execute=True):
            response = as_alice.post(page("team_delete"), {"slug": " acme "})
        assert response.headers["Location"] == reverse("home")
        assert not Team.objects.filter(pk=acme.pk).exists()
        assert not SyncRun.objects.filter(pk=run.pk).exists()
        assert list(TeamMember.objects.all()) == [kept]
        assert list(GitHubIntegration.objects.all()) == [other]
        assert list(IntegrationCredential.objects.all()) == [other.credential]
        assert not TeamInvitation.objects.exists()
        assert User.objects.filter(pk=alice.pk).exists()
        assert not TeamChannels().can_read_channel(alice, channel_of(acme.pk))

    def test_what_runs_is_ended_before(
        self, acme: Team, alice: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = start_run(GitHubIntegrationFactory(team=acme), trigger=RunTrigger.MANUAL).run
        seen = []
        disconnect = connection.disconnect

        def note(integration: GitHubIntegration) -> bool:
            done = disconnect(integration)
            run.refresh_from_db()
            seen.append(run.status)
            return done

        monkeypatch.setattr(connection, "disconnect", note)
        team_people.delete(acme, by=alice)
        assert seen == [SYNC_STATUS_ERROR]

    def test_the_token_is_revoked_at_github(
        self,
        as_alice: Client,
        acme: Team,
        alice: User,
        organization: SandboxOrganization,
        settings: Any,
    ) -> None:
        asked = begin(as_alice, acme)
        code = consent(asked, organization)
        as_alice.get(reverse("github_callback"), {"state": asked["state"], "code": code})
        token = IntegrationCredential.objects.get(team=acme).access_token
        team_people.delete(acme, by=alice)
        with pytest.raises(BadCredentials):
            rest.viewer(GitHubClient(token=token, api_url=settings.GITHUB_API_URL))

    def test_a_github_that_refuses_keeps_nobody_s_team(
        self, acme: Team, alice: User, settings: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings.GITHUB_CLIENT_SECRET = "another-one"
        credential = IntegrationCredentialFactory(team=acme, kind=ConnectionKind.OAUTH)
        GitHubIntegrationFactory(team=acme, credential=credential)
        team_people.delete(acme, by=alice)
        assert "token not revoked" in caplog.text
        assert not Team.objects.filter(slug="acme").exists()

    def test_a_github_that_is_away_keeps_nobody_s_team(
        self, acme: Team, alice: User, settings: Any
    ) -> None:
        settings.GITHUB_API_URL = "http://127.0.0.1:1/api/v3"
        credential = IntegrationCredentialFactory(team=acme, kind=ConnectionKind.OAUTH)
        GitHubIntegrationFactory(team=acme, credential=credential)
        team_people.delete(acme, by=alice)
        assert not Team.objects.filter(slug="acme").exists()

    def test_a_link_into_it_leads_nowhere(
        self, client: Client, acme: Team, alice: User, dora: User, link: str
    ) -> None:
        team_people.delete(acme, by=alice)
        client.force_login(dora)
        assert client.post(link).status_code == 404

    def test_only_an_admin_does_it(self, acme: Team, alice: User, bob: User) -> None:
        with pytest.raises(team_people.NotAnAdmin):
            team_people.delete(acme, by=bob)
        assert Team.objects.filter(pk=acme.pk).exists()


def at_once(*actions: Callable[[], object]) -> list[object]:
    """Do these in threads of their own at the same moment; return what they returned or raised."""
    gate, outcomes = threading.Barrier(len(actions)), []

    def act(action: Callable[[], object]) -> None:
        gate.wait()
        try:
            outcomes.append(action())
        except Exception as exc:  # whatever it is, the test looks at it
            outcomes.append(exc)
        finally:
            database.close()

    threads = [threading.Thread(target=act, args=[action]) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    @pytest.fixture
    def two_admins(self, acme: Team, alice: User, bob: User) -> tuple[Membership, Membership]:
        Membership.objects.filter(user=bob).update(role=TeamRole.ADMIN)
        return membership_of(alice, acme), membership_of(bob, acme)

    def test_two_admins_who_demote_each_other_leave_one(
        self, acme: Team, alice: User, bob: User, two_admins: tuple[Membership, Membership]
    ) -> None:
        of_alice, of_bob = (membership.pk for membership in two_admins)
        outcomes = at_once(
            lambda: team_people.change_role(acme, of_bob, TeamRole.MEMBER, by=alice),
            lambda: team_people.change_role(acme, of_alice, TeamRole.MEMBER, by=bob),
        )
        assert acme.memberships.filter(role=TeamRole.ADMIN).count() == 1
        assert [type(one) for one in outcomes].count(team_people.NotAnAdmin) == 1

    def test_two_admins_who_leave_leave_one(
        self, acme: Team, alice: User, bob: User, two_admins: tuple[Membership, Membership]
    ) -> None:
        outcomes = at_once(
            lambda: team_people.leave(acme, alice), lambda: team_people.leave(acme, bob)
        )
        assert acme.memberships.get().is_admin
        assert [type(one) for one in outcomes].count(team_people.LastAdmin) == 1

    def test_two_invitations_of_one_address_leave_one_open(self, acme: Team, alice: User) -> None:
        def invite() -> TeamInvitation:
            return invitations.invite(acme, "dora@example.com", TeamRole.MEMBER, by=alice)

        outcomes = at_once(invite, invite)
        assert all(isinstance(one, TeamInvitation) for one in outcomes)
        assert acme.team_invitations.open().count() == 1

    def test_joining_twice_at_once_joins_once(self, acme: Team, dora: User, link: str) -> None:
        token = link.split("/")[2]
        outcomes = at_once(*[lambda: invitations.accept(token, person=dora)] * 2)
        assert outcomes == [acme, acme]
        assert dora.memberships.count() == 1

    def test_two_who_delete_it_both_find_it_gone(
        self, acme: Team, alice: User, bob: User, two_admins: tuple[Membership, Membership]
    ) -> None:
        GitHubIntegrationFactory(team=acme)
        again = Team.objects.get(pk=acme.pk)
        outcomes = at_once(
            lambda: team_people.delete(acme, by=alice), lambda: team_people.delete(again, by=bob)
        )
        assert not Team.objects.filter(slug="acme").exists()
        assert {type(one) for one in outcomes} <= {type(None), team_people.NotAnAdmin}
