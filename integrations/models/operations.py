"""What operators look at and did: finished messages, acts, paused queues. Knows no broker."""

from __future__ import annotations

from django.db import models

from integrations.constants import MessageOutcome, OperatorActKind
from integrations.models.accounts import User


class MessageAttempt(models.Model):
    """One attempt at a Dramatiq message, written in one statement when it is over.

    No foreign keys: the history outlives runs and teams, and writing it looks nothing up.
    """

    # Dramatiq's id: the same over retries, delays and requeues.
    message_id = models.CharField(max_length=36, db_index=True)
    queue = models.CharField(max_length=60)
    actor = models.CharField(max_length=100)
    number = models.PositiveIntegerField(default=1)
    outcome = models.CharField(max_length=10, choices=MessageOutcome.choices)
    # {"args": [...], "kwargs": {...}} and the options, as JSON with secrets masked.
    arguments = models.TextField(default="")
    options = models.TextField(default="")
    # "ValueError: the first line", and the traceback; secrets masked.
    error = models.CharField(max_length=500, blank=True, default="")
    traceback = models.TextField(blank=True, default="")

    enqueued_at = models.DateTimeField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    # From ready to started, and from started to finished.
    waited_ms = models.PositiveBigIntegerField(default=0)
    ran_ms = models.PositiveBigIntegerField(default=0)
    # Which worker: "host:pid".
    worker = models.CharField(max_length=100, blank=True, default="")
    run_id = models.BigIntegerField(null=True, blank=True)
    team_id = models.BigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [
            # services/retention.py
            models.Index(fields=["finished_at"], name="attempts_by_age"),
            # ops/history.py: the latest of an outcome, an actor, a team, a run.
            models.Index(fields=["outcome", "-id"], name="attempts_by_outcome"),
            models.Index(fields=["actor", "-id"], name="attempts_by_actor"),
            models.Index(fields=["team_id", "-id"], name="attempts_by_team"),
            models.Index(fields=["run_id", "-id"], name="attempts_by_run"),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.message_id}: {self.outcome}"


class OperatorAct(models.Model):
    """What an operator did, written down with the act: who, what, to what, when."""

    person = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    # Who it was, also after the account is gone; "command line" for manage.py.
    by = models.CharField(max_length=254)
    kind = models.CharField(max_length=20, choices=OperatorActKind.choices)
    # A queue, a message's id, a run, a filter in words.
    subject = models.CharField(max_length=300)
    count = models.PositiveIntegerField(default=1)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.by}: {self.kind} {self.subject}"


class PausedQueue(models.Model):
    """A queue that workers leave alone. The row is the truth; Redis tells workers of it."""

    queue = models.CharField(max_length=60, unique=True)
    paused_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    paused_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.queue
