"""What webhooks say of an organisation's members, written to one team's roster.

An event changes a person's row only if it is newer than all that the row knows: the newest event
before it, and the full reads that began after it. So it doesn't matter in which order they come.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from django.utils import timezone

from integrations.constants import (
    SYNC_STATUS_COMPLETE,
    DeactivatedBy,
    MemberChangeKind,
    MemberRole,
)
from integrations.models import (
    GitHubIntegration,
    HeldDeparture,
    MemberChange,
    SyncRun,
    TeamMember,
)
from integrations.services import organization_people, transitions

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from integrations.github.members import RemoteMember
    from integrations.github.webhooks import MembershipNews
    from integrations.models import WebhookDelivery

UPDATED_FIELDS: Final = [
    "github_username",
    "avatar_url",
    "role",
    "is_active",
    "deactivated_by",
    "left_at",
    "kept_at",
    "updated_at",
    "heard_at",
]


@dataclass(frozen=True)
class Heard:
    """One delivery about one person."""

    delivery: WebhookDelivery
    news: MembershipNews


@dataclass
class RosterPlan:
    """What a batch of events does to one roster, before anything is written."""

    integration: GitHubIntegration
    rows: dict[int, TeamMember]
    knowledge: Knowledge
    at: datetime
    changed: dict[int, TeamMember] = field(default_factory=dict)
    changes: list[MemberChange] = field(default_factory=list)
    # Deliveries that changed something that people see.
    applied: set[int] = field(default_factory=set)
    joined: set[int] = field(default_factory=set)

    def hear(self, heard: Heard) -> None:
        person, delivery = heard.news.person, heard.delivery
        row = self.rows.get(person.github_id)
        if self.knowledge.is_newer_than(delivery.happened_at, row):
            return
        told_before = len(self.changes)
        if heard.news.is_member:
            row = self._hear_of_member(person, row, delivery)
        else:
            row = self._hear_of_leaver(person, row, delivery)
        if row is None:
            return
        row.heard_at, row.updated_at = delivery.happened_at, self.at
        self.rows[person.github_id] = self.changed[person.github_id] = row
        if len(self.changes) > told_before:
            self.applied.add(delivery.pk)

    def _hear_of_member(
        self, person: RemoteMember, row: TeamMember | None, delivery: WebhookDelivery
    ) -> TeamMember:
        if row is None:
            row = self._new_row(person, is_active=True)
            self._tell(row, MemberChangeKind.JOINED, delivery)
            self.joined.add(person.github_id)
            return row
        row.github_username, row.avatar_url = person.github_username, person.avatar_url
        row.left_at = row.kept_at = None
        role = person.role or MemberRole.MEMBER
        if not row.is_active and row.deactivated_by == DeactivatedBy.SYNC:
            row.is_active, row.deactivated_by = True, DeactivatedBy.NOBODY
            row.role = role
            self._tell(row, MemberChangeKind.RETURNED, delivery)
        elif row.role != role:
            kind = MemberChangeKind.PROMOTED if role == "admin" else MemberChangeKind.DEMOTED
            fields = {"role": [row.role, role]}
            row.role = role
            self._tell(row, kind, delivery, fields)
        return row

    def _hear_of_leaver(
        self, person: RemoteMember, row: TeamMember | None, delivery: WebhookDelivery
    ) -> TeamMember | None:
        if row is None:
            # A read that is under way may still bring the page they were on: remember that they
            # left. Otherwise nobody here has heard of them.
            return self._new_row(person, is_active=False) if self.knowledge.is_reading else None
        row.left_at = self.at
        # Switched off by hand stays so, and whom an admin keeps stays until GitHub lists them.
        if row.is_active and row.kept_at is None:
            row.is_active, row.deactivated_by = False, DeactivatedBy.SYNC
            self._tell(row, MemberChangeKind.LEFT, delivery)
        elif row.is_active:
            row.left_at = None
        return row

    def _new_row(self, person: RemoteMember, *, is_active: bool) -> TeamMember:
        return TeamMember(
            team_id=self.integration.team_id,
            github_id=person.github_id,
            github_username=person.github_username,
            avatar_url=person.avatar_url,
            role=person.role or MemberRole.MEMBER,
            is_active=is_active,
            deactivated_by=DeactivatedBy.NOBODY if is_active else DeactivatedBy.SYNC,
            joined_at=self.at,
            left_at=None if is_active else self.at,
            is_partial=True,
        )

    def tell_as_joined_only(self, inserted: Collection[int]) -> None:
        """Drop the joining of those whose row a full read made at the same moment, and told of."""
        self.changes = [
            change
            for change in self.changes
            if change.kind != MemberChangeKind.JOINED or change.github_id in inserted
        ]

    def _tell(
        self,
        row: TeamMember,
        kind: str,
        delivery: WebhookDelivery,
        fields: dict[str, list[str]] | None = None,
    ) -> None:
        self.changes.append(
            MemberChange(
                team_id=row.team_id,
                github_id=row.github_id,
                github_username=row.github_username,
                kind=kind,
                fields=fields or {},
                webhook_event=delivery.name,
                at=self.at,
            )
        )


@dataclass(frozen=True)
class Knowledge:
    """How recent what a roster knows is, of everybody and of single people."""

    # The beginning of the latest full read that proved who is a member and who is not.
    everybody_at: datetime | None
    # The beginning of each walk that saw one of these people, by its mark.
    walk_began_at: dict[int, datetime | None]
    is_reading: bool

    @classmethod
    def of(cls, integration: GitHubIntegration, rows: Sequence[TeamMember]) -> Knowledge:
        runs = SyncRun.objects.of_members(integration)
        marks = {row.last_seen_run_id for row in rows if row.last_seen_run_id}
        latest = (
            runs.filter(status=SYNC_STATUS_COMPLETE, sweep_blocked_by="", applies=None)
            .values_list("started_at", flat=True)
            .first()
        )
        return cls(
            everybody_at=latest,
            walk_began_at=dict(runs.filter(pk__in=marks).values_list("pk", "started_at")),
            is_reading=runs.active().exists(),
        )

    def is_newer_than(self, happened_at: datetime, row: TeamMember | None) -> bool:
        """Say whether what is known of the person is as recent as an event, or more so."""
        known = [self.everybody_at]
        if row is not None:
            known += [row.heard_at, self.walk_began_at.get(row.last_seen_run_id or 0)]
        return any(at is not None and at >= happened_at for at in known)


def apply(integration: GitHubIntegration, events: Sequence[Heard]) -> RosterPlan:
    """Write events about people to a roster: a constant number of statements for all of them.

    Called in a transaction, with the events in the order in which they happened.
    """
    ids = {heard.news.person.github_id for heard in events}
    # Locked, as a page of a full read does it: the one waits for the other.
    known = list(
        TeamMember.objects.select_for_update()
        .filter(team_id=integration.team_id, github_id__in=ids)
        .order_by("github_id")
    )
    plan = RosterPlan(
        integration=integration,
        rows={row.github_id: row for row in known},
        knowledge=Knowledge.of(integration, known),
        at=timezone.now(),
    )
    for heard in events:
        plan.hear(heard)
    if plan.changed:
        inserted = TeamMember.objects.upsert(
            list(plan.changed.values()), update_fields=UPDATED_FIELDS
        )
        plan.tell_as_joined_only(inserted)
        decided = [one.github_id for one in plan.changed.values()]
        HeldDeparture.objects.filter(
            member__team_id=integration.team_id, member__github_id__in=decided
        ).delete()
    if plan.changes:
        MemberChange.objects.bulk_create(plan.changes)
        transitions.roster_changed(integration)
        # Who joined is invited no more, and who left is in no team.
        organization_people.ask_for(GitHubIntegration.objects.filter(pk=integration.pk))
    return plan
