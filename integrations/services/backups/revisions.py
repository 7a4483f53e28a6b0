"""The numbers of a restored database: none that a page may have heard for something else.

A page that was open before the restore holds the team's revision of then, which is ahead of the
restored one. Left like that, the numbers in between would be given out again, for other news: a
page would take the old card for the newer one, and a stream would skip what it believes it told.
So every number of a team moves up, past any given out, by the same amount: the order stays, and
every stream that comes back is told the present state of everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models import F, Min

from integrations.models import GitHubIntegration, SyncRun, Team

if TYPE_CHECKING:
    from datetime import datetime

# Numbers begin at the restore's time in microseconds. No team takes a million numbers a second, so
# that a later restore, of whatever backup, begins past them all. JavaScript counts exactly up to
# 2**53, which is the year 2255.
PER_SECOND: Final = 1_000_000


def raise_revisions(now: datetime) -> None:
    """Move the numbers of every team past all that were ever given out."""
    floor = round(now.timestamp() * PER_SECOND)
    with transaction.atomic():
        for team in Team.objects.select_for_update().order_by("pk"):
            _raise(team, floor)


def _raise(team: Team, floor: int) -> None:
    runs = SyncRun.objects.filter(integration__team=team, revision__gt=0)
    integrations = GitHubIntegration.objects.filter(team=team)
    told = integrations.filter(roster_revision__gt=0)
    numbers = [
        runs.aggregate(lowest=Min("revision"))["lowest"],
        told.aggregate(lowest=Min("roster_revision"))["lowest"],
        team.revision,
    ]
    # A clock that was set back since must not bring the numbers back.
    by = max(floor, team.revision + 1) - min((one for one in numbers if one), default=0)
    runs.update(revision=F("revision") + by)
    told.update(roster_revision=F("roster_revision") + by)
    # One of its own for a roster that never moved by hand: a page may hold one that did.
    last = team.revision + by + 1
    integrations.filter(roster_revision=0).update(roster_revision=last)
    Team.objects.filter(pk=team.pk).update(revision=last)
