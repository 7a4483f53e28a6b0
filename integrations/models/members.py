"""The roster: who is in the organisation, and every change of a person."""

from __future__ import annotations

from datetime import datetime

from django.db import connection, models
from django.db.models import Q

from integrations.constants import DeactivatedBy, MemberChangeKind, MemberRole
from integrations.models.accounts import Team, User
from integrations.models.runs import SyncRun


class TeamMemberQuerySet(models.QuerySet["TeamMember"]):
    def active(self) -> TeamMemberQuerySet:
        return self.filter(is_active=True)

    def matching(self, text: str) -> TeamMemberQuerySet:
        """Return those whose name, login or e-mail holds the text."""
        if not text:
            return self
        return self.filter(
            Q(name__icontains=text)
            | Q(github_username__icontains=text.removeprefix("@"))
            | Q(email__icontains=text)
        )


class TeamMember(models.Model):
    """A person of the organisation. The numeric id is the identity; the login is a label.

    Two rows may carry the same login for a moment (people swap names), so it is not unique.
    """

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="members")
    github_id = models.BigIntegerField()
    github_username = models.CharField(max_length=100)
    name = models.CharField(max_length=255, blank=True, default="")
    # As GitHub gives it, which need not be unique, nor an address we ever write to.
    email = models.CharField(max_length=254, blank=True, default="")
    avatar_url = models.URLField(max_length=500, blank=True, default="")
    role = models.CharField(max_length=10, choices=MemberRole.choices, default=MemberRole.MEMBER)
    # Null: the connection may not see it (owners only).
    two_factor_enabled = models.BooleanField(null=True, blank=True)
    is_active = models.BooleanField(default=True)
    deactivated_by = models.CharField(
        max_length=10, choices=DeactivatedBy.choices, blank=True, default=DeactivatedBy.NOBODY
    )
    joined_at = models.DateTimeField()
    left_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField()
    # The mark of mark and sweep: the last run that saw this person in GitHub's list. Not a foreign
    # key, so that a mark is one plain column write and outlives the run's own row.
    last_seen_run_id = models.BigIntegerField(null=True, blank=True, editable=False)

    objects = TeamMemberQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["team", "github_id"], name="one_row_per_person"),
        ]
        indexes = [
            # The members page in its usual order, and its filter.
            models.Index(fields=["team", "is_active", "github_username"], name="roster_by_login"),
            # services/departures.py: the sweep.
            models.Index(fields=["team", "last_seen_run_id"], name="roster_by_mark"),
        ]

    def __str__(self) -> str:
        return f"@{self.github_username}"

    @property
    def display_name(self) -> str:
        return self.name or self.github_username


class MemberChangeQuerySet(models.QuerySet["MemberChange"]):
    def write_joined(self, run: SyncRun, *, at: datetime) -> None:
        """Write that everybody joined whose row this run made at this instant.

        One statement that reads the rows just written: a first sync writes as many of these as
        people, and building them in Python cost as much as the people themselves.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {self.model._meta.db_table} "
                "(team_id, github_id, github_username, kind, fields, run_id, at) "
                "SELECT team_id, github_id, github_username, %s, '{}', last_seen_run_id, joined_at "
                f"FROM {TeamMember._meta.db_table} "
                "WHERE team_id = %s AND last_seen_run_id = %s AND joined_at = %s",
                [
                    MemberChangeKind.JOINED.value,
                    run.integration.team_id,
                    run.pk,
                    connection.ops.adapt_datetimefield_value(at),
                ],
            )


class MemberChange(models.Model):
    """One change of one person: what, when, by which run or by whom."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="member_changes")
    # By GitHub's id, not by row: history outlives the row and can be written in the same batch.
    github_id = models.BigIntegerField()
    github_username = models.CharField(max_length=100)
    kind = models.CharField(max_length=14, choices=MemberChangeKind.choices)
    # Field name to [before, after]; empty for joined and left.
    fields = models.JSONField(default=dict, blank=True)
    run = models.ForeignKey(
        SyncRun, on_delete=models.SET_NULL, null=True, blank=True, related_name="changes"
    )
    person = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    at = models.DateTimeField()

    objects = MemberChangeQuerySet.as_manager()

    class Meta:
        ordering = ["-at", "-pk"]
        indexes = [
            models.Index(fields=["team", "github_id", "-at"], name="changes_of_a_person"),
        ]

    def __str__(self) -> str:
        return f"@{self.github_username} {self.kind}"
