"""What became of people: every change of the roster, and those that a preview would make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection, models

from integrations.constants import MemberChangeKind
from integrations.models.accounts import Team, User
from integrations.models.members import TeamMember
from integrations.models.runs import SyncRun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


class MemberChangeQuerySet(models.QuerySet["MemberChange"]):
    def write_joined(self, run: SyncRun, github_ids: Sequence[int]) -> None:
        """Write that these people joined, whose rows this run has just made.

        One statement that reads those rows: a first sync writes as many of these as people, and
        building them in Python cost as much as the people themselves.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {self.model._meta.db_table} "
                "(team_id, github_id, github_username, kind, fields, run_id, at) "
                "SELECT team_id, github_id, github_username, %s, '{}', %s, joined_at "
                f"FROM {TeamMember._meta.db_table} "
                f"WHERE team_id = %s AND github_id IN ({', '.join(['%s'] * len(github_ids))})",
                [MemberChangeKind.JOINED.value, run.pk, run.integration.team_id, *github_ids],
            )

    def write_switched(self, keys: Sequence[int], *, kind: str, person: User, at: datetime) -> None:
        """Write that a person switched these rows of the roster, in one statement."""
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {self.model._meta.db_table} "
                "(team_id, github_id, github_username, kind, fields, person_id, at) "
                "SELECT team_id, github_id, github_username, %s, '{}', %s, %s "
                f"FROM {TeamMember._meta.db_table} WHERE id IN ({', '.join(['%s'] * len(keys))})",
                [kind, person.pk, connection.ops.adapt_datetimefield_value(at), *keys],
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
    # The webhook that told of it ("organization.member_added"); empty: a run's finding, or by hand.
    webhook_event = models.CharField(max_length=60, blank=True, default="", db_default="")
    at = models.DateTimeField()

    objects = MemberChangeQuerySet.as_manager()

    class Meta:
        ordering = ["-at", "-pk"]
        indexes = [
            models.Index(fields=["team", "github_id", "-at"], name="changes_of_a_person"),
            # views/history.py: the whole history, newest first; services/retention.py: oldest.
            models.Index(fields=["team", "-at", "-id"], name="changes_latest_first"),
        ]

    def __str__(self) -> str:
        return f"@{self.github_username} {self.kind}"


class PlannedChange(models.Model):
    """What a preview would do to one person, with all it takes to do so later."""

    run = models.ForeignKey(SyncRun, on_delete=models.CASCADE, related_name="planned_changes")
    github_id = models.BigIntegerField()
    github_username = models.CharField(max_length=100)
    kind = models.CharField(max_length=14, choices=MemberChangeKind.choices)
    # As in MemberChange: field name to [before, after].
    fields = models.JSONField(default=dict, blank=True)
    # The person as GitHub gave them; empty for somebody who would leave.
    values = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["run", "github_id"], name="one_plan_per_person"),
        ]

    def __str__(self) -> str:
        return f"@{self.github_username} would be {self.kind}"
