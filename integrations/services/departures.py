"""Who has left: concluded only from a complete, undisputed list, and never many at once.

Mark and sweep finds the absent. A few are confirmed with GitHub one by one; of more, a sample; and
more than the team's guard allows are held, by name, for an admin.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog
from django.db import transaction
from django.utils import timezone

from integrations.constants import CONFIRMED_DEPARTURES_MAX, DeactivatedBy, MemberChangeKind
from integrations.github import rest
from integrations.github.errors import Forbidden, NotFound
from integrations.models import HeldDeparture, MemberChange, TeamMember
from integrations.services import github_access, leases, transitions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from integrations.github.http import GitHubClient
    from integrations.models import GitHubIntegration, SyncRun, User
    from integrations.services.leases import Lease

logger = structlog.get_logger(__name__)

BATCH_SIZE: Final = 500


@dataclass(frozen=True)
class Verdict:
    """What a walk says about those whom it did not see, by their rows' keys."""

    # Why nothing may be concluded; empty when it may.
    doubt: str = ""
    departed: Sequence[int] = ()
    held: Sequence[int] = ()


def judge(lease: Lease, client: GitHubClient) -> Verdict:
    """Find out who has left, asking GitHub again before believing it. Writes nothing.

    Raises SyncRefused when the connection's owner is no member any more, GitHubError and LeaseLost.
    """
    run, integration = lease.run, lease.run.integration
    doubt = doubt_about(run)
    if doubt:
        return Verdict(doubt)
    # Keys only: a hundred thousand people may be absent at once.
    absent = list(absentees(run).values_list("pk", flat=True))
    if not absent:
        return Verdict()
    # Who lost the membership during the walk was shown public members only from there on.
    doubt = github_access.check_access(client, integration)
    if doubt:
        return Verdict(doubt)
    # Before the guard: a list that leaves out members must not be put to an admin as the truth.
    verdict = confirmed(lease, client, absent)
    active_count = TeamMember.objects.active().filter(team_id=integration.team_id).count()
    gone_count = len(verdict.departed)
    if is_too_many(integration, absent_count=gone_count, active_count=active_count):
        return Verdict(held=verdict.departed)
    return verdict


def doubt_about(run: SyncRun) -> str:
    """Return why this run's list proves nothing about who is absent, or an empty string."""
    if run.sweep_blocked_by:
        doubt = run.sweep_blocked_by
    elif run.failed_count:
        doubt = "people_skipped"
    elif run.seen_count == 0:
        doubt = "empty_list"
    elif run.expected_count is not None and run.seen_count < run.expected_count:
        doubt = "short_list"
    else:
        doubt = ""
    return doubt


def absentees(run: SyncRun) -> QuerySet[TeamMember]:
    """Return the active people whom this walk did not see and whom nobody keeps by hand."""
    return (
        TeamMember.objects.active()
        .filter(team_id=run.integration.team_id, kept_at__isnull=True)
        .exclude(**{run.mark_field: run.mark})
        # Nor who joined, by webhook, after this walk began: its list is older.
        .exclude(heard_at__gte=run.walk_began_at)
        .order_by("pk")
    )


def is_too_many(integration: GitHubIntegration, *, absent_count: int, active_count: int) -> bool:
    """Say whether so many absent people are held: the percentage and the number both count.

    A percentage alone would be silly for three people, a number alone for ten thousand.
    """
    share_is_large = absent_count * 100 > integration.guard_percent * active_count
    return share_is_large and absent_count >= integration.guard_minimum


def confirmed(
    lease: Lease,
    client: GitHubClient,
    absent: Sequence[int],
    *,
    held: Sequence[int] = (),
) -> Verdict:
    """Ask GitHub about each of a few, or about a sample of more. Raises as `judge`."""
    asked = absent
    if len(absent) > CONFIRMED_DEPARTURES_MAX:
        asked = random.sample(absent, CONFIRMED_DEPARTURES_MAX)
    gone: list[int] = []
    present: list[int] = []
    for member in TeamMember.objects.filter(pk__in=asked):
        leases.renew(lease)
        try:
            is_there = _is_member(client, lease.run.integration, member)
        except Forbidden:
            return Verdict("membership_unknown")
        (present if is_there else gone).append(member.pk)
    if present:
        logger.warning(
            "absent people are members", run_id=lease.run.pk, count=len(present), asked=len(asked)
        )
    if asked is absent:
        return Verdict(departed=gone, held=held)
    # A list that left out one of the sample has left out others whom we did not ask about.
    if present:
        return Verdict("list_disputed")
    return Verdict(departed=absent, held=held)


def _is_member(client: GitHubClient, integration: GitHubIntegration, member: TeamMember) -> bool:
    """Ask whether somebody is a member now, under whatever login they go by now."""
    organization = integration.organization_login
    try:
        login = rest.user_by_id(client, member.github_id).github_username
    except NotFound:
        return False  # the account was deleted
    return rest.member_state(client, organization, login) == "active"


def conclude(run: SyncRun, verdict: Verdict) -> None:
    """Write a verdict down, in the transaction that completes the run, and count it on the run."""
    now = timezone.now()
    team_id = run.integration.team_id
    # Whoever is on the list again needs no decision any more.
    HeldDeparture.objects.filter(
        member__team_id=team_id, member__last_seen_run_id=run.mark
    ).delete()
    if verdict.doubt:
        return
    run.departed_count = depart(verdict.departed, run=run, at=now)
    run.held_count = _hold(verdict.held, run=run, at=now)


def depart(
    keys: Sequence[int],
    *,
    at: datetime,
    run: SyncRun | None = None,
    person: User | None = None,
) -> int:
    """Mark these as departed, those of them who are still active; return how many.

    Who returns to GitHub comes back by the sync: it is GitHub that they left, whoever decided.
    """
    departed_count = 0
    for batch in _batches(keys):
        rows = TeamMember.objects.filter(pk__in=[member.pk for member in batch])
        rows.update(is_active=False, deactivated_by=DeactivatedBy.SYNC, left_at=at, updated_at=at)
        HeldDeparture.objects.filter(member__in=batch).delete()
        _write_changes(batch, MemberChangeKind.LEFT, at=at, run=run, person=person)
        departed_count += len(batch)
    return departed_count


def _batches(keys: Sequence[int]) -> Iterator[list[TeamMember]]:
    """Yield those of these people who are active and not kept by now, locked, a batch at a time.

    An admin may have decided about them while GitHub was asked.
    """
    active = TeamMember.objects.active().select_for_update().filter(kept_at__isnull=True)
    active = active.only("team_id", "github_id", "github_username")
    for start in range(0, len(keys), BATCH_SIZE):
        yield list(active.filter(pk__in=keys[start : start + BATCH_SIZE]))


def _hold(keys: Sequence[int], *, run: SyncRun, at: datetime) -> int:
    """Leave these for an admin's decision; who was held before keeps the date. Return how many."""
    held_count = 0
    for batch in _batches(keys):
        known = HeldDeparture.objects.filter(member__in=batch)
        held_before = set(known.values_list("member_id", flat=True))
        known.update(run=run)
        new = [member for member in batch if member.pk not in held_before]
        HeldDeparture.objects.bulk_create(
            HeldDeparture(member=member, run=run, held_at=at) for member in new
        )
        _write_changes(new, MemberChangeKind.HELD, at=at, run=run)
        held_count += len(batch)
    return held_count


def decide(
    integration: GitHubIntegration,
    member_ids: Iterable[int] | None,
    *,
    remove: bool,
    person: User,
) -> int:
    """Remove held people from the roster, or keep them; return how many were decided.

    `member_ids` None: all who are held. Who is kept stays until GitHub lists them again.
    """
    now = timezone.now()
    with transaction.atomic():
        held = HeldDeparture.objects.select_for_update().filter(
            member__team_id=integration.team_id, member__is_active=True
        )
        if member_ids is not None:
            held = held.filter(member__in=list(member_ids))
        keys = list(held.values_list("member_id", flat=True))
        if not keys:
            return 0
        if remove:
            depart(keys, at=now, person=person)
        else:
            _keep(keys, at=now, person=person)
        transitions.held_people_decided(integration)
    logger.info("held people decided", remove=remove, count=len(keys), by=person.pk)
    return len(keys)


def _keep(keys: Sequence[int], *, at: datetime, person: User) -> None:
    for batch in _batches(keys):
        rows = TeamMember.objects.filter(pk__in=[member.pk for member in batch])
        rows.update(kept_at=at, updated_at=at)
        HeldDeparture.objects.filter(member__in=batch).delete()
        _write_changes(batch, MemberChangeKind.KEPT, at=at, person=person)


def _write_changes(
    members: Iterable[TeamMember],
    kind: str,
    *,
    at: datetime,
    run: SyncRun | None = None,
    person: User | None = None,
) -> None:
    MemberChange.objects.bulk_create(
        MemberChange(
            team_id=member.team_id,
            github_id=member.github_id,
            github_username=member.github_username,
            kind=kind,
            run=run,
            person=person,
            at=at,
        )
        for member in members
    )
