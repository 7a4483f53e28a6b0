"""Two queues on one real worker: side by side within each, and neither waits for the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integrations import tasks
from integrations.constants import RunTrigger
from integrations.models import SyncRun
from integrations.services.runs import start_run
from tests.syncing import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox_control import SandboxControl
    from tests.stack import Stack

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]


def begin(sandbox: SandboxControl, count: int, *, trigger: str) -> None:
    """Send so many syncs that take several seconds each."""
    for _ in range(count):
        organization = sandbox.organization(size=900)
        organization.slow_down(700)
        run = start_run(connect(organization), trigger=trigger).run
        tasks.sync_github_members_later(run)


def running(trigger: str) -> int:
    return SyncRun.objects.active().filter(trigger=trigger, lease_token__isnull=False).count()


@pytest.mark.parametrize("stack", [("worker",)], indirect=True)
def test_a_click_starts_at_once_while_the_scheduled_fill_their_share(
    stack: Stack, sandbox: SandboxControl, wait_until: Callable[..., None]
) -> None:
    begin(sandbox, 6, trigger=RunTrigger.SCHEDULE)
    wait_until(lambda: running(RunTrigger.SCHEDULE) == 4, timeout_s=10)
    begin(sandbox, 3, trigger=RunTrigger.MANUAL)
    wait_until(lambda: running(RunTrigger.MANUAL) == 3, timeout_s=5)
    assert running(RunTrigger.SCHEDULE) == 4
    assert SyncRun.objects.filter(started_at=None).count() == 2
