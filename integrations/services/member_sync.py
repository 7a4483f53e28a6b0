"""Sync the members of an organisation: one slice of a run, from its place in GitHub's list.

Reads a page, writes it, and has the next one fetched meanwhile. Raises what went wrong; whether to
go on, wait or stop is decided in tasks.py.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from django.db import transaction

from integrations.constants import LEASE_RENEWAL, SLICE_LENGTH
from integrations.models import SyncRun
from integrations.services import departures, github_access, transitions
from integrations.services.github_graphql_sync import MemberList, Place
from integrations.services.look_ahead import LookAhead
from integrations.services.roster import write_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from integrations.services.transitions import Lease


@dataclass(frozen=True)
class MemberSyncResult:
    """The counts of a complete sync, as `member_sync_result` keeps them."""

    created: int
    updated: int
    unchanged: int
    returned: int
    departed: int
    failed: int

    @classmethod
    def of(cls, run: SyncRun) -> MemberSyncResult:
        return cls(
            created=run.created_count,
            updated=run.updated_count,
            unchanged=run.unchanged_count,
            returned=run.returned_count,
            departed=run.departed_count,
            failed=run.failed_count,
        )

    def as_dict(self) -> dict[str, int]:
        return dict(vars(self))


def sync_members(lease: Lease, *, should_stop: Callable[[], bool]) -> bool:
    """Work on a run for a slice of time; return whether it is over.

    Raises LeaseLost, SyncRefused, CredentialUnreadable and GitHubError. Everything written until
    then stays, with its checkpoint.
    """
    run, integration = lease.run, lease.run.integration
    credential = github_access.credential_of(integration)
    client = github_access.client_of(integration)
    if not run.page_count:
        reason = github_access.check_membership(client, integration)
        if reason:
            transitions.doubt(lease, reason)
    assert integration.organization_id is not None  # a run starts only with an organisation
    members = MemberList(client, integration.organization_login, integration.organization_id)
    place = Place.parse(run.cursor, first=run.page_size, with_email=credential.reads_email)
    if not _walk(lease, members, place=place, should_stop=should_stop):
        transitions.release(lease)
        return False
    _finish(lease)
    return True


def _walk(
    lease: Lease, members: MemberList, *, place: Place, should_stop: Callable[[], bool]
) -> bool:
    """Write page after page until the end of the list (True) or of the slice (False)."""
    ends_at = time.monotonic() + SLICE_LENGTH.total_seconds()

    def may_go_on() -> bool:
        return not should_stop() and time.monotonic() < ends_at

    with LookAhead(members.page_at, place, may_go_on=may_go_on) as ahead:
        while page := ahead.next_page(
            every_s=LEASE_RENEWAL.total_seconds(), meanwhile=partial(transitions.renew, lease)
        ):
            write_page(lease, page)
    return not ahead.ended_early


def _finish(lease: Lease) -> None:
    """Conclude who left, if the list allows it, and complete the run: one transaction."""
    run = lease.run
    with transaction.atomic():
        doubt = departures.doubt_about(run)
        if not doubt:
            run.departed_count = departures.sweep(run)
        transitions.complete(
            lease, result=MemberSyncResult.of(run).as_dict(), sweep_blocked_by=doubt
        )
