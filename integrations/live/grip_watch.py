"""Compare the streams that Pushpins hold with the rows, as live/watch.py does with our own.

One web process at a time, in turns that Redis gives: it ends those of people who lost the team,
signed out or have another password, and publishes what rows have and nobody published.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import structlog
from django.conf import settings

from integrations.live.channels import channel_of, team_id_of
from integrations.live.grip_hold import Hold, digest_of
from integrations.live.grip_publish import FAILURES, hint_item, pushpins
from integrations.live.grip_register import forget_holds, read_holds
from integrations.live.process_task import ProcessTask
from integrations.live.reading import in_reading_thread
from integrations.live.watch import read_rows
from integrations.telemetry.redis_clients import telemetry_client

if TYPE_CHECKING:
    from integrations.live.watch import Rows

logger = structlog.get_logger(__name__)

INTERVAL_S: Final = 5.0
# Over before the same process comes again, so that another one takes over from one that died.
TURN_MS: Final = 4_000
# Teams a pass: each costs a few queries.
CATCH_UPS_AT_ONCE: Final = 100
# Items a call: Pushpin takes a megabyte.
ENDS_AT_ONCE: Final = 1_000
OPENED_KEPT: Final = 20_000


class HoldWatch(ProcessTask):
    """The watch over the streams that Pushpins hold."""

    def __init__(self) -> None:
        super().__init__("hold-watch")

    async def run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            try:
                await in_reading_thread(compare_in_turn)
            except FAILURES as exc:
                logger.warning("held streams not compared with rows", error=str(exc))


hold_watch: Final = HoldWatch()


def compare_in_turn() -> None:
    """Compare, unless another process just does. Raises any of FAILURES."""
    key = f"{settings.BROKER_NAMESPACE}:live:hold-watch"
    if telemetry_client().set(key, b"taken", nx=True, px=TURN_MS):
        compare()


def compare() -> None:
    """End the streams that have to end and publish what was not. Raises any of FAILURES."""
    holds = {sealed: hold for sealed in read_holds(telemetry_client()) if (hold := _opened(sealed))}
    if not holds:
        return
    rows = read_rows(
        {hold.channel for hold in holds.values()}, {hold.session_key for hold in holds.values()}
    )
    _end_those_who_lost_it(holds, rows)
    _catch_up(rows)


def _end_those_who_lost_it(holds: dict[str, Hold], rows: Rows) -> None:
    """Have Pushpin ask for their next links, which is answered with the end (grip_door.py)."""
    lost = [sealed for sealed, hold in holds.items() if not _may_listen(hold, rows)]
    for pushpin in pushpins():
        for begin in range(0, len(lost), ENDS_AT_ONCE):
            pushpin.publish([hint_item(sealed) for sealed in lost[begin : begin + ENDS_AT_ONCE]])
    # Only now: what failed before is tried again at the next pass.
    forget_holds(telemetry_client(), lost)


def _may_listen(hold: Hold, rows: Rows) -> bool:
    password = rows.passwords.get((team_id_of(hold.channel) or 0, hold.user_id))
    return (
        password is not None
        and digest_of(password) == hold.password_digest
        and hold.session_key in rows.session_keys
    )


def _catch_up(rows: Rows) -> None:
    for pushpin in pushpins():
        published = pushpin.published_ids([channel_of(team_id) for team_id in rows.revisions])
        due = [
            (team_id, published.get(channel_of(team_id)), current_id)
            for team_id, current_id in rows.revisions.items()
            if current_id > published.get(channel_of(team_id), -1)
        ]
        for team_id, published_id, current_id in due[:CATCH_UPS_AT_ONCE]:
            if published_id is None:
                # Never published to: who is held has all by their request. From here on we look.
                pushpin.note_published(channel_of(team_id), current_id)
            else:
                pushpin.catch_up(team_id, published_id=published_id, current_id=current_id)


@lru_cache(maxsize=OPENED_KEPT)
def _opened(sealed: str) -> Hold | None:
    try:
        return Hold.opened(sealed)
    except ValueError:
        # Of another SECRET_KEY, with which everybody was signed out.
        return None
