"""Our consumer of a queue: no message is lost to a broken neighbour, a pause or Redis going away.

Dramatiq's own leaves what was fetched in the acks of a live process for ever when one payload can't
be decoded, when the answer to a fetch was lost, or when the connection broke while delayed messages
waited in memory. Ours keeps a list of what this process really holds and gives back the rest.
"""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import redis
import structlog
from dramatiq import Message
from dramatiq.broker import MessageProxy
from dramatiq.brokers.redis import _RedisConsumer
from dramatiq.common import compute_backoff, current_millis, q_name
from dramatiq.errors import ConnectionClosed, DecodeError

from integrations.constants import QUEUE_INTERACTIVE

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = structlog.get_logger(__name__)

# How often a consumer looks for messages that Redis says are ours and that nobody here holds.
GIVE_BACK_INTERVAL_S: Final = 5
# How long, at the most, a message waits to be seen in the queue that a person watches. Dramatiq's
# second is half of what a click may take to start; a look costs Redis a tenth of a millisecond.
WATCHED_LOOK_MS: Final = 200
# How soon a resumed queue is worked on again.
PAUSED_LOOK_S: Final = 0.25

# KEYS: acks, list, messages. ARGV: ids that are held. Returns how many went back, to the front.
GIVE_BACK_LUA: Final = """
local held = {}
for i = 1, #ARGV do held[ARGV[i]] = true end
local count = 0
for _, id in ipairs(redis.call("smembers", KEYS[1])) do
  if not held[id] then
    redis.call("srem", KEYS[1], id)
    if redis.call("hexists", KEYS[3], id) == 1 then
      redis.call("lpush", KEYS[2], id)
      count = count + 1
    end
  end
end
return count
"""
# KEYS: acks, messages, dead letters, their messages. ARGV: the payload, now in ms.
# A fetch does not say which id a payload had, so it is found by what it holds.
BURY_LUA: Final = """
for _, id in ipairs(redis.call("smembers", KEYS[1])) do
  if redis.call("hget", KEYS[2], id) == ARGV[1] then
    redis.call("srem", KEYS[1], id)
    redis.call("hdel", KEYS[2], id)
    redis.call("zadd", KEYS[3], ARGV[2], id)
    redis.call("hset", KEYS[4], id, ARGV[1])
    return id
  end
end
return false
"""
SCRIPTS: Final = {"give_back": GIVE_BACK_LUA, "bury": BURY_LUA}


@dataclass
class Held:
    """The ids that this process holds of one queue.

    Of `working` some thread knows, or will; `delayed` is known to the consumer's thread alone,
    which forgets them all when it starts anew.
    """

    working: set[str] = field(default_factory=set)
    delayed: set[str] = field(default_factory=set)

    def add(self, message: Message[Any]) -> None:
        is_delayed = message.options.get("eta") is not None
        (self.delayed if is_delayed else self.working).add(message.options["redis_message_id"])

    def discard(self, message_id: str) -> None:
        self.working.discard(message_id)
        self.delayed.discard(message_id)

    def __len__(self) -> int:
        return len(self.working) + len(self.delayed)


HeldByQueue = defaultdict[str, Held]


class RollcallConsumer(_RedisConsumer):
    """Fetches for one queue. Every error of Redis is a ConnectionClosed, which Dramatiq outlives.

    Made by the consumer's thread, each time it starts anew. Raises ConnectionClosed.
    """

    def __init__(self, broker: Any, queue_name: str, prefetch: int, timeout: int) -> None:
        super().__init__(broker, queue_name, prefetch, timeout)  # type: ignore[no-untyped-call]
        self.held: Held = broker.held[queue_name]
        # Dramatiq dropped what waited here before the connection broke.
        self.held.delayed.clear()
        self._has_room = threading.Event()
        self._given_back_at_s = -math.inf
        try:
            self._give_back()
        except redis.RedisError as exc:
            raise _closed(exc) from None

    @property
    def outstanding_message_count(self) -> int:
        return len(self.held) + len(self.message_cache)

    def ack(self, message: MessageProxy) -> None:
        self._settle(self.broker.do_ack, message)

    def nack(self, message: MessageProxy) -> None:
        self._settle(self.broker.do_nack, message)

    def _settle(self, command: Any, message: MessageProxy) -> None:
        message_id = message.options["redis_message_id"]
        try:
            command(self.queue_name, message_id)
        except redis.RedisError as exc:
            # Dramatiq tries again until it works; until then it is ours.
            raise _closed(exc) from None
        self.held.discard(message_id)
        self._has_room.set()

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        ids = [message.options["redis_message_id"] for message in messages]
        # Whether or not Redis hears of it: nobody here holds them any more.
        for message_id in ids:
            self.held.discard(message_id)
        try:
            if ids:
                self.broker.do_requeue(self.queue_name, *ids)
        except redis.RedisError as exc:
            raise _closed(exc) from None

    def close(self) -> None:
        """Give back what was fetched and no thread has seen; Dramatiq's own would keep it."""
        self.message_cache = []
        try:
            self._give_back()
        except redis.RedisError as exc:
            raise _closed(exc) from None

    def __next__(self) -> MessageProxy | None:
        try:
            while self.message_cache or self._fetch():
                message = self._decoded(self.message_cache.pop(0))
                if message is not None:
                    self.held.add(message)
                    return MessageProxy(message)
        except redis.RedisError as exc:
            raise _closed(exc) from None
        return None

    def _fetch(self) -> bool:
        """Fill the cache, or wait a little; return whether there is something in it."""
        if time.monotonic() - self._given_back_at_s >= GIVE_BACK_INTERVAL_S:
            self._give_back()
        is_paused = q_name(self.queue_name) in self.broker.paused_queues
        wanted = 0 if is_paused else self.prefetch - self.outstanding_message_count
        if is_paused or wanted > 0:
            # Nothing is asked of a paused queue, but the heartbeat and the upkeep go on.
            self.message_cache = self.broker.do_fetch(self.queue_name, wanted)
        if self.message_cache:
            self.misses = 0
        elif not is_paused and wanted <= 0:
            self._wait_for_room()
        elif is_paused:
            time.sleep(min(PAUSED_LOOK_S, self.timeout / 1000))
        else:
            time.sleep(self.next_pause_s())
        return bool(self.message_cache)

    def _wait_for_room(self) -> None:
        """Wait until a message is done with, and no longer than for an empty queue.

        Dramatiq sleeps ever longer here, and its thread is idle meanwhile, whatever is queued: of
        a night's messages, each waited on GitHub for a second and then 0.2 s for its successor.
        """
        self._has_room.clear()
        if self.outstanding_message_count >= self.prefetch:
            self._has_room.wait(self.timeout / 1000)
        self.misses = 0

    def next_pause_s(self) -> float:
        """Return how long to wait before an empty queue is looked at again: ever longer."""
        is_watched = q_name(self.queue_name) == QUEUE_INTERACTIVE
        longest_ms = min(self.timeout, WATCHED_LOOK_MS) if is_watched else self.timeout
        self.misses, pause_ms = compute_backoff(self.misses, max_backoff=longest_ms)
        return pause_ms / 1000

    def _give_back(self) -> None:
        """Put back what Redis says is ours and nobody here holds: the answer to a fetch was lost.

        Called by the consumer's thread with an empty cache, so that nothing comes in meanwhile.
        """
        self._given_back_at_s = time.monotonic()
        held = (*self.held.working.copy(), *self.held.delayed.copy())
        count = self.broker.scripts["give_back"](
            keys=[self._acks, self._name(self.queue_name), self._name(f"{self.queue_name}.msgs")],
            args=held,
        )
        if count:
            logger.warning("messages given back to their queue", queue=self.queue_name, count=count)

    def _decoded(self, raw: bytes | None) -> Message[Any] | None:
        """Return the message, or None once an unusable one is out of the way."""
        if raw is None:
            # Deleted while its id lay in the list; the id must leave our acks too.
            self._given_back_at_s = -math.inf
            return None
        try:
            message = Message.decode(raw)
            is_ours = is_usable(message, self.queue_name) and isinstance(
                message.options.get("redis_message_id"), str
            )
        except (DecodeError, TypeError, ValueError, RecursionError):
            is_ours = False
        if not is_ours:
            self._bury(raw)
            return None
        # What Redis gave out again while we work on it stays ours, once.
        return None if message.options["redis_message_id"] in self.held.working else message

    def _bury(self, raw: bytes) -> None:
        dead = f"{q_name(self.queue_name)}.XQ"
        message_id = self.broker.scripts["bury"](
            keys=[
                self._acks,
                self._name(f"{self.queue_name}.msgs"),
                self._name(dead),
                self._name(f"{dead}.msgs"),
            ],
            args=[raw, current_millis()],
        )
        logger.error(
            "message unreadable, now a dead letter",
            queue=self.queue_name,
            redis_message_id=message_id.decode() if message_id else "",
            size=len(raw),
        )

    @property
    def _acks(self) -> str:
        return self._name(f"__acks__.{self.broker.broker_id}.{self.queue_name}")

    def _name(self, name: str) -> str:
        return f"{self.broker.namespace}:{name}"


def _closed(error: redis.RedisError) -> ConnectionClosed:
    closed: ConnectionClosed = ConnectionClosed(error)  # type: ignore[no-untyped-call]
    return closed


def is_usable(message: Any, queue_name: str) -> bool:
    """Say whether Dramatiq can work on it at all: else a thread of it would die."""
    return bool(
        message.queue_name == queue_name
        and isinstance(message.actor_name, str)
        and isinstance(message.message_id, str)
        and isinstance(message.message_timestamp, int | float)
        and isinstance(message.args, list | tuple)
        and isinstance(message.kwargs, dict)
        and isinstance(message.options, dict)
    )
