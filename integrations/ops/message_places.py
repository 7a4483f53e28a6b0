"""Where at the broker the messages lie that an operator asks for: the references, in their order.

Without a filter the order in Redis answers at once. With one, the payloads are searched
(`ops/message_scan.py`), and what is not told by Redis is looked at here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.utils import timezone

from integrations.ops.broker_keys import QueueKeys, acks_prefix, heartbeats_key, known_queues
from integrations.ops.message_scan import Criteria, Found, Progress, scan
from integrations.ops.message_shapes import DEAD, DELAYED, READY, RETRYING, MessageRef
from integrations.ops.payloads import decoded, is_said_in
from integrations.ops.subjects import RUN, token_of, tokens_of_team
from integrations.telemetry import processes
from integrations.telemetry.redis_clients import broker_client, telemetry_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integrations.ops.message_shapes import MessageQuery
    from integrations.telemetry.processes import ProcessReport

# Of one process and queue. A worker fetches a few ahead of its threads.
HELD_READ: Final = 500

_HELD: Final = """
local found = {}
for _, process in ipairs(redis.call('zrange', KEYS[1], 0, -1)) do
    for i = 3, #ARGV, 2 do
        local ids = redis.call('srandmember', ARGV[1] .. process .. '.' .. ARGV[i], ARGV[2])
        if #ids > 0 then
            local payloads = redis.call('hmget', ARGV[i + 1], unpack(ids))
            for n, id in ipairs(ids) do
                if payloads[n] then found[#found + 1] = {ARGV[i], id, payloads[n]} end
            end
        end
    end
end
return found
"""


class Located(NamedTuple):
    """A message's place."""

    ref: MessageRef
    died_at_ms: float | None = None
    is_held: bool = False
    # None until it is read.
    raw: bytes | None = None


def criteria_of(query: MessageQuery) -> Criteria:
    """Return what to look for in payloads. Raises DatabaseAway for a team."""
    tokens = None
    if query.run is not None:
        tokens = frozenset({f"{RUN}{query.run}"})
    if query.team:
        of_team = frozenset(tokens_of_team(query.team))
        tokens = of_team if tokens is None else tokens & of_team
    return Criteria(actor=query.actor.lower(), tokens=tokens, text=query.text.strip().lower())


def queues_of(query: MessageQuery) -> list[str]:
    """Return the queues that a query is about. Raises redis.RedisError."""
    return [name for name in known_queues() if not query.queue or name == query.queue]


def locate(query: MessageQuery, progress: Progress) -> list[Located]:
    """Return all that a query matches and that lies at the broker, in the order it is shown.

    Raises redis.RedisError, and DatabaseAway.
    """
    criteria, queues = criteria_of(query), queues_of(query)
    if query.state == READY:
        held = held_messages(queues, criteria)
        known = {one.ref.key for one in held}
        waiting = [
            _located(one, READY)
            for queue in queues
            for one in reversed(_matches(queue, READY, criteria, progress))
            if one.key not in known
        ]
        return held + waiting
    if query.state == DEAD:
        letters = [one for q in queues for one in _matches(q, DEAD, criteria, progress)]
        letters.sort(key=lambda one: -one.figures[0])
        return [_located(one, DEAD) for one in letters]
    put_off = [
        one
        for queue in queues
        for one in _matches(queue, DELAYED, criteria, progress)
        if (one.figures[1] > 0) == (query.state == RETRYING)
    ]
    put_off.sort(key=lambda one: one.figures[0])
    return [_located(one, query.state) for one in put_off]


def locate_page(query: MessageQuery, first: int, count: int) -> tuple[list[Located], int]:
    """Return a stretch of all ready or dead messages, and how many there are: no payload is read.

    Raises redis.RedisError.
    """
    queues = queues_of(query)
    if query.state == DEAD:
        return _newest_letters(queues, first, count)
    held = held_messages(queues, Criteria())
    with broker_client().pipeline() as pipeline:
        for queue in queues:
            pipeline.llen(QueueKeys(queue).ready)
        lengths = pipeline.execute()
        stretch, skipped = held[first : first + count], max(0, first - len(held))
        for queue, length in zip(queues, lengths, strict=True):
            wanted = count - len(stretch)
            if wanted and skipped < length:
                pipeline.lrange(QueueKeys(queue).ready, skipped, skipped + wanted - 1)
                keys = pipeline.execute()[0]
                stretch += [Located(MessageRef(queue, READY, key.decode())) for key in keys]
            skipped = max(0, skipped - length)
    return stretch, len(held) + sum(lengths)


def held_messages(queues: Sequence[str], criteria: Criteria) -> list[Located]:
    """Return what workers have fetched and no thread works on yet. Raises redis.RedisError."""
    running = running_ids(live_processes())
    names = [part for queue in queues for part in (queue, QueueKeys(queue).ready_payloads)]
    rows: Any = broker_client().eval(
        _HELD, 1, heartbeats_key(), acks_prefix(), str(HELD_READ), *names
    )
    found = []
    for queue, key, raw in rows:
        payload = decoded(raw)
        is_running = payload is not None and payload.message_id in running
        if not is_running and is_match(raw, criteria):
            ref = MessageRef(queue.decode(), READY, key.decode())
            found.append(Located(ref, is_held=True, raw=raw))
    return found


def live_processes() -> list[ProcessReport]:
    """Return the register without those that are gone. Raises redis.RedisError."""
    now = timezone.now()
    return [one for one in processes.read_processes(telemetry_client()) if not one.is_gone(now)]


def running_ids(reports: Sequence[ProcessReport]) -> set[str]:
    """Return the ids of the messages that threads work on."""
    return {one["message_id"] for report in reports for one in report.state.get("running", ())}


def is_match(raw: bytes, criteria: Criteria) -> bool:
    """Say whether a payload matches, by all that it says."""
    payload = decoded(raw)
    if payload is None:
        is_about = not criteria.actor and criteria.tokens is None
    else:
        is_about = criteria.actor in payload.actor.lower() and (
            criteria.tokens is None or token_of(payload.actor, payload.args) in criteria.tokens
        )
    return is_about and (not criteria.text or is_said_in(raw, criteria.text))


def _matches(queue: str, place: str, criteria: Criteria, progress: Progress) -> list[Found]:
    """Search one queue. A text is looked for in what is shown: never in a secret."""
    if progress.is_over():
        return []
    found = scan(queue, place, criteria, progress=progress, wants_payload=bool(criteria.text))
    return [one for one in found if not criteria.text or is_said_in(one.raw, criteria.text)]


def _located(found: Found, state: str) -> Located:
    died_at_ms = found.figures[0] if state == DEAD else None
    return Located(MessageRef(found.queue, state, found.key), died_at_ms, raw=found.raw or None)


def _newest_letters(queues: Sequence[str], first: int, count: int) -> tuple[list[Located], int]:
    with broker_client().pipeline() as pipeline:
        for queue in queues:
            pipeline.zrevrange(QueueKeys(queue).dead, 0, first + count - 1, withscores=True)
            pipeline.zcard(QueueKeys(queue).dead)
        answers = pipeline.execute()
    letters = [
        Located(MessageRef(queue, DEAD, key.decode()), died_at_ms)
        for queue, newest in zip(queues, answers[::2], strict=True)
        for key, died_at_ms in newest
    ]
    letters.sort(key=lambda one: -(one.died_at_ms or 0))
    return letters[first : first + count], sum(answers[1::2])
