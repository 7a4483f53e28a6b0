"""Publish to the Pushpins that hold streams, after the commit. Fails no sync, as live/publish.py.

Pushpin sends an item to those who have the one before it (`prev-id`); for the others it asks for
their next link. Numbers that nobody published are gaps: a run that moves twice at once publishes
its later state only. Where no row has such a number any more, an item without news stands for it,
or eight thousand viewers would ask at once.
"""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import requests
import structlog
from django.conf import settings
from django.db import Error as DatabaseFailure
from redis import RedisError

from integrations.live.channels import channel_of
from integrations.live.encoding import encoded
from integrations.live.grip import FIRST_ID
from integrations.live.grip_hold import channel_of_hold
from integrations.live.replay import RowStorage
from integrations.models import GitHubIntegration, SyncRun
from integrations.telemetry.redis_clients import telemetry_client

if TYPE_CHECKING:
    from integrations.live.fragments import LiveEvent

logger = structlog.get_logger(__name__)

TIMEOUT_S: Final = 1
# After a failure nothing is tried for this many times as long as the failure took.
REST_FACTOR: Final = 4
# More is not worth filling: Pushpin then asks for the viewers' next links.
GAP_MAX: Final = 20
# A comment, which viewers pass over.
NO_NEWS: Final = ": \n\n"
FAILURES: Final = (requests.RequestException, RedisError, DatabaseFailure)
# Of numbers only the highest stays, whoever comes last.
RAISE: Final = """
local now = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '-1')
if tonumber(ARGV[2]) > now then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
"""


def publish_to_pushpins(event: LiveEvent) -> None:
    """Publish an event to every Pushpin; nothing where there is none."""
    channel = channel_of(event.team_id)
    for pushpin in pushpins():
        pushpin.publish_event(channel, event)


def pushpins() -> list[Pushpin]:
    """Return the Pushpins of GRIP_URL; one with two keys, while they change, is one."""
    addresses = dict.fromkeys(proxy.control_url for proxy in settings.GRIP_PROXIES)
    return [_pushpin(address) for address in addresses]


def stream_item(channel: str, content: str, *, event_id: int) -> dict[str, Any]:
    """Return an item that is sent as it stands to who has the number before it."""
    return {
        "channel": channel,
        "id": str(event_id),
        "prev-id": str(event_id - 1),
        "formats": {"http-stream": {"content": content}},
    }


def hint_item(sealed: str) -> dict[str, Any]:
    """Return an item that has Pushpin ask for a stream's next link at once."""
    return {
        "channel": channel_of_hold(sealed),
        "id": str(time.time_ns()),
        "prev-id": str(FIRST_ID),
        "formats": {"http-stream": {"action": "hint"}},
    }


class Pushpin:
    """The way to one Pushpin, which rests after a failure."""

    def __init__(self, control_url: str) -> None:
        self.control_url = control_url
        self._session = requests.Session()
        # A machine's proxy for the web is none for our neighbour.
        self._session.trust_env = False
        self._is_broken = False
        self._rests_until_s = 0.0

    def publish_event(self, channel: str, event: LiveEvent) -> None:
        """Publish, with what stands for the numbers before it that nobody has."""
        begun_s = time.monotonic()
        if begun_s < self._rests_until_s:
            return
        try:
            items = _fillings(event, published_id=self.published_ids([channel]).get(channel))
            chunk = encoded(event.type, event.data, channel=channel, event_id=event.revision)
            items.append(stream_item(channel, chunk.decode(), event_id=event.revision))
            self.publish(items)
            self.note_published(channel, event.revision)
        except FAILURES as exc:
            self._fail(exc, begun_s=begun_s)
        else:
            if self._is_broken:
                logger.info("published to pushpin again", address=self.control_url)
            self._is_broken = False

    def publish(self, items: list[dict[str, Any]]) -> None:
        """Have Pushpin take items. Raises requests.RequestException within two seconds."""
        if items:
            self._post(items)

    def check(self) -> None:
        """Publish nothing, to see whether it would be taken. As `publish`."""
        self._post([])

    def _post(self, items: list[dict[str, Any]]) -> None:
        response = self._session.post(
            f"{self.control_url}/publish/", json={"items": items}, timeout=TIMEOUT_S
        )
        response.raise_for_status()

    def published_ids(self, channels: list[str]) -> dict[str, int]:
        """Return the highest number that was published, by channel. Raises RedisError."""
        found = telemetry_client().hmget(self._key, channels)
        return {
            channel: int(number)
            for channel, number in zip(channels, found, strict=True)
            if number is not None
        }

    def catch_up(self, team_id: int, *, published_id: int, current_id: int) -> None:
        """Publish what rows have and nobody published: its publisher died, or had no way here.

        Raises any of FAILURES.
        """
        channel = channel_of(team_id)
        if current_id - published_id <= GAP_MAX:
            found = RowStorage().get_events(channel, published_id, limit=GAP_MAX)
            contents = {
                event.id: encoded(event.type, event.data, channel=channel, event_id=event.id)
                for event in found
            }
            numbers = range(published_id + 1, current_id + 1)
            texts = {number: contents.get(number, NO_NEWS.encode()).decode() for number in numbers}
            self.publish(
                [stream_item(channel, text, event_id=number) for number, text in texts.items()]
            )
        else:
            # Follows on nothing that anybody has: each asks for their next link.
            self.publish([stream_item(channel, NO_NEWS, event_id=current_id)])
        self.note_published(channel, current_id)

    @property
    def _key(self) -> str:
        return f"{settings.BROKER_NAMESPACE}:live:published:{self.control_url}"

    def note_published(self, channel: str, number: int) -> None:
        """Note that nothing up to a number is owed. Raises RedisError."""
        telemetry_client().eval(RAISE, 1, self._key, channel, str(number))

    def _fail(self, error: Exception, *, begun_s: float) -> None:
        now_s = time.monotonic()
        self._rests_until_s = now_s + REST_FACTOR * (now_s - begun_s)
        if not self._is_broken:
            logger.warning("not published to pushpin", address=self.control_url, error=str(error))
        self._is_broken = True


def _fillings(event: LiveEvent, *, published_id: int | None) -> list[dict[str, Any]]:
    """Return items for the numbers before an event's that no row has any more."""
    if published_id is None or not 1 < event.revision - published_id <= GAP_MAX:
        return []
    gap = range(published_id + 1, event.revision)
    runs = SyncRun.objects.filter(integration__team=event.team_id, revision__in=gap)
    rosters = GitHubIntegration.objects.filter(team=event.team_id, roster_revision__in=gap)
    # Their publishers are on their way: Pushpin waits for them.
    coming = {*runs.values_list("revision", flat=True)}
    coming |= {*rosters.values_list("roster_revision", flat=True)}
    channel = channel_of(event.team_id)
    return [
        stream_item(channel, NO_NEWS, event_id=number) for number in gap if number not in coming
    ]


@cache
def _pushpin(control_url: str) -> Pushpin:
    return Pushpin(control_url)
