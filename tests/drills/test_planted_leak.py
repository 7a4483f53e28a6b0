"""A web process that leaks on purpose: the check of the soak has to find it, and only there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from tests.drills.footprint import CONNECTIONS, FILES, MEMORY, THREADS, Footprint
from tests.drills.harness import MARKS_OF_EVERY_DRILL
from tests.drills.leaks import growths
from tests.drills.records import PROPERTY, Record
from tests.drills.test_soak import SHORT_BOUNDS
from tests.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.processes import Valkey

pytestmark = MARKS_OF_EVERY_DRILL

REQUESTS_A_ROUND = 40
ROUNDS = 5
PLANTED = {("web", FILES), ("web", MEMORY), ("web", THREADS), ("Redis", CONNECTIONS)}


@pytest.fixture
def leaking(
    transactional_db: None, valkey: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stack]:
    monkeypatch.setenv("DRILL_LEAK", "files,memory,threads,clients")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "leaking"))
    stack = Stack(log_dir=tmp_path, valkey=valkey)
    try:
        stack.start(["web"])
        yield stack
    finally:
        stack.web.kill()


def test_a_leak_that_was_planted_is_found(
    leaking: Stack, record_property: Callable[[str, object], None]
) -> None:
    readings = []
    with Footprint([leaking.web]) as footprint:
        for number in range(1, ROUNDS + 1):
            for _ in range(REQUESTS_A_ROUND):
                assert requests.get(f"{leaking.url}/accounts/login/", timeout=20).ok
            readings.append(footprint.quiet_reading(number * REQUESTS_A_ROUND))
    leaks = [one for one in growths(readings[1:], SHORT_BOUNDS) if one.is_leak]
    record = Record(
        drill="leaks planted",
        watched=f"{ROUNDS * REQUESTS_A_ROUND} requests",
        over_after_s=0,
        bar_s=0,
        figures={f"{one.owner} {one.kind}": one.cell() for one in leaks},
    )
    record_property(PROPERTY, record.as_property())
    assert {(one.owner, one.kind) for one in leaks} == PLANTED
