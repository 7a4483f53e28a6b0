"""Reading through a queue in Redis, however long it is, for the messages that match.

Payloads are looked at where they lie, a chunk at a time: a script of a few milliseconds returns the
few that match, instead of a hundred thousand being carried here. Whoever looks sets a deadline.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from integrations.ops.broker_keys import QueueKeys
from integrations.ops.message_shapes import DEAD, READY
from integrations.ops.subjects import KIND_OF_ACTOR
from integrations.telemetry.redis_clients import broker_client

if TYPE_CHECKING:
    from collections.abc import Iterator

# A chunk keeps Redis busy for about 4 ms. Lua can't unpack more than some 8,000 at once.
CHUNK_SIZE: Final = 2_000
# Letters and digits stand in JSON as they are; anything else may be escaped there.
_PLAIN: Final = re.compile(r"[0-9A-Za-z]+")

# KEYS: what orders the messages, and the hash of their payloads.
# Returns how many were read, the next cursor of a hash, and for each match in one flat list: its
# key, its payload if wanted, the score of a dead one; of a delayed one, when it is due and how
# often it was tried.
_SCAN: Final = """
local kind, first, last, wants_payload = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'
local actor, kinds, tokens, needle_count = ARGV[5], {}, nil, tonumber(ARGV[8])
for name, letter in string.gmatch(ARGV[6], '([^=,]+)=([^,]+)') do kinds[name] = letter end
if ARGV[7] ~= '' then
    tokens = {}
    for token in string.gmatch(ARGV[7], '[^,]+') do tokens[token] = true end
end
local keys, scores, payloads, cursor = {}, {}, {}, '0'
if kind == 'hash' then
    local answer = redis.call('hscan', KEYS[2], first, 'COUNT', last)
    cursor = answer[1]
    for i = 1, #answer[2], 2 do
        keys[#keys + 1] = answer[2][i]
        payloads[#keys] = answer[2][i + 1]
    end
else
    if kind == 'list' then
        keys = redis.call('lrange', KEYS[1], first, last)
    else
        local pairs_read = redis.call('zrevrange', KEYS[1], first, last, 'WITHSCORES')
        for i = 1, #pairs_read, 2 do
            keys[#keys + 1] = pairs_read[i]
            scores[#keys] = pairs_read[i + 1]
        end
    end
    if #keys > 0 then payloads = redis.call('hmget', KEYS[2], unpack(keys)) end
end
local function matches(payload)
    local name = ''
    if actor ~= '' or tokens then
        name = string.match(payload, '"actor_name":"([^"]*)"') or ''
    end
    if actor ~= '' and not string.find(string.lower(name), actor, 1, true) then return false end
    if tokens then
        local id = string.match(payload, '"args":%[(%-?%d+)[,%]]')
        if not (id and kinds[name] and tokens[kinds[name] .. id]) then return false end
    end
    if needle_count > 0 then
        local low = string.lower(payload)
        for i = 1, needle_count do
            if not string.find(low, ARGV[8 + i], 1, true) then return false end
        end
    end
    return true
end
local found = {}
for i, key in ipairs(keys) do
    local payload = payloads[i] or ''
    if matches(payload) then
        local eta, retries = '', ''
        if kind == 'hash' then
            local options = string.match(payload, '^.*"options":(.*)') or ''
            eta = string.match(options, '"eta":(%d+)') or ''
            retries = string.match(options, '"retries":(%d+)') or ''
        end
        found[#found + 1] = key
        found[#found + 1] = wants_payload and payload or ''
        if kind == 'zset' then found[#found + 1] = scores[i] end
        if kind == 'hash' then
            found[#found + 1] = eta
            found[#found + 1] = retries
        end
    end
end
return {#keys, cursor, found}
"""

_WIDTHS: Final = {"list": 2, "zset": 3, "hash": 4}


@dataclass(frozen=True)
class Criteria:
    """What Redis can tell of a payload without decoding it."""

    # Part of the actor's name, in lower case.
    actor: str = ""
    # What the message is about (ops/subjects.py); None: whatever it is about.
    tokens: frozenset[str] | None = None
    # All that a match contains, in lower case; more is not known until it is decoded.
    text: str = ""

    @property
    def needles(self) -> list[str]:
        return [part.lower() for part in _PLAIN.findall(self.text)]

    @property
    def arguments(self) -> list[str]:
        tokens = "" if self.tokens is None else ",".join(self.tokens or {"none"})
        kinds = ",".join(f"{actor}={kind}" for actor, kind in KIND_OF_ACTOR.items())
        return [self.actor, kinds, tokens, str(len(self.needles)), *self.needles]


class Found(NamedTuple):
    """One match, where it lies."""

    queue: str
    key: str
    raw: bytes
    # Of a dead one: when it died. Of a delayed one: when it is due (0: not known), how often it was
    # tried.
    figures: tuple[float, ...]


@dataclass
class Progress:
    """How far a search got, against its deadline."""

    budget_s: float
    searched_count: int = 0
    is_complete: bool = True
    _started_at_s: float = field(default_factory=time.monotonic)

    def is_over(self) -> bool:
        """Say whether the time is used up; the search is then not complete."""
        if time.monotonic() - self._started_at_s > self.budget_s:
            self.is_complete = False
        return not self.is_complete


def scan(
    queue: str, place: str, criteria: Criteria, *, progress: Progress, wants_payload: bool = False
) -> Iterator[Found]:
    """Yield what matches in one queue's ready, delayed or dead messages, each once.

    The ready ones from the end of the queue, which workers don't move: what they take from its head
    meanwhile makes nobody else be missed. The dead ones newest first. Raises redis.RedisError.
    """
    seen: set[bytes] = set()
    for read_count, matches in _chunks(queue, place, criteria, wants_payload=wants_payload):
        for number, (key, raw, *figures) in enumerate(matches):
            # Whoever wants payloads takes his time with each.
            if wants_payload and progress.is_over():
                progress.searched_count += read_count * number // len(matches)
                return
            if key not in seen:
                seen.add(key)
                yield Found(queue, key.decode(), raw, tuple(float(one or 0) for one in figures))
        progress.searched_count += read_count
        if progress.is_over():
            return


def _chunks(
    queue: str, place: str, criteria: Criteria, *, wants_payload: bool
) -> Iterator[tuple[int, list[Any]]]:
    order, payloads, kind = _place(queue, place)
    arguments = ["1" if wants_payload else "0", *criteria.arguments]
    width = _WIDTHS[kind]
    client, number, is_last = broker_client(), 0, False
    first, last = _range(kind, 0)
    while not is_last:
        answer: Any = client.eval(_SCAN, 2, order, payloads, kind, first, last, *arguments)
        read_count, cursor, flat = answer
        matches = [flat[i : i + width] for i in range(0, len(flat), width)]
        yield read_count, matches[::-1] if kind == "list" else matches
        number += 1
        if kind == "hash":
            first, is_last = cursor.decode(), int(cursor) == 0
        else:
            (first, last), is_last = _range(kind, number), read_count < CHUNK_SIZE


def _place(queue: str, place: str) -> tuple[str, str, str]:
    """Return what orders the messages, where their payloads are, and what kind of thing that is."""
    keys = QueueKeys(queue)
    if place == READY:
        return keys.ready, keys.ready_payloads, "list"
    if place == DEAD:
        return keys.dead, keys.dead_payloads, "zset"
    return keys.delayed, keys.delayed_payloads, "hash"


def _range(kind: str, number: int) -> tuple[str, str]:
    """Return the bounds of a chunk; for a hash its first cursor, and how many to read."""
    if kind == "list":
        bounds = -(number + 1) * CHUNK_SIZE, -number * CHUNK_SIZE - 1
    elif kind == "zset":
        bounds = number * CHUNK_SIZE, (number + 1) * CHUNK_SIZE - 1
    else:
        bounds = 0, CHUNK_SIZE
    return str(bounds[0]), str(bounds[1])
