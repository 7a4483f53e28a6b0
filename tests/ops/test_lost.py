"""What a dead worker was at is told as lost, once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from integrations import tasks
from integrations.models import MessageAttempt
from integrations.ops import lost
from integrations.telemetry.processes import read_processes
from integrations.telemetry.redis_clients import telemetry_client
from tests.syncing import connect, start

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox_control import SandboxOrganization
    from tests.stack import Stack

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]


@pytest.mark.parametrize("stack", [("worker",)], indirect=True)
def test_a_killed_worker_s_messages_are_written_down_once(
    stack: Stack, organization: SandboxOrganization, wait_until: Callable[..., None]
) -> None:
    organization.slow_down(3000)
    run = start(connect(organization))
    tasks.sync_github_members_later(run)

    def at_work() -> bool:
        return any(
            one["run_id"] == run.pk
            for report in read_processes(telemetry_client())
            for one in report.state["running"]
        )

    wait_until(at_work)
    stack.worker.kill()
    now = timezone.now()
    assert lost.write_down(now) == 0
    later = now + timedelta(seconds=20)
    assert lost.write_down(later) == 1
    assert lost.write_down(later) == 0
    attempt = MessageAttempt.objects.get()
    assert (attempt.outcome, attempt.actor) == ("lost", "sync_github_members_task")
    assert (attempt.run_id, attempt.team_id) == (run.pk, run.integration.team_id)
    assert attempt.worker.endswith(tuple("0123456789"))
    assert "WorkerLost" in attempt.error
