"""What streams missed: read for many at once, encoded once, and kept for a moment.

After an outage ten thousand viewers ask within seconds, most of them for what others just got.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, TypeAlias

from integrations.live.channels import readers_of_teams, team_id_of
from integrations.live.encoding import encoded
from integrations.live.replay import events_after
from integrations.models import Team

if TYPE_CHECKING:
    from django_eventstream.event import Event

    from integrations.live.replay import Place

# A channel, and the id after which; None where only the channel's present id is wanted.
Question: TypeAlias = tuple[str, int | None]

EVENTS_AT_ONCE: Final = 100
# The words of a fragment may age without a revision (how many wait before a run): not for long.
KEPT_S: Final = 1.0
# Of a hundred events each at the very most.
KEPT_MAX: Final = 64


@dataclass(frozen=True)
class News:
    """What moved after an id, and which of those who asked may hear it."""

    events: tuple[Event, ...]
    # These events as they go to each viewer.
    chunk: bytes
    # The id that these events bring a viewer up to.
    current_id: int
    is_reset: bool = False
    has_more: bool = False
    reader_ids: frozenset[int] = frozenset()


def read_news(asked: Mapping[Question, set[int]], *, recent: RecentNews) -> dict[Question, News]:
    """Answer each question for those of its people who may hear it: a few queries for all."""
    team_ids = {channel: team_id_of(channel) or 0 for channel, _ in asked}
    # Before the rows: numbers commit in order, so that the rows cover this one at least.
    teams = Team.objects.filter(pk__in=set(team_ids.values()))
    revisions = dict(teams.values_list("pk", "revision"))
    readers = readers_of_teams(set(team_ids.values()), among=set().union(*asked.values()))
    answers: dict[Question, News] = {}
    behind: dict[Place, int] = {}
    for (channel, after_id), user_ids in asked.items():
        current_id = revisions.get(team_ids[channel], 0)
        reader_ids = readers.get(team_ids[channel], frozenset()) & user_ids
        answers[channel, after_id] = News((), b"", current_id, reader_ids=reader_ids)
        if reader_ids and after_id is not None and after_id != current_id:
            behind[channel, after_id] = current_id
    for place, news in recent.after(behind).items():
        answers[place] = replace(news, reader_ids=answers[place].reader_ids)
    return answers


class RecentNews:
    """What was read just now, by place: right as long as its channel has not moved again."""

    def __init__(self) -> None:
        # With the instant (time.monotonic) and the channel's revision at which it was read.
        # Exchanged as a whole, since several threads read.
        self._kept: dict[Place, tuple[float, int, News]] = {}

    def after(self, behind: Mapping[Place, int]) -> dict[Place, News]:
        """Return the news of each place, whose channel stands at the given revision."""
        now_s = time.monotonic()
        kept = {place: one for place, one in self._kept.items() if one[0] > now_s - KEPT_S}
        found = {
            place: kept[place][2]
            for place, current_id in behind.items()
            if place in kept and kept[place][1] == current_id
        }
        read = _read({place: behind[place] for place in behind if place not in found})
        newest = {place: (now_s, behind[place], news) for place, news in read.items()}
        older = (item for item in kept.items() if item[0] not in newest)
        self._kept = dict(islice(chain(newest.items(), older), KEPT_MAX))
        return found | read


def _read(behind: Mapping[Place, int]) -> dict[Place, News]:
    ahead = {place for place, current_id in behind.items() if place[1] > current_id}
    reachable = {place: behind[place] for place in behind if place not in ahead}
    moved = events_after(reachable, limit=EVENTS_AT_ONCE + 1) if reachable else {}
    return {
        # An id that is yet to come (a restored database): the viewer reloads.
        place: News((), b"", current_id, is_reset=True)
        if place in ahead
        else _news_of(place[0], moved[place], current_id)
        for place, current_id in behind.items()
    }


def _news_of(channel: str, events: list[Event], current_id: int) -> News:
    has_more = len(events) > EVENTS_AT_ONCE
    told = tuple(events[:EVENTS_AT_ONCE])
    return News(
        told,
        b"".join(encoded(one.type, one.data, channel=channel, event_id=one.id) for one in told),
        told[-1].id if has_more else current_id,
        has_more=has_more,
    )
