"""Replay without an event log: the rows whose revision a viewer has not seen yet.

Missed ten progress ticks? You get the one that matters.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias

from django.db.models import Max, Q, Window
from django.db.models.functions import RowNumber
from django_eventstream.event import Event
from django_eventstream.storage import EventDoesNotExist, StorageBase

from integrations.live.channels import channel_of, team_id_of
from integrations.live.fragments import (
    LiveEvent,
    member_sync_event,
    preview_event,
    repository_sync_event,
    roster_event,
)
from integrations.models import GitHubIntegration, SyncRun, Team

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from django.db.models import QuerySet

# A channel, and the id after which.
Place: TypeAlias = tuple[str, int]


class RowStorage(StorageBase):  # type: ignore[misc]
    """django-eventstream's storage, whose events are the present state of rows."""

    def append_event(self, channel: str, event_type: str, data: str) -> Event:
        raise NotImplementedError("events are rows already; see live/publish.py")

    def get_current_id(self, channel: str) -> int:
        teams = Team.objects.filter(pk=team_id_of(channel) or 0)
        return teams.values_list("revision", flat=True).first() or 0

    def get_events(self, channel: str, last_id: int, limit: int = 100) -> list[Event]:
        """Return what moved after `last_id`, oldest first.

        Raises EventDoesNotExist for an id that is yet to come (a restored database): the viewer
        then reloads.
        """
        current_id = self.get_current_id(channel)
        if last_id > current_id:
            raise EventDoesNotExist(f"no event {last_id} yet", current_id)
        if last_id == current_id:
            return []
        place = (channel, last_id)
        return events_after({place: current_id}, limit=limit)[place]


def as_library_event(event: LiveEvent) -> Event:
    return Event(channel_of(event.team_id), event.type, event.data, id=event.revision)


def events_after(behind: Mapping[Place, int], *, limit: int) -> dict[Place, list[Event]]:
    """Return for each place what moved up to the given revision, oldest first, `limit` at the most.

    Two queries, however many channels; one more for each further id of the same channel. What moved
    past the revision while we read is left to its own event. Told now, it would take the viewer
    past a number before it whose row was read too early.
    """
    team_ids = {team_id_of(channel) or 0 for channel, _ in behind}
    rows = GitHubIntegration.objects.select_related("team").filter(team__in=team_ids)
    integrations = {channel_of(integration.team_id): integration for integration in rows}
    moved: dict[Place, list[tuple[int, Callable[[], LiveEvent]]]] = {place: [] for place in behind}
    for turn in _turns(place for place in behind if place[0] in integrations):
        places = {integrations[place[0]].pk: place for place in turn}
        for run in _latest_runs({key: after_id for key, (_, after_id) in places.items()}, limit):
            place = places[run.integration_id]
            if run.revision <= behind[place]:
                tell = partial(_event_of, integrations[place[0]], run)
                moved[place].append((run.revision, tell))
    for (channel, after_id), upto_id in behind.items():
        integration = integrations.get(channel)
        if integration is not None and after_id < integration.roster_revision <= upto_id:
            tell = partial(roster_event, integration)
            moved[channel, after_id].append((integration.roster_revision, tell))
    # A viewer gets a few of many: only those are rendered.
    return {
        place: [as_library_event(tell()) for _, tell in sorted(found, key=itemgetter(0))[:limit]]
        for place, found in moved.items()
    }


def _turns(places: Iterable[Place]) -> list[list[Place]]:
    """Part the places so that each channel comes once a turn."""
    turns: list[list[Place]] = []
    seen: Counter[str] = Counter()
    for place in places:
        if seen[place[0]] == len(turns):
            turns.append([])
        turns[seen[place[0]]].append(place)
        seen[place[0]] += 1
    return turns


def _latest_runs(after_ids: Mapping[int, int], limit: int) -> QuerySet[SyncRun]:
    """Return the newest run of each subject that moved, in the order in which they did.

    `after_ids`: the revision after which, by the integration's key; the first `limit` of each.
    """
    moved = Q()
    for integration_id, after_id in after_ids.items():
        moved |= Q(integration=integration_id, revision__gt=after_id)
    newest = (
        SyncRun.objects.filter(moved)
        .order_by()
        .values("integration", "kind", "repository")
        .annotate(newest=Max("pk"))
        .values("newest")
    )
    turn = Window(RowNumber(), partition_by="integration", order_by="revision")
    return (
        SyncRun.objects.filter(pk__in=newest)
        .annotate(turn=turn)
        .filter(turn__lte=limit)
        .select_related("repository")
        .order_by("revision")
    )


def _event_of(integration: GitHubIntegration, run: SyncRun) -> LiveEvent:
    if run.repository is not None:
        return repository_sync_event(run.repository, run, team_id=integration.team_id)
    if run.is_preview:
        return preview_event(run, team_id=integration.team_id)
    return member_sync_event(integration, run)
