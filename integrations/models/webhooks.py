"""What GitHub sent us: each delivery as it came, and one inbox an account where they wait."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from integrations.constants import DeliveryStatus


class WebhookInbox(models.Model):
    """The deliveries of one account: applied in turn, by one worker at a time.

    However many arrive at once, one message is on its way to the workers (`message_at`).
    """

    # The organisation's id, or a person's; 0 for what is about no account (a ping).
    account_id = models.BigIntegerField(unique=True)
    # When a message was sent that no worker has answered yet; null: none is on its way.
    message_at = models.DateTimeField(null=True, blank=True)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "webhook inboxes"

    def __str__(self) -> str:
        return f"inbox of account {self.account_id}"


class WebhookDelivery(models.Model):
    """One delivery, stored before it is answered; GitHub's GUID makes it one however often sent."""

    # X-GitHub-Delivery: the same when GitHub sends it again.
    guid = models.CharField(max_length=100, unique=True)
    inbox = models.ForeignKey(WebhookInbox, on_delete=models.CASCADE, related_name="deliveries")
    event = models.CharField(max_length=100)
    action = models.CharField(max_length=100, blank=True, default="")
    installation_id = models.BigIntegerField(null=True, blank=True)
    # The GitHub id of the person or repository that it is about, where it is about one.
    subject_id = models.BigIntegerField(null=True, blank=True)
    headers = models.JSONField(default=dict)
    body = models.TextField()
    # When it happened at GitHub, as well as we can tell (services/webhooks/intake.py).
    happened_at = models.DateTimeField()
    received_at = models.DateTimeField()
    # Which of GITHUB_WEBHOOK_SECRET signed it: 0 is the newest.
    secret_index = models.PositiveSmallIntegerField(default=0)

    status = models.CharField(
        max_length=10, choices=DeliveryStatus.choices, default=DeliveryStatus.PENDING
    )
    # Why it changed nothing or failed, as a word; services/webhooks/ knows them.
    outcome = models.CharField(max_length=40, blank=True, default="")
    attempt_count = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, blank=True)
    applied_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "webhook deliveries"
        ordering = ["-pk"]
        indexes = [
            # services/webhooks/: what waits in an inbox, in the order of arrival.
            models.Index(
                fields=["inbox", "id"],
                condition=Q(status=DeliveryStatus.PENDING),
                name="deliveries_waiting",
            ),
            # views/webhooks.py: an account's latest.
            models.Index(fields=["inbox", "-id"], name="deliveries_latest_first"),
            # What was heard of a person (services/webhooks/missed.py).
            models.Index(
                fields=["inbox", "subject_id", "received_at"], name="deliveries_by_subject"
            ),
            # services/retention.py
            models.Index(fields=["received_at"], name="deliveries_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.guid}"

    @property
    def name(self) -> str:
        return f"{self.event}.{self.action}" if self.action else self.event


class DeliverySearch(models.Model):
    """The one row that says when GitHub is next asked which deliveries failed."""

    next_at = models.DateTimeField(null=True, blank=True)
    # Deliveries up to here were looked through.
    searched_until = models.DateTimeField(null=True, blank=True)
    # Of the last search that found any.
    found_at = models.DateTimeField(null=True, blank=True)
    found_count = models.PositiveIntegerField(default=0)
    error_code = models.CharField(max_length=40, blank=True, default="")

    class Meta:
        verbose_name_plural = "delivery searches"

    def __str__(self) -> str:
        return f"next at {self.next_at}"
