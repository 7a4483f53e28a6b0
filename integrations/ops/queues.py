"""How deep the queues are, and what hangs with a worker.

Each look is one script in Redis, so that its figures belong to the same instant: what is being
moved while we look is never taken for something lost.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.utils import timezone

from integrations.ops import rabbitmq_queues
from integrations.ops.broker_keys import acks_prefix, declared_queues, heartbeats_key, known_queues
from integrations.ops.figures import QueueDepth
from integrations.rabbitmq.broker import quorum_broker
from integrations.telemetry.redis_clients import broker_client

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from integrations.telemetry.processes import ProcessReport

# The head of a queue isn't always its oldest: "run now" puts a young message there.
HEADS_READ: Final = 10
# Between a fetch and the first beat that tells of it lie moments; a minute is no such moment.
STUCK_AFTER_S: Final = 60
# As many acks of one process and queue are looked into.
ACKS_READ: Final = 2_000

_DEPTHS: Final = """
local namespace, acks, head_count = ARGV[1], ARGV[2], tonumber(ARGV[3]) - 1
local processes = redis.call('zrange', KEYS[1], 0, -1)
local found = {}
for i = 4, #ARGV do
    local ready = namespace .. ':' .. ARGV[i]
    local held, held_delayed = 0, 0
    for _, process in ipairs(processes) do
        local of_queue = acks .. process .. '.' .. ARGV[i]
        held = held + redis.call('scard', of_queue)
        held_delayed = held_delayed + redis.call('scard', of_queue .. '.DQ')
    end
    local heads = redis.call('lrange', ready, 0, head_count)
    local payloads = {}
    if #heads > 0 then payloads = redis.call('hmget', ready .. '.msgs', unpack(heads)) end
    found[#found + 1] = {
        redis.call('llen', ready), held, redis.call('hlen', ready .. '.msgs'),
        redis.call('llen', ready .. '.DQ'), held_delayed, redis.call('hlen', ready .. '.DQ.msgs'),
        redis.call('zcard', ready .. '.XQ'), redis.call('hlen', ready .. '.XQ.msgs'), payloads
    }
end
return found
"""

# Of delayed ones, only those that a worker should have handed on a while ago.
_HELD: Final = """
local namespace, acks, limit, overdue = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local processes = redis.call('zrange', KEYS[1], 0, -1, 'WITHSCORES')
local found = {}
for p = 1, #processes, 2 do
    for i = 5, #ARGV do
        for _, suffix in ipairs({'', '.DQ'}) do
            local queue = ARGV[i] .. suffix
            local ids = redis.call('srandmember', acks .. processes[p] .. '.' .. queue, limit)
            if #ids > 0 then
                local payloads = redis.call('hmget', namespace .. ':' .. queue .. '.msgs', unpack(ids))
                local kept = {}
                for _, payload in ipairs(payloads) do
                    local eta = payload and tonumber(string.match(payload, '"eta":(%d+)'))
                    if payload and (suffix == '' or (eta and eta < overdue)) then
                        kept[#kept + 1] = payload
                    end
                end
                found[#found + 1] = {
                    processes[p], processes[p + 1], ARGV[i], suffix, #ids,
                    redis.call('llen', namespace .. ':' .. ARGV[i]), kept
                }
            end
        end
    end
end
return found
"""  # noqa: E501


@dataclass(frozen=True)
class StuckAcks:
    """Messages that a process fetched and that nobody will ever work on as things stand."""

    process_id: str
    # host:pid; empty when the process is not in the register any more.
    process_name: str
    queue: str
    count: int
    oldest_age_s: float
    # The process is gone: Dramatiq gives them back a minute after its last word. Otherwise only a
    # restart of that worker does.
    is_gone: bool


@dataclass(frozen=True)
class _Held:
    """What one process holds of one queue: fetched and not acknowledged."""

    process_id: str
    heartbeat_s: float
    queue: str
    is_delayed: bool
    count: int
    ready_count: int
    payloads: tuple[bytes, ...]


def read_depths() -> list[QueueDepth]:
    """Return all queues that are declared, and others that are not empty.

    Raises redis.RedisError, and dramatiq's BrokerConnectionError when RabbitMQ is away.
    """
    rabbitmq = quorum_broker()
    if rabbitmq is not None:
        return rabbitmq_queues.read_depths(rabbitmq)
    names = known_queues()
    client, namespace = broker_client(), _namespace()
    rows = client.eval(
        _DEPTHS, 1, heartbeats_key(), namespace, acks_prefix(), str(HEADS_READ), *names
    )
    depths = [_depth(name, row) for name, row in zip(names, rows, strict=True)]
    declared = set(declared_queues())
    return [depth for depth in depths if depth.name in declared or not _is_empty(depth)]


def stuck_acks(processes: Iterable[ProcessReport]) -> list[StuckAcks]:
    """Return what hangs with which process, by the register of processes.

    A worker's threads take what it has fetched as soon as one is free. So a message hangs when it
    has been due for a minute, no thread works on it, a thread is free, and nothing waits in its
    queue that could have come before it. A delayed one rightly lies with a worker until it is due.
    RabbitMQ gives them back by itself. Raises redis.RedisError.
    """
    if quorum_broker() is not None:
        return []
    now_s, reports = time.time(), {report.id: report for report in processes}
    found = []
    for held in _read_held(known_queues(), now_s):
        report = reports.get(held.process_id)
        if report is None or report.is_gone(timezone.now()):
            stuck = _with_the_gone(held, report, now_s)
        else:
            stuck = _with_the_living(held, report, now_s)
        if stuck is not None:
            found.append(stuck)
    return found


def _namespace() -> str:
    return heartbeats_key().removesuffix(":__heartbeats__")


def _depth(name: str, row: Sequence[Any]) -> QueueDepth:
    ready, held, payloads, delayed, held_delayed, delayed_payloads, dead, dead_payloads, heads = row
    ages = [age for age in map(_age_s, heads) if age is not None]
    return QueueDepth(
        name=name,
        ready_count=ready,
        delayed_count=delayed_payloads,
        in_flight_count=held,
        dead_count=dead,
        oldest_age_s=max(ages, default=None),
        drift_count=(
            abs(payloads - ready - held)
            + abs(delayed_payloads - delayed - held_delayed)
            + abs(dead_payloads - dead)
        ),
    )


def _is_empty(depth: QueueDepth) -> bool:
    counts = (
        depth.ready_count,
        depth.delayed_count,
        depth.in_flight_count,
        depth.dead_count,
        depth.drift_count,
    )
    return not any(counts)


def _age_s(payload: bytes | None) -> float | None:
    """Return for how long a payload's message has been ready; None when it can't be read."""
    ready_at_ms = _number(_fields(payload), "ready_at")
    return None if ready_at_ms is None else max(0.0, time.time() - ready_at_ms / 1000)


def _fields(payload: bytes | None) -> dict[str, Any]:
    try:
        fields = json.loads(payload or b"")
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _number(fields: dict[str, Any], option: str) -> float | None:
    """Return an instant from a message's options, or else its creation, in milliseconds."""
    options = fields.get("options")
    value = options.get(option) if isinstance(options, dict) else None
    if not isinstance(value, int | float):
        value = fields.get("message_timestamp")
    return float(value) if isinstance(value, int | float) else None


def _read_held(queues: list[str], now_s: float) -> list[_Held]:
    overdue_ms = round((now_s - STUCK_AFTER_S) * 1000)
    rows = broker_client().eval(
        _HELD, 1, heartbeats_key(),
        _namespace(), acks_prefix(), str(ACKS_READ), str(overdue_ms), *queues,
    )  # fmt: skip
    return [
        _Held(
            process_id=process.decode(),
            heartbeat_s=float(heartbeat) / 1000,
            queue=queue.decode(),
            is_delayed=bool(suffix),
            count=count,
            ready_count=ready_count,
            payloads=tuple(payloads),
        )
        for process, heartbeat, queue, suffix, count, ready_count, payloads in rows
    ]


def _with_the_gone(held: _Held, report: ProcessReport | None, now_s: float) -> StuckAcks | None:
    silent_s = now_s - held.heartbeat_s
    if report is None and silent_s < STUCK_AFTER_S:
        # Its commands are heard: a worker that can't tell of itself, or one that is just leaving.
        return None
    return StuckAcks(
        process_id=held.process_id,
        process_name="" if report is None else report.name,
        queue=held.queue,
        count=held.count,
        oldest_age_s=silent_s,
        is_gone=True,
    )


def _with_the_living(held: _Held, report: ProcessReport, now_s: float) -> StuckAcks | None:
    state = report.state
    if held.queue in state.get("paused", ()):
        return None
    running = {one["message_id"] for one in state.get("running", ())}
    has_free_thread = len(running) < state.get("threads", 0)
    if not held.is_delayed and (held.ready_count or not has_free_thread):
        return None
    option = "eta" if held.is_delayed else "ready_at"
    ages_s = []
    for fields in map(_fields, held.payloads):
        due_ms = _number(fields, option)
        if due_ms is not None and fields.get("message_id") not in running:
            ages_s.append(now_s - due_ms / 1000)
    overdue_s = [age_s for age_s in ages_s if age_s > STUCK_AFTER_S]
    if not overdue_s:
        return None
    return StuckAcks(
        process_id=held.process_id,
        process_name=report.name,
        queue=held.queue,
        count=len(overdue_s),
        oldest_age_s=max(overdue_s),
        is_gone=False,
    )
