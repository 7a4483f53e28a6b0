"""How much memory a worker needs for a sync, in fresh processes: flat, whatever the size."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

from django.conf import settings

from integrations import tasks
from integrations.constants import RunTrigger
from integrations.github.http import GitHubClient
from integrations.models import SyncRun
from integrations.services import transitions
from integrations.services.github_graphql_sync import MemberList
from integrations.services.runs import start_run
from tests.bench import naive
from tests.bench.table import Row, Samples
from tests.processes import REPOSITORY

if TYPE_CHECKING:
    from tests.bench.rows import Bench

SMALL: Final = 1_000
LARGE: Final = 100_000
BAR_MIB: Final = 50
CHILD_TIMEOUT_S: Final = 600


def memory_of_a_sync(bench: Bench) -> list[Row]:
    """A hundred thousand people against a thousand, and against a list of them all."""
    small = _peak_mib(bench, size=SMALL, way="page by page")
    large = _peak_mib(bench, size=LARGE, way="page by page")
    collected = _peak_mib(bench, size=LARGE, way="collected first")
    return [
        Row(
            f"worker memory, {LARGE:,} members against {SMALL:,}",
            f"{large - small:+.0f} MB ({small:.0f} to {large:.0f} MB at its peak)",
            f"+{BAR_MIB} MB",
            f"{collected - small:+.0f} MB (everybody in a list first)",
            large - small <= BAR_MIB,
            Samples("MiB more", BAR_MIB, [large - small], [collected - small]),
        )
    ]


def _peak_mib(bench: Bench, *, size: int, way: str) -> float:
    """Sync an organisation of this size for the first time, in a process that does nothing else."""
    integration = bench.connected(bench.sandbox.organization(size=size))
    run = start_run(integration, trigger=RunTrigger.COMMAND).run
    child = subprocess.run(
        [sys.executable, "-m", "tests.bench.memory_child", way, str(run.pk)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=CHILD_TIMEOUT_S,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-2_000:]
    assert integration.team.members.count() == size
    return float(child.stdout)


def sync_page_by_page(run_id: int) -> None:
    """Do the worker's work, slice after slice."""
    run = SyncRun.objects.get(pk=run_id)
    while run.is_active:
        tasks.sync_github_members_task.fn(run.pk)
        run.refresh_from_db()


def sync_collected_first(run_id: int) -> None:
    """Read the same pages and write them the same way, but all of them after all of them."""
    lease = transitions.claim(run_id)
    assert lease is not None
    integration = lease.run.integration
    credential, organization_id = integration.credential, integration.organization_id
    assert credential is not None
    assert organization_id is not None
    client = GitHubClient(token=credential.access_token, api_url=settings.GITHUB_API_URL)
    naive.collect_and_write(
        lease, MemberList(client, integration.organization_login, organization_id)
    )


WAYS: Final = {"page by page": sync_page_by_page, "collected first": sync_collected_first}
