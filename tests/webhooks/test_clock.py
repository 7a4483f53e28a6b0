"""An inbox after the machine's clock was set back."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from integrations.constants import CLOCKS_APART_MAX, WEBHOOK_LEASE, WEBHOOK_RETRY_AFTER_MAX
from integrations.models import GitHubIntegration, WebhookDelivery, WebhookInbox
from integrations.services.webhooks import intake
from tests.webhook_deliveries import membership_payload, person, post, work

if TYPE_CHECKING:
    from datetime import datetime

    from django.test import Client

pytestmark = pytest.mark.django_db(transaction=True)


class TestAClockThatWasSetBack:
    """What was written by a clock an hour ahead holds no delivery up for that hour."""

    @pytest.fixture
    def inbox(self, client: Client, watched: GitHubIntegration) -> WebhookInbox:
        post(client, "organization", membership_payload(watched, "member_added", person(7)))
        WebhookInbox.objects.update(message_at=None)
        return WebhookInbox.objects.get()

    def test_a_lease_from_before_holds_nothing(
        self, inbox: WebhookInbox, watched: GitHubIntegration
    ) -> None:
        hold(inbox, timezone.now() + timedelta(hours=1))
        assert intake.inboxes_to_send(timezone.now()) == [inbox]
        work()
        assert watched.team.members.get().github_id == 7

    def test_a_lease_by_a_clock_a_little_ahead_holds(
        self, inbox: WebhookInbox, watched: GitHubIntegration
    ) -> None:
        hold(inbox, timezone.now() + WEBHOOK_LEASE + CLOCKS_APART_MAX / 2)
        assert not intake.inboxes_to_send(timezone.now())
        work()
        assert not watched.team.members.exists()

    def test_a_message_from_before_is_sent_again(self, inbox: WebhookInbox) -> None:
        now = timezone.now()
        WebhookInbox.objects.update(message_at=now + CLOCKS_APART_MAX / 2)
        assert not intake.inboxes_to_send(now)
        WebhookInbox.objects.update(message_at=now + timedelta(hours=1))
        assert intake.inboxes_to_send(now) == [inbox]

    def test_a_pause_longer_than_any_is_over(self, inbox: WebhookInbox) -> None:
        now = timezone.now()
        WebhookDelivery.objects.update(next_try_at=now + WEBHOOK_RETRY_AFTER_MAX)
        assert not intake.inboxes_to_send(now)
        WebhookDelivery.objects.update(next_try_at=now + timedelta(hours=1))
        assert intake.inboxes_to_send(now) == [inbox]


def hold(inbox: WebhookInbox, until: datetime) -> None:
    """Have another worker hold the inbox."""
    WebhookInbox.objects.filter(pk=inbox.pk).update(
        lease_token=uuid.uuid4(), lease_expires_at=until
    )
