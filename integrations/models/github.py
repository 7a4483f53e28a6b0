"""What a team watches on GitHub: its organisation, and the repositories it picked.

Holds where each sync stands; `services/transitions.py` alone writes those fields.
"""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from integrations.constants import (
    GUARD_MINIMUM,
    GUARD_PERCENT,
    HISTORY_DAYS,
    SCHEDULE_FROM_HOUR,
    SCHEDULE_HOURS,
    SYNC_STATUS_CHOICES,
    SYNC_STATUS_PENDING,
)
from integrations.models.accounts import Team
from integrations.models.credentials import IntegrationCredential


class GitHubIntegration(models.Model):
    """A team's tie to one GitHub organisation. Outlives a disconnection, with its roster."""

    team = models.OneToOneField(Team, on_delete=models.CASCADE, related_name="github")
    # Null until connected and after a disconnection.
    credential = models.OneToOneField(
        IntegrationCredential,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="integration",
    )
    # The id is the identity: a login can be renamed, and its old name claimed by somebody else.
    organization_id = models.BigIntegerField(null=True, blank=True)
    organization_login = models.CharField(max_length=100, blank=True)
    organization_avatar_url = models.CharField(max_length=500, blank=True)
    onboarded_at = models.DateTimeField(null=True, blank=True)
    repositories_listed_at = models.DateTimeField(null=True, blank=True)

    member_sync_status = models.CharField(
        max_length=10, choices=SYNC_STATUS_CHOICES, default=SYNC_STATUS_PENDING
    )
    member_sync_started_at = models.DateTimeField(null=True, blank=True)
    member_sync_completed_at = models.DateTimeField(null=True, blank=True)
    member_sync_error = models.TextField(blank=True, default="")
    # Counts of the last complete sync: created, updated, unchanged, departed, failed, ...
    member_sync_result = models.JSONField(null=True, blank=True)
    # The team's revision at which the roster last changed by hand: read by live/replay.py. Where a
    # sync stands has its revision on the run's row, which a checkpoint writes anyway.
    roster_revision = models.PositiveBigIntegerField(default=0, editable=False)

    # The guard against mass departures: both must be exceeded (services/departures.py).
    guard_percent = models.PositiveSmallIntegerField(
        default=GUARD_PERCENT, validators=[MaxValueValidator(100)]
    )
    guard_minimum = models.PositiveIntegerField(
        default=GUARD_MINIMUM, validators=[MinValueValidator(1)]
    )
    # The nightly read (services/schedule.py).
    schedule_enabled = models.BooleanField(default=True)
    schedule_from_hour = models.PositiveSmallIntegerField(
        default=SCHEDULE_FROM_HOUR, validators=[MaxValueValidator(23)]
    )
    schedule_hours = models.PositiveSmallIntegerField(
        default=SCHEDULE_HOURS, validators=[MinValueValidator(1), MaxValueValidator(24)]
    )
    schedule_time_zone = models.CharField(max_length=64, default="UTC")
    next_sync_at = models.DateTimeField(null=True, blank=True, editable=False, db_index=True)
    # Runs and changes older than this are pruned; null keeps them for ever.
    history_days = models.PositiveIntegerField(
        null=True, blank=True, default=HISTORY_DAYS, validators=[MinValueValidator(1)]
    )
    next_prune_at = models.DateTimeField(null=True, blank=True, editable=False)

    # Who else belongs to the organisation (services/organization_people.py): for each kind the code
    # of why it could not be read, empty when it was, and how many there are. When a read was last
    # begun, and when the next is due; in the future while one is under way.
    people_access = models.JSONField(default=dict, blank=True, editable=False)
    people_read_at = models.DateTimeField(null=True, blank=True, editable=False)
    people_due_at = models.DateTimeField(null=True, blank=True, editable=False, db_index=True)

    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "GitHub integration"

    def __str__(self) -> str:
        return self.organization_login or f"integration {self.pk}"

    @property
    def is_connected(self) -> bool:
        return self.credential_id is not None

    @property
    def has_organization(self) -> bool:
        return self.organization_id is not None


class TrackedRepositoryQuerySet(models.QuerySet["TrackedRepository"]):
    def tracked(self) -> TrackedRepositoryQuerySet:
        return self.filter(is_tracked=True)

    def matching(self, text: str) -> TrackedRepositoryQuerySet:
        return self.filter(full_name__icontains=text) if text else self


class TrackedRepository(models.Model):
    """A repository of the organisation that a person can track, with a sync of its own."""

    integration = models.ForeignKey(
        GitHubIntegration, on_delete=models.CASCADE, related_name="repositories"
    )
    github_id = models.BigIntegerField()
    name = models.CharField(max_length=100)
    full_name = models.CharField(max_length=201)
    description = models.TextField(blank=True, default="")
    html_url = models.CharField(max_length=500, blank=True, default="")
    language = models.CharField(max_length=100, blank=True, default="")
    default_branch = models.CharField(max_length=255, blank=True, default="")
    is_private = models.BooleanField(default=False)
    is_archived = models.BooleanField(default=False)
    pushed_at = models.DateTimeField(null=True, blank=True)
    is_tracked = models.BooleanField(default=False)
    # Since when GitHub has told us that it was deleted, or moved to another owner.
    gone_at = models.DateTimeField(null=True, blank=True)
    # The event time of the newest webhook about it.
    heard_at = models.DateTimeField(null=True, blank=True, editable=False)

    sync_status = models.CharField(
        max_length=10, choices=SYNC_STATUS_CHOICES, default=SYNC_STATUS_PENDING
    )
    sync_started_at = models.DateTimeField(null=True, blank=True)
    sync_completed_at = models.DateTimeField(null=True, blank=True)
    sync_error = models.TextField(blank=True, default="")
    sync_result = models.JSONField(null=True, blank=True)

    objects = TrackedRepositoryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "tracked repositories"
        ordering = ["full_name"]
        constraints = [
            models.UniqueConstraint(
                fields=["integration", "github_id"], name="one_row_per_repository"
            ),
        ]

    def __str__(self) -> str:
        return self.full_name


class RepositoryAccess(models.Model):
    """A person who can reach a repository, as far as the connection may see."""

    repository = models.ForeignKey(
        TrackedRepository, on_delete=models.CASCADE, related_name="people"
    )
    github_id = models.BigIntegerField()
    github_username = models.CharField(max_length=100)
    avatar_url = models.CharField(max_length=500, blank=True, default="")
    # GitHub's word: admin, maintain, write, triage, read, or an organisation's own role.
    permission = models.CharField(max_length=100)

    class Meta:
        verbose_name_plural = "repository access"
        ordering = ["github_username"]
        constraints = [
            models.UniqueConstraint(
                fields=["repository", "github_id"], name="one_access_per_person"
            ),
        ]

    def __str__(self) -> str:
        return f"@{self.github_username}: {self.permission}"
