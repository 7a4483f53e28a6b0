"""Start a run, or join the one under way. Enqueues nothing: see tasks.py for the message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction

from integrations.constants import RunKind
from integrations.models import SyncRun
from integrations.services import transitions

if TYPE_CHECKING:
    from integrations.models import GitHubIntegration, TrackedRepository, User

# A run may end between our insert that it refused and our look for it; then we insert again.
START_ATTEMPTS = 3


@dataclass(frozen=True)
class StartedRun:
    """The run that a start ended up with, and whether it was there before."""

    run: SyncRun
    joined: bool


def start_run(
    integration: GitHubIntegration,
    *,
    trigger: str,
    person: User | None = None,
    repository: TrackedRepository | None = None,
) -> StartedRun:
    """Write the run's row and move its subject to syncing, in one transaction.

    A partial unique constraint allows one active run per subject, so that of any number of starts
    at once one makes the run and the others join it.
    """
    for _ in range(START_ATTEMPTS):
        active = _active_run(integration, repository)
        if active is not None:
            return StartedRun(active, joined=True)
        try:
            with transaction.atomic():
                run = SyncRun.objects.create(
                    integration=integration,
                    repository=repository,
                    kind=RunKind.REPOSITORY if repository else RunKind.MEMBERS,
                    trigger=trigger,
                    requested_by=person,
                )
                transitions.begin(run)
        except IntegrityError:
            continue
        return StartedRun(run, joined=False)
    raise RuntimeError("a run could neither be made nor joined")


def _active_run(
    integration: GitHubIntegration, repository: TrackedRepository | None
) -> SyncRun | None:
    return (
        SyncRun.objects.active()
        .filter(
            integration=integration,
            repository=repository,
            kind=RunKind.REPOSITORY if repository else RunKind.MEMBERS,
        )
        .first()
    )
