"""Two web processes, restarted one after the other under viewers: none loses the last state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integrations.constants import RunTrigger
from integrations.services import transitions
from integrations.services.runs import start_run
from tests.factories import GitHubIntegrationFactory
from tests.live.test_stream import open_many
from tests.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from integrations.models import Team, User
    from tests.live.test_stream import RawStream
    from tests.processes import Valkey

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.processes,
    pytest.mark.parametrize("stack", [("web",)], indirect=True),
]

MANY = 100


@pytest.fixture
def second(stack: Stack, valkey: Valkey, tmp_path: Path) -> Iterator[Stack]:
    """Another web process beside the first one, on the same rows."""
    log_dir = tmp_path / "second"
    log_dir.mkdir()
    running = Stack(log_dir=log_dir, valkey=valkey)
    try:
        running.start(["web"])
        yield running
    finally:
        running.kill()


def leave(stack: Stack, streams: list[RawStream]) -> None:
    """Stop the process; every stream is told to come back, and ends."""
    stack.web.stop()
    for stream in streams:
        stream.wait_for(b"retry: ")
        stream.wait_for_end()
        stream.close()


class TestRollingRestart:
    def test_what_moves_while_a_process_is_away_is_there_at_the_other(
        self, stack: Stack, second: Stack, acme: Team, bob: User
    ) -> None:
        integration = GitHubIntegrationFactory(team=acme)
        streams = open_many(stack, integration, bob, MANY)
        leave(stack, streams)
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        streams = open_many(second, integration, bob, MANY)
        for stream in streams:
            stream.wait_for(b'data-state="pending"')
        stack.start(["web"])
        leave(second, streams)
        transitions.fail(run, "gave_up")
        streams = open_many(stack, integration, bob, MANY)
        for stream in streams:
            stream.wait_for(b'data-state="error"')
            stream.close()
