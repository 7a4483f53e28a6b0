"""Compare what open streams were told with the rows, in one query for all of them.

An event can be lost: its publisher died between commit and publish, or Redis was away for it alone.
And a person can lose a team by ways that publish nothing. Every few seconds each process asks the
database once, and wakes the streams that are behind or may no longer listen.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from django.db import Error as DatabaseFailure
from django_eventstream.views import get_listener_manager

from integrations.live.channels import team_id_of
from integrations.live.process_task import ProcessTask
from integrations.live.reading import in_reading_thread
from integrations.models import Membership, Team

logger = structlog.get_logger(__name__)

INTERVAL_S: Final = 5.0


class StreamWatch(ProcessTask):
    """The watch over a process's streams."""

    def __init__(self) -> None:
        super().__init__("stream-watch")

    async def run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            team_ids = _watched_teams()
            if team_ids:
                try:
                    rows = await in_reading_thread(_read, team_ids)
                except DatabaseFailure as exc:
                    logger.warning("streams not compared with rows", error=str(exc))
                else:
                    _wake_where_needed(*rows)


def _watched_teams() -> list[int]:
    manager = get_listener_manager()
    with manager.lock:
        found = (team_id_of(channel) for channel in manager.listeners_by_channel)
        return [team_id for team_id in found if team_id is not None]


def _read(team_ids: list[int]) -> tuple[dict[int, int], set[tuple[int, int]]]:
    """Return each team's revision, and who belongs to it."""
    revisions = dict(Team.objects.filter(pk__in=team_ids).values_list("pk", "revision"))
    members = Membership.objects.filter(team__in=team_ids, user__is_active=True)
    return revisions, set(members.values_list("team", "user"))


def _wake_where_needed(revisions: dict[int, int], members: set[tuple[int, int]]) -> None:
    """Have those read the rows who are behind; reading checks the permission as well."""
    manager = get_listener_manager()
    with manager.lock:
        for channel, viewers in manager.listeners_by_channel.items():
            team_id = team_id_of(channel) or 0
            for viewer in viewers:
                is_behind = viewer.sent_id < revisions.get(team_id, 0)
                if is_behind or (team_id, viewer.user_id) not in members:
                    viewer.overflow = True
                    viewer.wake_threadsafe()


watch: Final = StreamWatch()
