"""The stage of every drill, and the table that a run of them ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.drills.harness import Drill
from tests.drills.records import records_of, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.processes import Valkey
    from tests.sandbox_control import SandboxControl
    from tests.stack import Stack


@pytest.fixture
def drill(
    stack: Stack,
    valkey: Valkey,
    sandbox: SandboxControl,
    record_property: Callable[[str, object], None],
) -> Iterator[Drill]:
    made = Drill(stack, valkey, sandbox, record_property)
    yield made
    made.close()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """End with what each drill found; a drill that found nothing is among pytest's failures."""
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
    ]
    records = records_of(reports)
    if records:
        terminalreporter.section("drills")
        for line in table(records):
            terminalreporter.write_line(line)
        missed = sum(not record.holds for record in records)
        failed = len(terminalreporter.stats.get("failed", ()))
        terminalreporter.write_line(
            f"{len(records)} drills noted, {missed} missed a bar, {failed} tests failed"
        )
