"""One giant organisation against many small teams: are the small held up?"""

from __future__ import annotations

import os
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from unittest import mock

import dramatiq
from django.db import connection

from integrations.constants import SLICE_BESIDE_OTHERS, SLICE_LENGTH
from integrations.services import member_sync, transitions
from tests.bench.queue_teams import connected_teams
from tests.bench.queues.sending import (
    LATENCY_MS,
    SMALL_SIZE,
    begin_anew,
    is_over,
    send,
    small_done,
    started_at,
)
from tests.bench.table import Row, Samples
from tests.processes import wait_until

if TYPE_CHECKING:
    from tests.bench.rows import Bench

LARGE_SIZE: Final = 50_000
SMALL_COUNT: Final = int(os.environ.get("SMALL_TEAMS", "500"))
FEW: Final = 10
HELD_UP_BAR: Final = 1.5


def giant_and_small(bench: Bench) -> list[Row]:
    """An organisation of 50,000 beside 500 of 20, in one queue: are the small held up?"""
    begin_anew(bench)
    organizations = [bench.sandbox.organization(SMALL_SIZE) for _ in range(20)]
    large = bench.sandbox.organization(LARGE_SIZE)
    for one in (*organizations, large):
        one.slow_down(LATENCY_MS)
    bench.stack.start(["worker"])
    alone_s = small_done(connected_teams(organizations, SMALL_COUNT))
    [giant] = send(connected_teams([large], 1))
    wait_until(lambda: started_at(giant), what="the giant being begun")
    began_s = time.monotonic()
    beside_s = small_done(connected_teams(organizations, SMALL_COUNT))
    wait_until(lambda: is_over([giant]), timeout_s=240, what="the giant's end")
    giant_s = time.monotonic() - began_s
    giant.refresh_from_db()
    bench.stack.worker.stop()
    ratio = beside_s / alone_s
    return [
        Row(
            f"{SMALL_COUNT} teams of {SMALL_SIZE} beside one of {LARGE_SIZE:,}, one worker "
            f"({connection.vendor})",
            f"{ratio:.2f} x as long as without it ({beside_s:.0f} s against {alone_s:.0f} s; "
            f"the giant {giant_s:.0f} s, {giant.claim_count} slices)",
            f"{HELD_UP_BAR} x",
            "-",
            ratio <= HELD_UP_BAR,
            Samples("x as long", HELD_UP_BAR, [ratio]),
        )
    ]


def few_behind_a_giant(bench: Bench) -> list[Row]:
    """Ten small ones come just after an organisation of 50,000, on a worker of one thread."""
    begin_anew(bench)
    first_s = _few_behind_a_giant(bench)
    endless = timedelta(hours=1)
    with mock.patch.multiple(member_sync, SLICE_LENGTH=endless, SLICE_BESIDE_OTHERS=endless):
        naive_s = _few_behind_a_giant(bench)
    return [
        Row(
            f"{FEW} small ones behind the giant on a single thread, all done",
            f"{first_s:.0f} s, after its slice of {SLICE_BESIDE_OTHERS.total_seconds():.0f} s",
            f"{SLICE_LENGTH.total_seconds() + 10:.0f} s",
            f"{naive_s:.0f} s, after all of it (no slices)",
            first_s <= SLICE_LENGTH.total_seconds() + 10,
        ),
    ]


def _few_behind_a_giant(bench: Bench) -> float:
    """Return when a few small ones were done whose messages came after a giant's, on one thread."""
    small = bench.sandbox.organization(SMALL_SIZE)
    large = bench.sandbox.organization(LARGE_SIZE)
    large.slow_down(LATENCY_MS)
    few = connected_teams([small], FEW)
    worker = dramatiq.Worker(dramatiq.get_broker(), worker_timeout=50, worker_threads=1)
    worker.start()
    try:
        [giant] = send(connected_teams([large], 1))
        wait_until(lambda: started_at(giant), what="the giant being begun")
        return small_done(few)
    finally:
        # It finds out at its next page.
        transitions.cancel(giant, person=None)
        worker.stop()
