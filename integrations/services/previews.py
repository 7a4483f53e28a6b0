"""Previews: the same walk as a sync, which writes down what it would change and changes nothing.

A preview can be applied from what it wrote, without another walk, as long as nothing moved since.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from integrations.constants import (
    PREVIEW_VALID_FOR,
    SYNC_STATUS_COMPLETE,
    MemberChangeKind,
    RunTrigger,
)
from integrations.github.members import RemoteMember
from integrations.models import MemberChange, PlannedChange, SyncRun, TeamMember
from integrations.services import roster
from integrations.services.github_graphql_sync import END_OF_LIST, FetchedPage, Place
from integrations.services.runs import start_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from integrations.models import User
    from integrations.services.departures import Verdict
    from integrations.services.leases import Lease
    from integrations.services.roster import PagePlan
    from integrations.services.runs import StartedRun

PAGE_SIZE: Final = 100
BATCH_SIZE: Final = 500
# The way of a place in a preview's own list.
PLANNED: Final = "planned"
# Planned for people who are not on GitHub's list.
ABSENT_KINDS: Final = (MemberChangeKind.LEFT, MemberChangeKind.HELD)


class PreviewStale(Exception):
    """The preview may not be applied any more; `reason` has words in reasons.py."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def plan_page(lease: Lease, page: FetchedPage) -> None:
    """Write down what a page would change, with its checkpoint. Raises LeaseLost."""
    run = lease.run
    with transaction.atomic():
        plan = roster.plan_for(run, _without_planned(run, page))
        roster.mark_seen(run, [row for row in plan.rows if row.pk])
        PlannedChange.objects.bulk_create(_planned(plan, page))
        roster.checkpoint(lease, plan, page)


def _without_planned(run: SyncRun, page: FetchedPage) -> FetchedPage:
    """Leave out whom an earlier page brought: new people have no row that could be marked."""
    ids = [member.github_id for member in page.members]
    planned = set(run.planned_changes.filter(github_id__in=ids).values_list("github_id", flat=True))
    members = tuple(member for member in page.members if member.github_id not in planned)
    return replace(page, members=members)


def _planned(plan: PagePlan, page: FetchedPage) -> list[PlannedChange]:
    """Return one planned change a person, by its most telling kind, with all fields that move."""
    people = {remote.github_id: remote for remote in page.members}
    by_person: dict[int, PlannedChange] = {}
    for change in [*plan.joined_changes(), *plan.changes]:
        planned = by_person.get(change.github_id)
        if planned is None:
            by_person[change.github_id] = PlannedChange(
                run=plan.run,
                github_id=change.github_id,
                github_username=change.github_username,
                kind=change.kind,
                fields=change.fields,
                values=_values(people[change.github_id], page.known_fields),
            )
        else:
            # The second one is that they return, which tells more than what else changed.
            planned.kind = change.kind
    return list(by_person.values())


def _values(remote: RemoteMember, known_fields: frozenset[str]) -> dict[str, Any]:
    """Return a person as GitHub gave them: only what this way of asking knows."""
    kept = known_fields | {"github_id"}
    return {name: value for name, value in asdict(remote).items() if name in kept}


def plan_verdict(run: SyncRun, verdict: Verdict) -> None:
    """Write down who would leave and who would be held, and count them on the run."""
    run.departed_count, run.held_count = len(verdict.departed), len(verdict.held)
    for kind, keys in (
        (MemberChangeKind.LEFT, verdict.departed),
        (MemberChangeKind.HELD, verdict.held),
    ):
        for start in range(0, len(keys), BATCH_SIZE):
            members = TeamMember.objects.filter(pk__in=keys[start : start + BATCH_SIZE])
            PlannedChange.objects.bulk_create(
                PlannedChange(run=run, github_id=github_id, github_username=login, kind=kind)
                for github_id, login in members.values_list("github_id", "github_username")
            )


def why_not_applicable(preview: SyncRun) -> str:
    """Return why a preview may not be applied (any more), a code of reasons.py; empty if it may."""
    if not preview.is_preview or preview.status != SYNC_STATUS_COMPLETE:
        reason = "preview_incomplete"
    elif preview.applied_by.exclude(error_code="queue_unreachable").exists():
        reason = "preview_applied"
    elif not preview.integration.is_connected:
        reason = "not_connected"
    elif _is_syncing(preview):
        reason = "sync_running"
    elif preview.finished_at is None or preview.finished_at < timezone.now() - PREVIEW_VALID_FOR:
        reason = "preview_expired"
    elif _has_moved(preview):
        reason = "preview_stale"
    else:
        reason = ""
    return reason


def _is_syncing(preview: SyncRun) -> bool:
    return SyncRun.objects.of_members(preview.integration).active().exists()


def _has_moved(preview: SyncRun) -> bool:
    """Say whether the roster, or whose roster it is, changed since the preview began."""
    if preview.organization_id != preview.integration.organization_id:
        return True
    latest = MemberChange.objects.filter(team_id=preview.integration.team_id).aggregate(
        at=Max("at")
    )["at"]
    return latest is not None and latest >= preview.created_at


def apply(preview: SyncRun, *, person: User | None) -> StartedRun:
    """Start the run that writes what a preview found. Raises PreviewStale.

    The run's row and the check are one transaction, so that a second click finds it applied.
    """
    with transaction.atomic():
        locked = SyncRun.objects.select_for_update(of=("self",)).select_related("integration")
        preview = locked.get(pk=preview.pk)
        reason = why_not_applicable(preview)
        if reason:
            raise PreviewStale(reason)
        started = start_run(
            preview.integration, trigger=RunTrigger.PREVIEW, person=person, applies=preview
        )
        if started.joined:
            raise PreviewStale("sync_running")
        return started


def pages_of(preview: SyncRun, *, after: int) -> Iterator[FetchedPage]:
    """Yield the planned people as pages, in order, from a place on; nobody who would leave."""
    while True:
        rows = list(
            preview.planned_changes.filter(pk__gt=after)
            .exclude(kind__in=ABSENT_KINDS)
            .order_by("pk")[:PAGE_SIZE]
        )
        if not rows:
            return
        for known, group in _by_known_fields(rows):
            after = group[-1].pk
            yield FetchedPage(
                members=tuple(RemoteMember(**row.values) for row in group),
                known_fields=known,
                place=Place(),
                next_place=Place(way=PLANNED, cursor=str(after)),
                asked_at=preview.created_at,
            )


def _by_known_fields(
    rows: Sequence[PlannedChange],
) -> list[tuple[frozenset[str], list[PlannedChange]]]:
    """Split at each change of the way in which GitHub was asked: it knows other fields."""
    groups: list[tuple[frozenset[str], list[PlannedChange]]] = []
    for row in rows:
        known = frozenset(row.values) - {"github_id"}
        if not groups or groups[-1][0] != known:
            groups.append((known, []))
        groups[-1][1].append(row)
    return groups


def planned_absentees(preview: SyncRun, kind: str) -> list[int]:
    """Return the keys of the people of the roster who would leave, or be held."""
    ids = preview.planned_changes.filter(kind=kind).values("github_id")
    absent = TeamMember.objects.active().filter(
        team_id=preview.integration.team_id, github_id__in=ids, kept_at__isnull=True
    )
    return list(absent.values_list("pk", flat=True))


def write_planned(lease: Lease, *, may_go_on: Callable[[], bool]) -> bool:
    """Write the planned people of the preview that a run applies; return whether all are in.

    Raises LeaseLost.
    """
    run = lease.run
    assert run.applies is not None
    place = Place.parse(run.cursor, first=PAGE_SIZE, with_email=True)
    if str(place) == END_OF_LIST:
        return True
    after = int(place.cursor) if place.way == PLANNED else 0
    for page in pages_of(run.applies, after=after):
        roster.write_page(lease, page)
        if not may_go_on():
            return False
    return True
