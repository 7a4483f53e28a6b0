"""The disk under SQLite full, and room again."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import sqlite3
import subprocess
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
from django.db import OperationalError, connection
from django.urls import reverse
from django.utils import timezone

from integrations.constants import MAX_FRUITLESS_CLAIMS
from integrations.models import GitHubIntegration, SyncRun
from tests.drills.databases import on_database, sqlite_copy
from tests.drills.harness import (
    IS_FULL,
    LATENCY_MS,
    MARKS_OF_EVERY_DRILL,
    OVER_WITHIN_AFTER_DEATH_S,
    SIZE,
    Drill,
    now,
    outage_s,
    pass_time,
)
from tests.drills.viewers import admin_of
from tests.kills import Site
from tests.processes import wait_until
from tests.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from django.db.backends.utils import CursorWrapper

    from tests.processes import Valkey
    from tests.sandbox_control import SandboxControl

pytestmark = MARKS_OF_EVERY_DRILL

DISK_MB = 24
# What the write-ahead log may still grow by, before `fill` fills the log itself.
ROOM_KB = 64
PAGE = mmap.PAGESIZE
FULL = "database or disk is full"
PAGES = ("github_members", "github_history", "github_repos")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own, in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "drill", str(place)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode != 0:
        outcome = pytest.fail if os.environ.get("CI") else pytest.skip
        outcome(f"needs the right to mount a disk: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def drill(
    transactional_db: None,
    disk: Path,
    valkey: Valkey,
    sandbox: SandboxControl,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> Iterator[Drill]:
    """The processes and this test's rows in a file on the small disk."""
    url = sqlite_copy(disk / "drill.sqlite3")
    with on_database(url, migrates=False):
        stack = Stack(log_dir=tmp_path, valkey=valkey, database=url)
        made = Drill(stack, valkey, sandbox, record_property)
        try:
            stack.start()
            yield made
        finally:
            made.close()
            stack.kill()


def fill(disk: Path) -> Path:
    """Leave no room on the disk, nor in the log; return the file that takes it.

    SQLite writes over its log once that has gone into the database: a log of some MB had room for
    all that the syncs wrote, on a disk with no byte left.
    """
    ballast = disk / "ballast"
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE ballast (bytes BLOB)")
        take_room(ballast, left=ROOM_KB * 1024)
        while has_room(cursor):
            pass
    return ballast


def take_room(ballast: Path, left: int) -> None:
    """Make the file take the disk's room but for these bytes.

    The syncs go on writing, and a checkpoint lets the database grow by megabytes: what was free a
    moment ago may be gone, and the file takes too much or can't be written to its end.
    """
    with ballast.open("wb", buffering=0) as file:
        while spare := shutil.disk_usage(ballast.parent).free // PAGE * PAGE - left:
            if spare < 0:
                # Less than is wanted, and none of it is the file's: full enough.
                if file.tell() == 0:
                    break
                file.truncate(file.seek(max(0, file.tell() + spare)))
                continue
            try:
                file.write(b"\0" * spare)
            except OSError as exc:
                if exc.errno != errno.ENOSPC:
                    raise


def has_room(cursor: CursorWrapper) -> bool:
    """Write a page; return whether it could be written."""
    try:
        cursor.execute("INSERT INTO ballast VALUES (zeroblob(4000))")
    except OperationalError as exc:
        if FULL not in str(exc):
            raise
        return False
    return True


def test_a_full_disk_holds_up_syncs_and_corrupts_nothing(drill: Drill, disk: Path) -> None:
    """Takes a lease's length (12 s) in any form: no worker can give back what it can't write."""
    sites = drill.sites_at_work(6 if IS_FULL else 3, size=3 * SIZE)
    audience = drill.watch(sites, each=1)
    idle = Site.make(drill.sandbox, size=SIZE, latency_ms=LATENCY_MS)
    team = idle.integration.team
    # Signed in before the disk is full: signing in is a write.
    with drill.stack.browser_session(admin_of(team)) as session:

        def ask(method: str, name: str) -> int:
            address = f"{drill.stack.url}{reverse(name, args=[team.slug])}"
            return session.request(method, address, timeout=20, allow_redirects=False).status_code

        # So that the ticker has something to write as well.
        GitHubIntegration.objects.update(next_prune_at=timezone.now() + timedelta(seconds=2))
        ballast = fill(disk)
        wait_until(
            lambda: FULL in drill.stack.worker.output and FULL in drill.stack.scheduler.output,
            timeout_s=20,
            what="worker and ticker saying that the disk is full",
        )
        pass_time(outage_s(30, 1))
        pages = [ask("GET", name) for name in PAGES]
        clicked = ask("POST", "github_members_sync")
        assert not SyncRun.objects.filter(integration=idle.integration).exists()
        ballast.unlink()
    room_at = now()
    audience.wait_open()
    drill.finish(
        "disk of SQLite full",
        since=room_at,
        within_s=OVER_WITHIN_AFTER_DEATH_S,
        # A full disk refuses every page until a run gives up its claim.
        cuts_allowed=MAX_FRUITLESS_CLAIMS,
        pages_as_ever=pages.count(HTTPStatus.OK),
        click_refused_with=clicked,
    )
    assert pages == [HTTPStatus.OK] * len(PAGES)
    assert clicked == HTTPStatus.SERVICE_UNAVAILABLE
    assert "the database's disk is full" in drill.stack.web.output
    assert "tick works again" in drill.stack.scheduler.output
    with sqlite3.connect(disk / "drill.sqlite3") as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
