"""Write a page of people to the roster: what is new, what changed, who came back.

A page costs a constant number of statements: one read, one upsert or one mark, one insert of
changes, one revision, one checkpoint. Nothing is done per person.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.db.models import DEFERRED
from django.utils import timezone

from integrations.constants import DeactivatedBy, MemberChangeKind, MemberRole
from integrations.models import MemberChange, TeamMember
from integrations.services import leases
from integrations.services.github_graphql_sync import END_OF_LIST

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from integrations.github.members import RemoteMember
    from integrations.models import SyncRun
    from integrations.services.github_graphql_sync import FetchedPage
    from integrations.services.leases import Lease

UPSERTED_FIELDS: Final = [
    "github_username",
    "name",
    "email",
    "avatar_url",
    "role",
    "two_factor_enabled",
    "is_active",
    "deactivated_by",
    "left_at",
    "updated_at",
    "kept_at",
    "is_partial",
    "last_seen_run_id",
]
COMPARED_FIELDS: Final = (
    "github_username",
    "name",
    "email",
    "avatar_url",
    "role",
    "two_factor_enabled",
)
# A new avatar is no news about a person: written, but not told.
UNTOLD_FIELDS: Final = frozenset({"avatar_url"})
# Nor is what a webhook could not tell when somebody joined.
UNTOLD_OF_PARTIAL: Final = frozenset({"name", "email", "two_factor_enabled"})


@dataclass
class PagePlan:
    """What one page does to the roster, before anything is written."""

    run: SyncRun
    at: datetime
    known_fields: frozenset[str]
    # When GitHub was asked for the page: a webhook that tells of something later knows better.
    asked_at: datetime
    # Every person of the page as its row will be, changed or not.
    rows: list[TeamMember] = field(default_factory=list)
    joined: list[TeamMember] = field(default_factory=list)
    # Of people known before.
    changes: list[MemberChange] = field(default_factory=list)
    has_changed_row: bool = False
    updated_count: int = 0
    unchanged_count: int = 0
    returned_count: int = 0

    def add(self, remote: RemoteMember, row: TeamMember | None) -> None:
        """Plan for one person; one whom this run has seen already is passed over."""
        if row is None:
            self._add_new(remote)
        elif getattr(row, self.run.mark_field) != self.run.mark:
            if row.heard_at is not None and row.heard_at > self.asked_at:
                self._leave_as_heard(row)
            else:
                self._add_known(remote, row)

    def counts(self) -> dict[str, int]:
        return {
            "created_count": len(self.joined),
            "updated_count": self.updated_count,
            "unchanged_count": self.unchanged_count,
            "returned_count": self.returned_count,
        }

    def joined_changes(self) -> list[MemberChange]:
        return [self._change(row, MemberChangeKind.JOINED) for row in self.joined]

    @cached_property
    def _newcomer(self) -> dict[str, Any]:
        """The columns of a new person's row, in their order, but for the person's own values."""
        row = TeamMember(
            team_id=self.run.integration.team_id,
            joined_at=self.at,
            updated_at=self.at,
            last_seen_run_id=self.run.mark,
        )
        names = [one.attname for one in TeamMember._meta.concrete_fields]
        # What the database works out has no value yet.
        return {name: getattr(row, name, DEFERRED) for name in names}

    def _add_new(self, remote: RemoteMember) -> None:
        own = {"github_id": remote.github_id}
        own |= {name: _value(remote, name) for name in COMPARED_FIELDS}
        # By position, a third of the time of by name: a first sync makes as many as there are.
        row = TeamMember(*(self._newcomer | own).values())
        self.rows.append(row)
        self.joined.append(row)
        self.has_changed_row = True

    def _leave_as_heard(self, row: TeamMember) -> None:
        """Count somebody as seen and change nothing: a webhook told of them after this page."""
        setattr(row, self.run.mark_field, self.run.mark)
        self.unchanged_count += 1
        self.rows.append(row)

    def _add_known(self, remote: RemoteMember, row: TeamMember) -> None:
        moved = self._apply(remote, row)
        returned = not row.is_active and row.deactivated_by == DeactivatedBy.SYNC
        if returned:
            row.is_active, row.deactivated_by, row.left_at = True, DeactivatedBy.NOBODY, None
        untold = UNTOLD_FIELDS | (UNTOLD_OF_PARTIAL if row.is_partial else set())
        told = {
            name: pair
            for name, pair in moved.items()
            # What another connection may see, or no more, is no news about a person either.
            if name not in untold and not (name == "two_factor_enabled" and None in pair)
        }
        # First under what name they go now: whatever is told after that tells it of this name.
        if told:
            self.changes.append(self._change(row, _kind_of(told), told))
        if returned:
            self.changes.append(self._change(row, MemberChangeKind.RETURNED))
        if returned:
            self.returned_count += 1
        elif told:
            self.updated_count += 1
        else:
            self.unchanged_count += 1
        if moved or returned:
            row.updated_at = self.at
            self.has_changed_row = True
        if row.kept_at or row.is_partial:
            row.kept_at, row.is_partial = None, False
            self.has_changed_row = True
        setattr(row, self.run.mark_field, self.run.mark)
        self.rows.append(row)

    def _apply(self, remote: RemoteMember, row: TeamMember) -> dict[str, list[Any]]:
        """Set what differs and return it as field to [before, after]."""
        moved: dict[str, list[Any]] = {}
        for name in COMPARED_FIELDS:
            before, after = getattr(row, name), _value(remote, name)
            if name in self.known_fields and before != after:
                moved[name] = [before, after]
                setattr(row, name, after)
        return moved

    def _change(
        self, row: TeamMember, kind: str, fields: dict[str, list[Any]] | None = None
    ) -> MemberChange:
        return MemberChange(
            team_id=row.team_id,
            github_id=row.github_id,
            github_username=row.github_username,
            kind=kind,
            fields=fields or {},
            run=self.run,
            at=self.at,
        )


def _value(remote: RemoteMember, name: str) -> Any:
    value = getattr(remote, name)
    return (value or MemberRole.MEMBER) if name == "role" else value


def _kind_of(moved: dict[str, list[Any]]) -> str:
    """Name a change by what matters most in it."""
    if "role" in moved:
        promoted = moved["role"][1] == MemberRole.ADMIN
        kind = MemberChangeKind.PROMOTED if promoted else MemberChangeKind.DEMOTED
    elif "github_username" in moved:
        kind = MemberChangeKind.RENAMED
    else:
        kind = MemberChangeKind.UPDATED
    return kind


def write_page(lease: Lease, page: FetchedPage) -> None:
    """Write one page and its checkpoint in one transaction. Raises LeaseLost: nothing written."""
    run = lease.run
    with transaction.atomic():
        plan = plan_for(run, page)
        _write(plan)
        checkpoint(lease, plan, page)


def checkpoint(lease: Lease, plan: PagePlan, page: FetchedPage) -> None:
    """Write down what a page came to and where the next one is. Raises LeaseLost."""
    expected_count = lease.run.expected_count if page.total_count is None else page.total_count
    leases.checkpoint(
        lease,
        counts=plan.counts() | page.counts(),
        cursor=str(page.next_place or END_OF_LIST),
        page_size=page.place.first,
        expected_count=expected_count,
    )


def plan_for(run: SyncRun, page: FetchedPage) -> PagePlan:
    """Work out what a page does to the roster; nothing is written. Called in a transaction."""
    plan = PagePlan(
        run=run, at=timezone.now(), known_fields=page.known_fields, asked_at=page.asked_at
    )
    people = {remote.github_id: remote for remote in page.members}
    # Locked, so that a switch by hand waits for this page instead of being overwritten by it.
    known = (
        TeamMember.objects.select_for_update()
        .filter(team_id=run.integration.team_id, github_id__in=people)
        .order_by("github_id")
    )
    rows = {row.github_id: row for row in known}
    for github_id, remote in people.items():
        plan.add(remote, rows.get(github_id))
    return plan


def _write(plan: PagePlan) -> None:
    """Upsert the whole page if a row of it changed; else only mark its people as seen."""
    if plan.has_changed_row:
        inserted = TeamMember.objects.upsert(
            plan.rows, update_fields=UPSERTED_FIELDS, unless_heard=True
        )
        plan.joined = [row for row in plan.joined if row.github_id in inserted]
    elif plan.rows:
        mark_seen(plan.run, plan.rows)
    if plan.changes:
        MemberChange.objects.bulk_create([*plan.joined_changes(), *plan.changes])
    elif plan.joined:
        MemberChange.objects.write_joined(plan.run, [row.github_id for row in plan.joined])


def mark_seen(run: SyncRun, rows: Iterable[TeamMember]) -> None:
    """Mark these people as seen by this walk: the mark of mark and sweep."""
    TeamMember.objects.filter(
        team_id=run.integration.team_id, github_id__in=[row.github_id for row in rows]
    ).update(**{run.mark_field: run.mark})
