"""Replay without an event log: the rows whose revision a viewer has not seen yet.

Missed ten progress ticks? You get the one that matters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Max, Q
from django_eventstream.event import Event
from django_eventstream.storage import EventDoesNotExist, StorageBase

from integrations.constants import RunKind
from integrations.live.channels import channel_of, team_id_of
from integrations.live.fragments import (
    LiveEvent,
    member_sync_event,
    repository_sync_event,
    roster_event,
)
from integrations.models import GitHubIntegration, SyncRun, Team

if TYPE_CHECKING:
    from collections.abc import Iterable


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
        events = sorted(_events_after(channel, last_id), key=lambda event: event.revision)
        return [as_library_event(event) for event in events[:limit]]


def as_library_event(event: LiveEvent) -> Event:
    return Event(channel_of(event.team_id), event.type, event.data, id=event.revision)


def _events_after(channel: str, last_id: int) -> Iterable[LiveEvent]:
    integration = GitHubIntegration.objects.filter(team=team_id_of(channel)).first()
    if integration is None:
        return
    if integration.roster_revision > last_id:
        yield roster_event(integration)
    for run in _latest_runs_after(integration, last_id):
        if run.repository is None:
            yield member_sync_event(integration, run)
        else:
            yield repository_sync_event(run.repository, run, team_id=integration.team_id)


def _latest_runs_after(integration: GitHubIntegration, last_id: int) -> Iterable[SyncRun]:
    """Return the newest run of each subject, as far as it moved: two queries."""
    moved = SyncRun.objects.filter(integration=integration, revision__gt=last_id)
    newest = (
        moved.order_by()
        .values("kind", "repository")
        .annotate(newest=Max("pk"))
        .values_list("newest", flat=True)
    )
    of_kind = Q(kind=RunKind.MEMBERS) | Q(repository__isnull=False)
    return SyncRun.objects.filter(of_kind, pk__in=list(newest)).select_related("repository")
