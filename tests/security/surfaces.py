"""Everything that a secret could come to lie in, as text: Redis, the database, sessions, pages."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any, Final

import redis
from django.conf import settings
from django.contrib import admin
from django.contrib.sessions.models import Session
from django.db import connection
from django.urls import reverse

from integrations.models import MessageAttempt, SyncRun
from integrations.ops.message_shapes import DEAD, DELAYED, DONE, READY, MessageQuery
from integrations.ops.messages import find

if TYPE_CHECKING:
    from collections.abc import Iterator

# Of each model's rows on the admin site, so many are looked at one by one.
ROWS_OF_A_MODEL: Final = 2


def redis_texts() -> Iterator[tuple[str, str]]:
    """Yield each key of each database of the test's Redis, with all that it holds."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        numbers = sorted(client.info("keyspace"))
    for number in numbers:
        with redis.Redis.from_url(f"{settings.REDIS_URL}/{number.removeprefix('db')}") as client:
            for key in client.scan_iter(count=1_000):
                yield f"redis {number} {key!r}", repr((key, _held_by(client, key)))


def _held_by(client: redis.Redis, key: bytes) -> Any:
    kind = client.type(key)
    if kind == b"hash":
        return client.hgetall(key)
    if kind == b"list":
        return client.lrange(key, 0, -1)
    if kind == b"set":
        return client.smembers(key)
    if kind == b"zset":
        return client.zrange(key, 0, -1, withscores=True)
    return client.get(key)


def table_texts() -> Iterator[tuple[str, str]]:
    """Yield each column of each table, with all its values, whatever their type."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            names = [column[0] for column in cursor.description]
            rows = cursor.fetchall()
            for place, name in enumerate(names):
                yield f"table {table}.{name}", "\n".join(_text(row[place]) for row in rows)


def _text(value: Any) -> str:
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("latin-1")
    return str(value)


def file_texts() -> Iterator[tuple[str, str]]:
    """Yield SQLite's files as they lie on the disk, its write-ahead log too; none of PostgreSQL's.

    What was deleted may still stand in them. Another process reads them: one that closes a file
    gives up its locks on it, SQLite's too (https://www.sqlite.org/howtocorrupt.html, 2.2).
    """
    if connection.vendor == "sqlite":
        for suffix in ("", "-wal"):
            path = f"{connection.settings_dict['NAME']}{suffix}"
            read = subprocess.run(["cat", path], capture_output=True, check=True, timeout=30)
            yield f"file{suffix}", read.stdout.decode("latin-1")


def session_texts() -> Iterator[tuple[str, str]]:
    """Yield what sessions hold, which lies packed in their table: signed, not encrypted."""
    for session in Session.objects.all():
        for name, value in session.get_decoded().items():
            yield f"session's {name}", str(value)


def admin_paths() -> Iterator[str]:
    """Yield the list of each registered model, and the pages of some of its rows, newest first."""
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"{name}_changelist")
        for row in model._default_manager.order_by("-pk")[:ROWS_OF_A_MODEL]:
            yield reverse(f"{name}_change", args=[row.pk])
    for pk in MessageAttempt.objects.exclude(error="").values_list("pk", flat=True):
        yield reverse("admin:integrations_messageattempt_change", args=[pk])


def operators_paths() -> Iterator[str]:
    """Yield the operators' pages: each list, and each message with its traceback."""
    yield from (reverse("ops"), reverse("ops_runs"), reverse("ops_acts"))
    for state in ("active", "waiting", "failed"):
        yield f"{reverse('ops_runs')}?state={state}"
    message_ids = set(MessageAttempt.objects.values_list("message_id", flat=True))
    for state in (READY, DELAYED, DEAD, DONE):
        yield f"{reverse('ops_messages')}?state={state}"
        message_ids |= {one.message_id for one in find(MessageQuery(state)).messages}
    yield from (reverse("ops_message", args=[one]) for one in sorted(message_ids))


def run_paths(team_slug: str) -> Iterator[str]:
    """Yield the pages and exports of each run of a team."""
    runs = SyncRun.objects.filter(integration__team__slug=team_slug)
    for pk in runs.values_list("pk", flat=True):
        for name in ("github_run", "github_run_csv"):
            yield reverse(name, args=[team_slug, pk])
