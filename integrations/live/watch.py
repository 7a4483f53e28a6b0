"""Compare what open streams were told with the rows, in one query for all of them.

An event can be lost: its publisher died between commit and publish, or Redis was away for it alone.
And a person can lose a team by ways that publish nothing. Every few seconds each process asks the
database once, and wakes the streams that are behind or may no longer listen. It ends those whose
person signed out, or got another password, somewhere else: reopening then says so.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog
from django.contrib.sessions.models import Session
from django.db import Error as DatabaseFailure
from django.utils import timezone

from integrations.live.audience import audience
from integrations.live.channels import team_id_of
from integrations.live.process_task import ProcessTask
from integrations.live.reading import in_reading_thread
from integrations.models import Membership, Team

if TYPE_CHECKING:
    from collections.abc import Iterable

    from integrations.live.audience import Listening

logger = structlog.get_logger(__name__)

INTERVAL_S: Final = 5.0


class StreamWatch(ProcessTask):
    """The watch over a process's streams."""

    def __init__(self) -> None:
        super().__init__("stream-watch")

    async def run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            # Who joins while the rows are read was not asked for, and has just been let in.
            viewers = audience.everybody()
            if viewers:
                channels = {viewer.channel for viewer in viewers}
                session_keys = {viewer.session_key for viewer in viewers}
                try:
                    rows = await in_reading_thread(read_rows, channels, session_keys)
                except DatabaseFailure as exc:
                    logger.warning("streams not compared with rows", error=str(exc))
                else:
                    _wake_where_needed(rows, viewers)


@dataclass(frozen=True)
class Rows:
    """What the database says of everything that is streamed here."""

    # Each team's revision.
    revisions: dict[int, int]
    # Who belongs to which team, with the password that is theirs now.
    passwords: dict[tuple[int, int], str]
    # The sessions that live.
    session_keys: set[str]


def read_rows(channels: set[str], session_keys: set[str]) -> Rows:
    """Read what streams of these channels and sessions stand on, in three queries."""
    team_ids = [team_id for team_id in map(team_id_of, channels) if team_id is not None]
    revisions = dict(Team.objects.filter(pk__in=team_ids).values_list("pk", "revision"))
    members = Membership.objects.filter(team__in=team_ids, user__is_active=True)
    live_sessions = Session.objects.filter(
        session_key__in=session_keys, expire_date__gt=timezone.now()
    )
    return Rows(
        revisions,
        {
            (team, user): password
            for team, user, password in members.values_list("team", "user", "user__password")
        },
        set(live_sessions.values_list("session_key", flat=True)),
    )


def _wake_where_needed(rows: Rows, viewers: Iterable[Listening]) -> None:
    """Have those read the rows who are behind; reading checks the permission as well."""
    for viewer in viewers:
        team_id = team_id_of(viewer.channel) or 0
        password = rows.passwords.get((team_id, viewer.user_id))
        is_signed_in = viewer.session_key in rows.session_keys
        if password is not None and not (is_signed_in and password == viewer.password):
            viewer.end()
        elif password is None or viewer.sent_id < rows.revisions.get(team_id, 0):
            viewer.read_again()


watch: Final = StreamWatch()
