"""Hear what other processes publish, for as long as this process lives.

django-eventstream's own listener dies for good in a Redis outage and leaves its streams silent.
This one reconnects, and whenever it has (re)subscribed it has every stream read the rows again.
An event is encoded here, once for all who hear it.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import structlog
from django.conf import settings
from django.utils import timezone
from redis import RedisError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from integrations.live.audience import Heard, audience
from integrations.live.encoding import encoded
from integrations.live.process_task import ProcessTask
from integrations.live.publish import redis_channel

logger = structlog.get_logger(__name__)

BACKOFF_S: Final = 0.1
BACKOFF_MAX_S: Final = 1.0
# A Redis that hangs is noticed by a ping that nobody answers.
PING_INTERVAL_S: Final = 3.0
ANSWER_TIMEOUT_S: Final = 3.0


class LiveListener(ProcessTask):
    """One subscription of a process, kept up."""

    def __init__(self) -> None:
        super().__init__("live-listener")
        self.is_connected = False
        # When that last changed.
        self.since = timezone.now()
        self._has_failed = False

    async def run(self) -> None:
        backoff_s = BACKOFF_S
        while True:
            try:
                async with self._client() as client, client.pubsub() as pubsub:
                    await pubsub.subscribe(redis_channel())
                    backoff_s = BACKOFF_S
                    await self._hear(pubsub)
            except (RedisError, OSError, TimeoutError) as exc:
                self._become(is_connected=False, error=str(exc))
            await asyncio.sleep(backoff_s)
            backoff_s = min(BACKOFF_MAX_S, backoff_s * 2)

    @staticmethod
    def _client() -> Redis:
        return Redis.from_url(
            settings.LIVE_REDIS_URL,
            socket_connect_timeout=ANSWER_TIMEOUT_S,
            socket_timeout=ANSWER_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )

    async def _hear(self, pubsub: object) -> None:
        """Take messages until the connection is lost. Raises RedisError or TimeoutError."""
        heard_at = asyncio.get_running_loop().time()
        while True:
            message = await pubsub.get_message(timeout=PING_INTERVAL_S)  # type: ignore[attr-defined]
            now = asyncio.get_running_loop().time()
            if message is not None:
                heard_at = now
                self._take(message)
            elif now - heard_at > PING_INTERVAL_S + ANSWER_TIMEOUT_S:
                raise TimeoutError("Redis doesn't answer")
            else:
                await pubsub.ping()  # type: ignore[attr-defined]

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self._become(is_connected=True)
            have_streams_read_again()
        elif message["type"] == "message":
            try:
                _deliver(json.loads(message["data"]))
            except (ValueError, TypeError, KeyError) as exc:
                # Another version's, in the middle of a deployment: the watch brings the rows.
                logger.warning("live message not understood", error=repr(exc))

    def _become(self, *, is_connected: bool, error: str = "") -> None:
        if is_connected:
            logger.info("live listener subscribed")
        elif self.is_connected or not self._has_failed:
            logger.warning("live listener has no Redis", error=error)
        self._has_failed = not is_connected
        if is_connected != self.is_connected:
            self.is_connected, self.since = is_connected, timezone.now()


def _deliver(published: dict[str, Any]) -> None:
    channel = str(published["channel"])
    if published.get("recheck"):
        have_streams_read_again(channel)
        return
    event_id, event_type = int(str(published["pub_id"])), str(published["event_type"])
    chunk = encoded(event_type, str(published["data"]), channel=channel, event_id=event_id)
    committed_at_s = published.get("committed_at_s")
    event = Heard(
        id=event_id,
        type=event_type,
        chunk=chunk,
        committed_at_s=None if committed_at_s is None else float(committed_at_s),
    )
    audience.tell(channel, event)


def have_streams_read_again(channel: str | None = None) -> None:
    """Wake the streams of a channel, or all, to read the rows and check their permission."""
    for viewer in audience.everybody() if channel is None else audience.of(channel):
        viewer.read_again()


listener = LiveListener()
