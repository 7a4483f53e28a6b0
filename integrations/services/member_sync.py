"""Sync the members of an organisation: one slice of a run, from its place in GitHub's list.

Reads a page, writes it, and has the next one fetched meanwhile; a preview walks the same way and
writes only its plan. Raises what went wrong; whether to go on, wait or stop is decided in tasks.py.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog
from django.db import transaction

from integrations.constants import (
    LEASE_RENEWAL,
    OTHERS_WAIT,
    SLICE_BESIDE_OTHERS,
    SLICE_LENGTH,
    MemberChangeKind,
)
from integrations.github.errors import Invalid
from integrations.models import GitHubIntegration, SyncRun
from integrations.services import (
    departures,
    github_access,
    leases,
    organization_people,
    previews,
    transitions,
)
from integrations.services.departures import Verdict
from integrations.services.github_graphql_sync import END_OF_LIST, MemberList, Place
from integrations.services.look_ahead import LookAhead
from integrations.services.roster import write_page
from integrations.services.runs import others_wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from integrations.github.http import GitHubClient
    from integrations.services.leases import Lease

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class MemberSyncResult:
    """The counts of a complete sync, as `member_sync_result` keeps them."""

    created: int
    updated: int
    unchanged: int
    returned: int
    departed: int
    held: int
    failed: int

    @classmethod
    def of(cls, run: SyncRun) -> MemberSyncResult:
        return cls(
            created=run.created_count,
            updated=run.updated_count,
            unchanged=run.unchanged_count,
            returned=run.returned_count,
            departed=run.departed_count,
            held=run.held_count,
            failed=run.failed_count,
        )

    def as_dict(self) -> dict[str, int]:
        return dict(vars(self))


class _Slice:
    """How long this slice of a run goes on: less while others of its queue wait for a worker."""

    def __init__(self, run: SyncRun, should_stop: Callable[[], bool]) -> None:
        self._run, self._should_stop = run, should_stop
        begun_s = time.monotonic()
        self._ends_at_s = begun_s + SLICE_LENGTH.total_seconds()
        self._looks_at_s = begun_s + SLICE_BESIDE_OTHERS.total_seconds()

    def may_go_on(self) -> bool:
        """Say whether another page is to be read; asks nobody, as other threads call it."""
        return not self._should_stop() and time.monotonic() < self._ends_at_s

    def make_room(self) -> None:
        """End the slice where others have waited, after a page; asks no more than once a second."""
        now_s = time.monotonic()
        if now_s >= self._looks_at_s:
            self._looks_at_s = now_s + OTHERS_WAIT.total_seconds()
            if others_wait(self._run):
                self._ends_at_s = now_s


def sync_members(lease: Lease, *, should_stop: Callable[[], bool]) -> bool:
    """Work on a run for a slice of time; return whether it is over.

    Raises LeaseLost, SyncRefused, CredentialUnreadable and GitHubError. Everything written until
    then stays, with its checkpoint.
    """
    run, integration = lease.run, lease.run.integration
    client = github_access.client_of(integration)
    its_slice = _Slice(run, should_stop)
    if not run.page_count:
        _doubt_unless_member(lease, client)
    if run.applies is not None:
        is_read = previews.write_planned(lease, may_go_on=its_slice.may_go_on)
    else:
        is_read = _walk(lease, client, its_slice)
    if not is_read:
        leases.release(lease)
        return False
    _finish(lease, _verdict(lease, client))
    return True


def _doubt_unless_member(lease: Lease, client: GitHubClient) -> None:
    """Check whose list this token is shown, before the first page. Raises SyncRefused."""
    doubt = github_access.check_access(client, lease.run.integration)
    if doubt:
        leases.doubt(lease, doubt)


def _walk(lease: Lease, client: GitHubClient, its_slice: _Slice) -> bool:
    """Write page after page until the end of the list (True) or of the slice (False)."""
    run, integration = lease.run, lease.run.integration
    assert integration.organization_id is not None  # a run starts only with an organisation
    assert integration.credential is not None  # client_of() has refused otherwise
    members = MemberList(client, integration.organization_login, integration.organization_id)
    with_email = integration.credential.reads_email
    if run.cursor == END_OF_LIST:
        return True
    place = Place.parse(run.cursor, first=run.page_size, with_email=with_email)
    try:
        return _write_pages(lease, members, place, its_slice)
    except Invalid:
        if run.cursor != str(place) or place.is_beginning:
            raise
        # The cursor that we resumed from is not GitHub's any more: the list from its beginning.
        logger.warning("cursor lost, reading from the beginning", run_id=run.pk)
        leases.restart(lease)
        beginning = Place(first=run.page_size, with_email=with_email)
        return _write_pages(lease, members, beginning, its_slice)


def _write_pages(lease: Lease, members: MemberList, place: Place, its_slice: _Slice) -> bool:
    write = previews.plan_page if lease.run.is_preview else write_page
    with LookAhead(members.page_at, place, may_go_on=its_slice.may_go_on) as ahead:
        while page := ahead.next_page(
            every_s=LEASE_RENEWAL.total_seconds(), meanwhile=partial(leases.renew, lease)
        ):
            write(lease, page)
            its_slice.make_room()
    return not ahead.ended_early


def _verdict(lease: Lease, client: GitHubClient) -> Verdict:
    """Say who left: what this walk found, or for a preview that is applied, what that one found."""
    preview = lease.run.applies
    if preview is None:
        return departures.judge(lease, client)
    if preview.sweep_blocked_by:
        return Verdict(preview.sweep_blocked_by)
    held = previews.planned_absentees(preview, MemberChangeKind.HELD)
    departed = previews.planned_absentees(preview, MemberChangeKind.LEFT)
    return departures.confirmed(lease, client, departed, held=held)


def _finish(lease: Lease, verdict: Verdict) -> None:
    """Write down who left, if the list allows it, and complete the run: one transaction."""
    run = lease.run
    with transaction.atomic():
        if run.is_preview:
            previews.plan_verdict(run, verdict)
        else:
            departures.conclude(run, verdict)
        transitions.complete(
            lease,
            result=MemberSyncResult.of(run).as_dict(),
            sweep_blocked_by=verdict.doubt,
        )
        if not run.is_preview:
            organization_people.ask_for(GitHubIntegration.objects.filter(pk=run.integration_id))
