"""The doctor on what we run on: the database, Redis, and the processes that should be alive."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db import connection
from django.utils import timezone
from redis.exceptions import RedisError, ResponseError

from integrations.ops import doctor_pushpin, doctor_rabbitmq
from integrations.ops.findings import bad, good, warn
from integrations.ops.health_checks import MigrationsCheck
from integrations.ops.reachability import is_database_away
from integrations.rabbitmq.broker import quorum_broker
from integrations.telemetry.processes import SCHEDULER, WEB, WORKER, read_processes
from integrations.telemetry.redis_clients import broker_client, telemetry_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from integrations.ops import doctor_rabbitmq
from integrations.ops.findings import Finding

DISK_LEFT_MIN_BYTES: Final = 2**30
DISK_LEFT_BAD_BYTES: Final = 100 * 2**20
# Dramatiq takes a worker whose clock is a minute ahead for the only one alive.
CLOCK_SKEW_MAX_S: Final = 2.0
CLOCK_SKEW_BAD_S: Final = 20.0
_STARTS: Final = {
    WORKER: "Start one: manage.py rundramatiq.",
    SCHEDULER: "Start one: manage.py run_scheduler.",
    WEB: "Start one: uvicorn project.asgi:application.",
}


def examine() -> Iterator[Finding]:
    """Yield what there is to say of database, Redis and processes."""
    yield from _database()
    yield from _redis()
    yield from doctor_rabbitmq.examine()
    yield from doctor_pushpin.examine()


def clock_finding(subject: str, skew_s: float) -> Finding:
    """Judge how far our clock is from another's."""
    words = f"Clocks differ by {abs(skew_s):.1f} s."
    mend = "Have this machine's clock set by NTP."
    if abs(skew_s) > CLOCK_SKEW_BAD_S:
        return bad(subject, words, mend)
    if abs(skew_s) > CLOCK_SKEW_MAX_S:
        return warn(subject, words, mend)
    return good(subject, words)


def _database() -> Iterator[Finding]:
    name = "SQLite" if connection.vendor == "sqlite" else "PostgreSQL"
    if is_database_away():
        yield bad("database", f"{name} does not answer.", "Start it, or mend DATABASE_URL.")
        return
    yield good("database", f"{name} answers.")
    missing = MigrationsCheck().complaint()
    if missing:
        yield bad("migrations", missing, "Run manage.py migrate.")
    else:
        yield good("migrations", "All are applied.")
    try:
        yield from _sqlite() if connection.vendor == "sqlite" else _postgresql()
    except DatabaseFailure as exc:
        yield bad("database", f"A question failed: {type(exc).__name__}.", "Look at its log.")


def _sqlite() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        mode = str(cursor.fetchone()[0])
    if mode == "wal":
        yield good("sqlite", "It writes ahead (WAL): readers never wait.")
    else:
        yield bad("sqlite", f"Its journal is {mode}.", "Use DATABASE_URL=sqlite:///FILE on a disk.")
    folder = Path(str(connection.settings_dict["NAME"])).parent
    left = shutil.disk_usage(folder).free
    words = f"{left / 2**30:.1f} GB are left for the database."
    mend = "Make room: SQLite stops at a full disk."
    if left < DISK_LEFT_BAD_BYTES:
        yield bad("disk", words, mend)
    elif left < DISK_LEFT_MIN_BYTES:
        yield warn("disk", words, mend)
    else:
        yield good("disk", words)


def _postgresql() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute("SHOW max_connections")
        allowed = int(cursor.fetchone()[0])
    pool: dict[str, Any] = connection.settings_dict["OPTIONS"].get("pool") or {}
    size = int(pool.get("max_size", 0))
    if not size:
        yield warn("pool", "There is no pool of connections.", "Use DATABASE_URL=postgres://...")
    elif size * 4 > allowed:
        yield warn(
            "pool", f"Each process may open {size} connections, and PostgreSQL allows {allowed}.",
            "Lower DATABASE_POOL_SIZE or raise max_connections: count your processes.",
        )  # fmt: skip
    else:
        yield good("pool", f"Up to {size} connections a process, of {allowed}.")


def _redis() -> Iterator[Finding]:
    is_broker = quorum_broker() is None
    clients = {"redis live": telemetry_client()}
    if is_broker:
        clients["redis queue"] = broker_client()
    for subject, client in clients.items():
        try:
            client.ping()
        except RedisError:
            yield bad(subject, "It does not answer.", "Start Redis or Valkey, or mend REDIS_URL.")
            return
        yield good(subject, "It answers.")
    try:
        if is_broker:
            yield from _redis_configuration(broker_client())
        seconds, microseconds = telemetry_client().time()
        yield clock_finding("redis clock", time.time() - seconds - microseconds / 1e6)
        if is_broker:
            yield from _namespace(broker_client())
        yield from _processes()
    except RedisError as exc:
        yield bad("redis", f"A question failed: {type(exc).__name__}.", "Look at its log.")


def _redis_configuration(client: redis.Redis) -> Iterator[Finding]:
    try:
        found: dict[Any, Any] = dict(client.config_get("maxmemory-policy"))
        found.update(client.config_get("appendonly"))
    except ResponseError:
        yield warn(
            "redis memory", "It does not tell its configuration.",
            "See for yourself that it has noeviction and an append-only file.",
        )  # fmt: skip
        return
    texts = {_text(name): _text(value) for name, value in found.items()}
    policy, has_aof = texts.get("maxmemory-policy", ""), texts.get("appendonly") == "yes"
    if policy == "noeviction":
        yield good("redis memory", "noeviction: it never forgets a message.")
    else:
        yield bad(
            "redis memory", f"When full it evicts ({policy}): messages vanish.",
            "CONFIG SET maxmemory-policy noeviction, and in its configuration.",
        )  # fmt: skip
    if has_aof:
        yield good("redis file", "It writes an append-only file.")
    else:
        yield warn(
            "redis file", "It writes no append-only file: a restart forgets the queue.",
            "CONFIG SET appendonly yes. Runs are sent again from their rows; dead letters are not.",
        )  # fmt: skip


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _namespace(client: redis.Redis) -> Iterator[Finding]:
    """Look for the keys that this namespace should have; others' are not ours to count."""
    name = settings.BROKER_NAMESPACE
    if client.exists(f"{name}:__heartbeats__"):
        yield good("namespace", f"{name} is in use in this Redis.")
    else:
        yield warn(
            "namespace", f"Nothing has ever been sent under {name} in this Redis.",
            "New? Then it is well. Otherwise compare BROKER_NAMESPACE and REDIS_URL of all "
            "processes.",
        )  # fmt: skip


def _processes() -> Iterator[Finding]:
    now = timezone.now()
    reports = read_processes(telemetry_client())
    for kind, mend in _STARTS.items():
        alive = [one for one in reports if one.kind == kind and not one.is_gone(now)]
        if alive:
            yield good(kind, f"{len(alive)} alive.")
        else:
            yield bad(kind, f"No {kind} process is heard of.", mend)
        dead = [one.name for one in alive if one.state.get("dead_consumers")]
        if dead:
            yield bad(kind, f"{', '.join(dead)} lost a consumer thread.", "Restart it.")
