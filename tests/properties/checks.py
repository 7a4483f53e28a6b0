"""What must hold after every step, and what must hold once everything has come to rest."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from integrations.constants import (
    ACTIVE_RUN_STATUSES,
    SYNC_STATUS_COMPLETE,
    SYNC_STATUS_ERROR,
    SYNC_STATUS_PENDING,
    SYNC_STATUS_SYNCING,
    DeactivatedBy,
    MemberChangeKind,
    RunKind,
)
from integrations.models import StatusTransition, SyncRun, Team

if TYPE_CHECKING:
    from tests.properties.github_side import LivingOrganization
    from tests.properties.product_side import ConnectedTeam

# What the runs came to and what people went through, to see that the steps get anywhere.
outcomes: Counter[str] = Counter()
FINAL = {SYNC_STATUS_COMPLETE, SYNC_STATUS_ERROR}


def check_runs(product: ConnectedTeam) -> None:
    """At most one run is active, only an active one is held, and the status says which it is."""
    rows = SyncRun.objects.filter(integration=product.integration).order_by("pk")
    runs = list(rows.values_list("kind", "status", "lease_token"))
    statuses = [status for kind, status, _ in runs if kind == RunKind.MEMBERS]
    active = [status for status in statuses if status in ACTIVE_RUN_STATUSES]
    assert len(active) <= 1, active
    held = [status for _, status, lease_token in runs if lease_token is not None]
    assert all(status in ACTIVE_RUN_STATUSES for status in held), held
    product.integration.refresh_from_db()
    status = product.integration.member_sync_status
    if active:
        assert status == SYNC_STATUS_SYNCING
    elif statuses:
        assert status == statuses[-1]
        assert status in FINAL
    else:
        assert status == SYNC_STATUS_PENDING


def check_people(product: ConnectedTeam, company: LivingOrganization) -> None:
    """Nobody is there twice, and nobody who never left is taken for departed."""
    members = product.team.members
    rows = list(members.values_list("github_id", "deactivated_by"))
    twice = [one for one, count in Counter(row[0] for row in rows).items() if count > 1]
    assert not twice
    held = members.filter(held_departure__isnull=False).values_list("github_id", flat=True)
    said_to_have_left = {one for one, by in rows if by == DeactivatedBy.SYNC} | set(held)
    wronged = said_to_have_left & company.inside - company.were_out
    assert not wronged, f"never left GitHub, and are said to have left: {wronged}"


def check_revisions(product: ConnectedTeam) -> None:
    """The moves carry the team's numbers in rising order."""
    rows = StatusTransition.objects.filter(team=product.team).order_by("pk")
    revisions = list(rows.values_list("revision", flat=True))
    assert all(before < after for before, after in pairwise(revisions)), revisions
    if revisions:
        assert revisions[-1] <= Team.objects.get(pk=product.team.pk).revision


def check_events(heard: list[int], *, undisturbed: bool) -> None:
    """With no worker lost, the live events are the team's numbers, one after the other.

    One that stalls before its event is overtaken by others, or tells a number twice; one that dies
    tells nothing: a stream then reads the rows (live/stream.py), whose numbers always rise.
    """
    if undisturbed:
        assert heard == list(range(1, len(heard) + 1)), heard


def check_moves(product: ConnectedTeam) -> None:
    """Each run's moves link, from pending to where it is; it ends once."""
    for run in product.all_runs:
        moves = list(run.transitions.order_by("pk"))
        assert moves[0].from_status == SYNC_STATUS_PENDING
        assert all(before.to_status == after.from_status for before, after in pairwise(moves))
        assert moves[-1].to_status == run.status
        assert sum(move.to_status in FINAL for move in moves) <= 1


def check_counts(product: ConnectedTeam) -> None:
    """What a run counts is what its history tells: nothing is counted twice, nor by two workers."""
    for run in product.runs:
        told = Counter(run.changes.values_list("kind", flat=True))
        assert run.created_count == told[MemberChangeKind.JOINED], run
        assert run.returned_count == told[MemberChangeKind.RETURNED], run
        assert run.departed_count == told[MemberChangeKind.LEFT], run
        outcomes[run.error_code or run.sweep_blocked_by or run.status] += 1
        outcomes.update(told)


def roster_of(product: ConnectedTeam) -> dict[int, dict[str, Any]]:
    return {
        row.github_id: {
            "login": row.github_username,
            "name": row.name or None,
            "email": row.email,
            "role": row.role,
            "two_factor": row.two_factor_enabled,
        }
        for row in product.members(active=True)
    }


def truth_of(company: LivingOrganization, *, without: set[int]) -> dict[int, dict[str, Any]]:
    """Ask the sandbox itself who is in, as the product may keep it."""
    return {
        github_id: {
            "login": facts["login"],
            "name": (facts["name"] or "").replace("\0", "")[:255] or None,
            "email": facts["email"] or "",
            "role": facts["role"],
            "two_factor": facts["two_factor"],
        }
        for github_id, facts in company.organization.members().items()
        if github_id not in without
    }


def kept_of(product: ConnectedTeam) -> set[int]:
    """Return whom an admin keeps although GitHub doesn't list them."""
    kept = product.team.members.active().filter(kept_at__isnull=False)
    return set(kept.values_list("github_id", flat=True))
