"""The rows about streams: measured on PostgreSQL where Debian's packages are there, else on SQLite.

In a process of its own, because Django reads once where its database is.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from tests.bench.table import Row
from tests.processes import REPOSITORY
from tests.pushpin import IS_THERE

if TYPE_CHECKING:
    from tests.bench.rows import Bench

CHILD_TIMEOUT_S: Final = 900
# A cluster made for the command and gone after it, as it comes: a hundred connections.
ON_POSTGRES: Final = (
    "pg_virtualenv", "-o", "max_connections=100", "bash", "-c",
    'DATABASE_URL="postgres://$PGUSER:$PGPASSWORD@$PGHOST:$PGPORT/$PGDATABASE" exec "$@"', "-",
)  # fmt: skip


def streams(bench: Bench) -> list[Row]:
    """Ten thousand open streams of one web process. The stack's own web is not used."""
    return _measured("tests.bench.stream_figures")


def held_streams(bench: Bench) -> list[Row]:
    """Ten thousand streams that Pushpin holds before one web process, where Pushpin is there."""
    return _measured("tests.bench.pushpin_figures") if IS_THERE else []


def _measured(module: str) -> list[Row]:
    around = ON_POSTGRES if shutil.which("pg_virtualenv") else ()
    child = subprocess.run(
        [*around, sys.executable, "-m", "tests.bench.streams_child", module],
        cwd=REPOSITORY,
        env={**os.environ, "BROKER_NAMESPACE": "bench-streams"},
        capture_output=True,
        text=True,
        timeout=CHILD_TIMEOUT_S,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-3_000:]
    # pg_virtualenv says on the same output what it makes and drops.
    rows = child.stdout[child.stdout.index("[{") : child.stdout.rindex("}]") + 2]
    return [Row.from_json(row) for row in json.loads(rows)]
