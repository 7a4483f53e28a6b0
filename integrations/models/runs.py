"""The durable record of work: one row a run, one row a transition of status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q
from django.db.models.expressions import RawSQL

from integrations.constants import (
    ACTIVE_RUN_STATUSES,
    SYNC_STATUS_CHOICES,
    SYNC_STATUS_PENDING,
    RunKind,
    RunTrigger,
)
from integrations.models.accounts import Team, User
from integrations.models.github import GitHubIntegration, TrackedRepository

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


class SyncRunQuerySet(models.QuerySet["SyncRun"]):
    def active(self) -> SyncRunQuerySet:
        return self.filter(status__in=ACTIVE_RUN_STATUSES)

    def active_by_index(self) -> SyncRunQuerySet:
        """As `active`, for who looks over all runs every few seconds.

        SQLite uses a partial index only where its condition stands in the statement word for word;
        with parameters it reads every run that there ever was.
        """
        statuses = ", ".join(f"'{status}'" for status in ACTIVE_RUN_STATUSES)
        column = f"{self.model._meta.db_table}.status"
        is_active = RawSQL(f"{column} IN ({statuses})", (), models.BooleanField())
        return self.filter(is_active)

    def latest_by_repository(
        self, repositories: Iterable[TrackedRepository]
    ) -> dict[int | None, SyncRun]:
        """Return the newest run of each repository that has one, by repository id: one query."""
        newest = (
            self.filter(repository__in=list(repositories))
            .order_by()
            .values("repository")
            .annotate(newest=models.Max("pk"))
            .values("newest")
        )
        return {run.repository_id: run for run in self.filter(pk__in=newest)}

    def of_members(self, integration: GitHubIntegration) -> SyncRunQuerySet:
        return self.filter(integration=integration, kind=RunKind.MEMBERS)


class SyncRun(models.Model):
    """One walk over GitHub's list, from the click to its end, however many workers it takes.

    The row is the truth and the message only a hint: it holds the place (`cursor`), the counts,
    who works on it (`lease_token` until `lease_expires_at`) and when to go on (`resume_at`).
    """

    integration = models.ForeignKey(
        GitHubIntegration, on_delete=models.CASCADE, related_name="runs"
    )
    repository = models.ForeignKey(
        TrackedRepository, on_delete=models.CASCADE, null=True, blank=True, related_name="runs"
    )
    kind = models.CharField(max_length=12, choices=RunKind.choices)
    trigger = models.CharField(max_length=12, choices=RunTrigger.choices)
    requested_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    # Whose list it reads: a place in another organisation's list is none, nor is its preview.
    organization_id = models.BigIntegerField(null=True, blank=True)
    # The preview whose list of changes this run writes, without asking GitHub again.
    applies = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="applied_by"
    )
    # The failed run whose place in GitHub's list this one took over, and whose mark it goes on
    # with: the people whom that one had seen count as seen.
    continues = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="continued_by"
    )
    continued_mark = models.BigIntegerField(null=True, blank=True, editable=False)
    carried_count = models.PositiveIntegerField(default=0)
    status = models.CharField(
        max_length=10, choices=SYNC_STATUS_CHOICES, default=SYNC_STATUS_PENDING
    )
    cancelled_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    error_code = models.CharField(max_length=40, blank=True, default="")
    # What only GitHub's own answer can say, for the button that mends it (a SAML address).
    error_url = models.CharField(max_length=1000, blank=True, default="")

    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    # Since when it has been reading without a wait, and how many had been read then: its pace.
    paced_at = models.DateTimeField(null=True, blank=True, editable=False)
    paced_count = models.PositiveIntegerField(default=0, editable=False)
    # Set while GitHub asks us to wait: the ticker sends the run again when it has passed.
    resume_at = models.DateTimeField(null=True, blank=True)

    # The team's revision at which this run, and with it what it is about, last moved.
    revision = models.PositiveBigIntegerField(default=0, editable=False)

    # The message: when one was last sent, when another may be, and how many went since a worker
    # last had the run; read and written by services/recovery.py.
    enqueued_at = models.DateTimeField(null=True, blank=True)
    resend_at = models.DateTimeField(null=True, blank=True)
    send_count = models.PositiveIntegerField(default=0)

    # The lease: every write of a worker is fenced by its token.
    lease_token = models.UUIDField(null=True, blank=True, editable=False)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    claim_count = models.PositiveIntegerField(default=0)
    # Claims since the last page that was written down.
    fruitless_claim_count = models.PositiveIntegerField(default=0)

    # The place in GitHub's list, opaque to everyone but services/github_graphql_sync.py.
    cursor = models.TextField(blank=True, default="")
    page_size = models.PositiveSmallIntegerField(default=100)
    # The first page says how many to expect; null until then.
    expected_count = models.PositiveIntegerField(null=True, blank=True)
    page_count = models.PositiveIntegerField(default=0)
    point_count = models.PositiveIntegerField(default=0)
    wait_count = models.PositiveIntegerField(default=0)
    created_count = models.PositiveIntegerField(default=0)
    updated_count = models.PositiveIntegerField(default=0)
    unchanged_count = models.PositiveIntegerField(default=0)
    returned_count = models.PositiveIntegerField(default=0)
    departed_count = models.PositiveIntegerField(default=0)
    # Absent people whom the guard held for an admin's decision.
    held_count = models.PositiveIntegerField(default=0)
    failed_count = models.PositiveIntegerField(default=0)
    # Why nobody may be concluded to have left after this run, although it read its list to the end.
    sweep_blocked_by = models.CharField(max_length=40, blank=True, default="")

    objects = SyncRunQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            # start_run() leans on these two: a second start finds the row and joins it.
            models.UniqueConstraint(
                fields=["integration", "kind"],
                condition=Q(status__in=ACTIVE_RUN_STATUSES, repository__isnull=True),
                name="one_active_run_per_integration_and_kind",
            ),
            models.UniqueConstraint(
                fields=["repository"],
                condition=Q(status__in=ACTIVE_RUN_STATUSES, repository__isnull=False),
                name="one_active_run_per_repository",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=[RunKind.MEMBERS, RunKind.PREVIEW], repository__isnull=True)
                | Q(kind=RunKind.REPOSITORY, repository__isnull=False),
                name="a_repository_run_names_its_repository",
            ),
            models.CheckConstraint(
                condition=Q(lease_token__isnull=True, lease_expires_at__isnull=True)
                | Q(lease_token__isnull=False, lease_expires_at__isnull=False),
                name="a_lease_has_token_and_end",
            ),
        ]
        indexes = [
            # services/recovery.py: the ticker looks at active runs only, every few seconds.
            models.Index(
                fields=["resend_at"],
                condition=Q(status__in=ACTIVE_RUN_STATUSES),
                name="active_runs_by_message",
            ),
            # live/replay.py: what moved since a viewer last heard of it.
            models.Index(fields=["integration", "revision"], name="runs_by_revision"),
            # The latest run of an integration: the live card.
            models.Index(fields=["integration", "kind", "-id"], name="latest_run_first"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} run {self.pk} ({self.status})"

    @property
    def is_active(self) -> bool:
        return self.status in ACTIVE_RUN_STATUSES

    @property
    def seen_count(self) -> int:
        """People read so far in this walk, by the runs it continues as well."""
        return (
            self.carried_count
            + self.created_count
            + self.updated_count
            + self.unchanged_count
            + self.returned_count
        )

    def wait_reason(self) -> str:
        """Return why a run that waits does: the reason of its latest move."""
        return self.transitions.order_by("-pk").values_list("reason", flat=True).first() or ""

    def ahead_count(self) -> int:
        """Return how many runs wait for a worker that were asked for before this one."""
        waiting = SyncRun.objects.filter(status=SYNC_STATUS_PENDING, resume_at=None)
        return waiting.filter(pk__lt=self.pk).count()

    def expected_end(self, now: datetime) -> datetime | None:
        """Return when the walk is over at the pace it had so far; None while that can't be told."""
        read = self.seen_count - self.paced_count
        if self.paced_at is None or self.expected_count is None or read <= 0:
            return None
        remaining = max(0, self.expected_count - self.seen_count - self.failed_count)
        return now + (now - self.paced_at) * remaining / read

    @property
    def mark(self) -> int:
        """What this walk writes to everybody it sees: to `mark_field` of their rows."""
        return self.continued_mark or self.pk

    @property
    def walk_began_at(self) -> datetime:
        """When the first page of this walk was asked for, by this run or one it continues."""
        began = SyncRun.objects.filter(pk=self.mark).values_list("started_at", flat=True).first()
        return began or self.started_at or self.created_at

    @property
    def mark_field(self) -> str:
        return "last_previewed_run_id" if self.is_preview else "last_seen_run_id"

    @property
    def is_preview(self) -> bool:
        return self.kind == RunKind.PREVIEW

    @property
    def was_cancelled(self) -> bool:
        return self.error_code == "cancelled"


class StatusTransition(models.Model):
    """A move of a run and its subject from one status to another. History and ops read it."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="transitions")
    run = models.ForeignKey(SyncRun, on_delete=models.CASCADE, related_name="transitions")
    from_status = models.CharField(max_length=10, choices=SYNC_STATUS_CHOICES)
    to_status = models.CharField(max_length=10, choices=SYNC_STATUS_CHOICES)
    reason = models.CharField(max_length=40, blank=True, default="")
    # The run's claim at which it happened: 0 before any worker had it.
    attempt = models.PositiveIntegerField(default=0)
    revision = models.PositiveBigIntegerField()
    at = models.DateTimeField()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.from_status} to {self.to_status}"

    @classmethod
    def of_beginning(cls, run: SyncRun, at: datetime) -> StatusTransition:
        """Return the first move of a run that was just made, under its revision; unsaved."""
        return cls(
            team_id=run.integration.team_id,
            run=run,
            from_status=SYNC_STATUS_PENDING,
            to_status=SYNC_STATUS_PENDING,
            revision=run.revision,
            at=at,
        )
