"""The register of processes: what each told of itself at its last beat, and when that was.

One JSON value a process in Redis. One that went without a word stays until an operator forgets it,
or a day has passed.
"""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import psutil

from integrations.constants import PROCESS_GONE_AFTER, PROCESS_KEPT_FOR
from integrations.telemetry.redis_clients import key

if TYPE_CHECKING:
    import redis
    from redis.client import Pipeline

WORKER: Final = "worker"
WEB: Final = "web"
SCHEDULER: Final = "scheduler"


@dataclass(frozen=True)
class ProcessReport:
    """What a process says of itself. `state` differs by kind; see who writes it."""

    id: str
    kind: str
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime
    memory_bytes: int
    thread_count: int
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.host}:{self.pid}"

    def is_gone(self, now: datetime) -> bool:
        """Say whether it has been silent for longer than any beat takes."""
        return now - self.seen_at > PROCESS_GONE_AFTER


@dataclass(frozen=True)
class Identity:
    """What stays the same of a process for as long as it lives."""

    id: str
    kind: str
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    started_at_s: float = field(default_factory=time.time)


def put_report(identity: Identity, state: dict[str, Any], pipeline: Pipeline) -> None:
    """Put the writing of this process's report into a pipeline."""
    now_s = time.time()
    process = psutil.Process(identity.pid)
    value = {
        "kind": identity.kind,
        "host": identity.host,
        "pid": identity.pid,
        "started_at": identity.started_at_s,
        "seen_at": now_s,
        "memory_bytes": process.memory_info().rss,
        "thread_count": process.num_threads(),
        "state": state,
    }
    kept_s = int(PROCESS_KEPT_FOR.total_seconds())
    pipeline.set(key(f"process:{identity.id}"), json.dumps(value), ex=kept_s)
    pipeline.zadd(key("processes"), {identity.id: now_s})
    pipeline.zremrangebyscore(key("processes"), 0, now_s - kept_s)


def forget(client: redis.Redis, process_id: str) -> bool:
    """Take a process out of the register; return whether it was there. Raises redis.RedisError."""
    with client.pipeline() as pipeline:
        pipeline.delete(key(f"process:{process_id}"))
        pipeline.zrem(key("processes"), process_id)
        was_there, _ = pipeline.execute()
    return bool(was_there)


def read_processes(client: redis.Redis) -> list[ProcessReport]:
    """Return all that are registered, by kind and age. Raises redis.RedisError."""
    ids: list[Any] = list(client.zrange(key("processes"), 0, -1))
    if not ids:
        return []
    found: Any = client.mget([key(f"process:{one.decode()}") for one in ids])
    reports = [
        _report(one.decode(), json.loads(value))
        for one, value in zip(ids, found, strict=True)
        if value is not None
    ]
    return sorted(reports, key=lambda report: (report.kind, report.started_at))


def _report(process_id: str, value: dict[str, Any]) -> ProcessReport:
    return ProcessReport(
        id=process_id,
        kind=value["kind"],
        host=value["host"],
        pid=value["pid"],
        started_at=datetime.fromtimestamp(value["started_at"], UTC),
        seen_at=datetime.fromtimestamp(value["seen_at"], UTC),
        memory_bytes=value["memory_bytes"],
        thread_count=value["thread_count"],
        state=value["state"],
    )
