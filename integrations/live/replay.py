"""Replay without an event log: the rows whose revision a viewer has not seen yet.

Missed ten progress ticks? You get the one that matters.
"""

from __future__ import annotations

from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING

from django.db.models import Max
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
    from collections.abc import Callable

    from django.db.models import QuerySet


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
        moved = _moved(channel, after_id=last_id, upto_id=current_id, limit=limit)
        moved.sort(key=itemgetter(0))
        return [as_library_event(render()) for _, render in moved[:limit]]


def as_library_event(event: LiveEvent) -> Event:
    return Event(channel_of(event.team_id), event.type, event.data, id=event.revision)


def _moved(
    channel: str, *, after_id: int, upto_id: int, limit: int
) -> list[tuple[int, Callable[[], LiveEvent]]]:
    """Return the revisions in between and how to render each: a viewer gets a few of many.

    What moved past `upto_id` while we read is left to its own event. Told now, it would take the
    viewer past a number before it whose row was read too early.
    """
    integrations = GitHubIntegration.objects.select_related("team")
    integration = integrations.filter(team=team_id_of(channel)).first()
    if integration is None:
        return []
    moved: list[tuple[int, Callable[[], LiveEvent]]] = [
        (run.revision, partial(_event_of, integration, run))
        for run in _latest_runs(integration, after_id=after_id, upto_id=upto_id)[:limit]
    ]
    if after_id < integration.roster_revision <= upto_id:
        moved.append((integration.roster_revision, partial(roster_event, integration)))
    return moved


def _latest_runs(
    integration: GitHubIntegration, *, after_id: int, upto_id: int
) -> QuerySet[SyncRun]:
    """Return the newest run of each subject that moved, in the order in which they did."""
    moved = SyncRun.objects.filter(integration=integration, revision__gt=after_id)
    newest = (
        moved.order_by().values("kind", "repository").annotate(newest=Max("pk")).values("newest")
    )
    return (
        SyncRun.objects.filter(pk__in=newest, revision__lte=upto_id)
        .select_related("repository")
        .order_by("revision")
    )


def _event_of(integration: GitHubIntegration, run: SyncRun) -> LiveEvent:
    if run.repository is not None:
        return repository_sync_event(run.repository, run, team_id=integration.team_id)
    if run.is_preview:
        return preview_event(run, team_id=integration.team_id)
    return member_sync_event(integration, run)
