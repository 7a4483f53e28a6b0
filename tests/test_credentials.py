"""A credential's life: refreshed once, or revoked and told."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.core import mail
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from integrations import tasks
from integrations.constants import SYNC_STATUS_COMPLETE, SYNC_STATUS_ERROR, CredentialStatus
from integrations.models import GitHubIntegration, IntegrationCredential
from integrations.services import credentials
from integrations.services.credentials import Refreshing
from tests.syncing import connect, resume, roster, start, sync, truth

if TYPE_CHECKING:
    from typing import Any

    from integrations.models import Team, User
    from tests.sandbox_control import SandboxControl, SandboxOrganization

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def credential(organization: SandboxOrganization, sandbox: SandboxControl) -> IntegrationCredential:
    """A credential with a refresh token, whose access token GitHub refuses by now."""
    integration = connect(organization)
    pair = sandbox.pair(organization.owner, expires_in_s=0)
    credential = integration.credential
    assert credential is not None
    credential.access_token, credential.refresh_token = pair["token"], pair["refresh_token"]
    credential.save()
    return credential


@pytest.fixture
def integration(credential: IntegrationCredential) -> GitHubIntegration:
    return credential.integration


class TestRefreshing:
    def test_a_refused_token_is_refreshed_once_and_the_run_goes_on(
        self,
        integration: GitHubIntegration,
        credential: IntegrationCredential,
        organization: SandboxOrganization,
    ) -> None:
        refused = credential.access_token
        run = start(integration)
        tasks.sync_github_members_task.fn(run.pk)
        resume(run)
        assert run.status == SYNC_STATUS_COMPLETE
        assert roster(integration).keys() == truth(organization).keys()
        credential.refresh_from_db()
        assert credential.access_token != refused
        assert credential.status == CredentialStatus.ACTIVE
        assert credential.refreshed_at is not None

    def test_one_that_expires_soon_is_refreshed_before_it_is_refused(
        self, integration: GitHubIntegration, credential: IntegrationCredential
    ) -> None:
        credential.expires_at = timezone.now() + timedelta(minutes=1)
        credential.save()
        run = sync(integration)
        assert run.status == SYNC_STATUS_COMPLETE
        assert run.claim_count == 1

    def test_of_eight_workers_one_refreshes_and_the_others_use_its_pair(
        self, credential: IntegrationCredential
    ) -> None:
        gate, outcomes = threading.Barrier(8), []

        def refused() -> None:
            mine = IntegrationCredential.objects.get(pk=credential.pk)
            gate.wait()
            try:
                outcome = credentials.refresh(mine)
                while outcome is Refreshing.ELSEWHERE:
                    mine = IntegrationCredential.objects.get(pk=credential.pk)
                    if mine.encrypted_access_token != credential.encrypted_access_token:
                        outcome = Refreshing.DONE
                outcomes.append((outcome, mine.access_token))
            finally:
                connection.close()

        threads = [threading.Thread(target=refused) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        credential.refresh_from_db()
        assert outcomes == [(Refreshing.DONE, credential.access_token)] * 8
        assert credential.refresh_claimed_at is None

    def test_a_fresh_token_that_is_refused_too_is_not_refreshed_again(
        self, integration: GitHubIntegration, organization: SandboxOrganization
    ) -> None:
        organization.fault("bad_credentials")
        run = sync(integration)
        resume(run)
        assert (run.status, run.error_code) == (SYNC_STATUS_ERROR, "bad_credentials")
        assert integration.credential is not None
        integration.credential.refresh_from_db()
        assert integration.credential.status == CredentialStatus.REVOKED

    def test_a_used_up_refresh_token_ends_in_a_revocation(
        self, integration: GitHubIntegration, credential: IntegrationCredential
    ) -> None:
        credential.refresh_token = "ghr_used_up"
        credential.save()
        assert sync(integration).error_code == "bad_credentials"
        credential.refresh_from_db()
        assert credential.status == CredentialStatus.REVOKED

    def test_a_claim_whose_holder_died_comes_free(self, credential: IntegrationCredential) -> None:
        credential.refresh_claimed_at = timezone.now()
        credential.save()
        assert credentials.refresh(credential) is Refreshing.ELSEWHERE
        credential.refresh_claimed_at = timezone.now() - timedelta(seconds=61)
        credential.save()
        assert credentials.refresh(credential) is Refreshing.DONE

    def test_while_another_worker_refreshes_the_run_waits_a_moment(
        self, integration: GitHubIntegration, credential: IntegrationCredential
    ) -> None:
        credential.refresh_claimed_at = timezone.now()
        credential.save()
        run = sync(integration)
        assert run.is_active
        assert run.resume_at is not None
        assert run.resume_at - timezone.now() <= timedelta(seconds=2)

    def test_sign_in_pages_that_are_down_cost_no_token(
        self, integration: GitHubIntegration, credential: IntegrationCredential, settings: Any
    ) -> None:
        url, settings.GITHUB_URL = settings.GITHUB_URL, "http://127.0.0.1:9"
        run = sync(integration)
        assert run.is_active
        settings.GITHUB_URL = url
        resume(run)
        resume(run)
        assert run.status == SYNC_STATUS_COMPLETE


class TestTelling:
    @pytest.fixture
    def revoked(self, acme: Team, alice: User, bob: User) -> IntegrationCredential:
        """Acme's credential, just refused; Alice is its admin and Bob is not."""
        integration = GitHubIntegration.objects.create(
            team=acme,
            credential=IntegrationCredential.objects.create(
                team=acme,
                kind="token",
                github_user_id=1,
                github_username="alice-gh",
                connected_at=timezone.now(),
            ),
            organization_id=1,
            organization_login="acme",
        )
        assert integration.credential is not None
        assert credentials.revoke(integration.credential)
        return integration.credential

    def test_the_admins_get_one_e_mail_with_the_way_to_mend_it(
        self, revoked: IntegrationCredential, alice: User
    ) -> None:
        [due] = credentials.take_notices(timezone.now())
        assert credentials.take_notices(timezone.now()) == []
        tasks.notify_admins_task.fn(due)
        tasks.notify_admins_task.fn(due)
        [message] = mail.outbox
        assert message.to == [alice.email]
        assert "Acme" in message.subject
        assert f"{settings.SITE_URL}/t/acme/" in message.body
        assert "@alice-gh" in message.body

    def test_several_admins_get_the_same_message_once(
        self, revoked: IntegrationCredential, acme: Team, alice: User, charlie: User
    ) -> None:
        acme.memberships.create(user=charlie, role="admin")
        tasks.notify_admins_task.fn(revoked.pk)
        [message] = mail.outbox
        assert set(message.to) == {alice.email, charlie.email}

    def test_a_second_refusal_is_no_second_notice(self, revoked: IntegrationCredential) -> None:
        revoked.refresh_from_db()
        assert not credentials.revoke(revoked)

    def test_one_that_could_not_be_sent_is_sent_later(
        self, revoked: IntegrationCredential, settings: Any
    ) -> None:
        now = timezone.now()
        [due] = credentials.take_notices(now)
        backend, settings.EMAIL_BACKEND = (
            settings.EMAIL_BACKEND,
            "django.core.mail.backends.smtp.EmailBackend",
        )
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
        with pytest.raises(OSError, match="refused"):
            tasks.notify_admins_task.fn(due)
        settings.EMAIL_BACKEND = backend
        assert credentials.take_notices(now + timedelta(minutes=9)) == []
        assert credentials.take_notices(now + timedelta(minutes=11)) == [due]
        tasks.notify_admins_task.fn(due)
        assert len(mail.outbox) == 1

    def test_whoever_reconnected_meanwhile_is_not_written_to(
        self, revoked: IntegrationCredential
    ) -> None:
        [due] = credentials.take_notices(timezone.now())
        IntegrationCredential.objects.update(status=CredentialStatus.ACTIVE)
        tasks.notify_admins_task.fn(due)
        assert mail.outbox == []

    def test_after_a_day_it_is_too_late(self, revoked: IntegrationCredential) -> None:
        assert credentials.take_notices(timezone.now() + timedelta(days=2)) == []
        revoked.refresh_from_db()
        assert revoked.notify_at is None

    def test_the_ticker_has_it_sent(self, revoked: IntegrationCredential) -> None:
        call_command("run_scheduler", once=True)
        revoked.refresh_from_db()
        assert revoked.notify_at is not None
        assert revoked.notify_at > timezone.now()
