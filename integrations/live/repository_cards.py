"""The live line of each repository's sync: plain values, the same for every viewer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from integrations.constants import SYNC_STATUS_ERROR, SYNC_STATUS_PENDING, SYNC_STATUS_SYNCING
from integrations.mends import Reason
from integrations.models import SyncRun, TrackedRepository
from integrations.reasons import reason_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class RepositorySyncCard:
    """The live line of one repository's sync."""

    repository_id: int
    name: str
    # never, pending, syncing, waiting, complete or error
    state: str
    revision: int
    completed_at: datetime | None
    # When its latest run ended, however it did; None while it is under way.
    ended_at: datetime | None
    resume_at: datetime | None
    people_count: int | None
    error_sentence: str
    reason: Reason | None = None

    @property
    def why(self) -> str:
        """What went wrong, in the reader's language."""
        return self.reason.sentence if self.reason else self.error_sentence

    @property
    def is_active(self) -> bool:
        return self.state in {"pending", "syncing", "waiting"}

    @classmethod
    def of(cls, repository: TrackedRepository, run: SyncRun | None) -> RepositorySyncCard:
        """Make the line of a repository; `run` is its latest run, if it has one."""
        result: Mapping[str, int] = repository.sync_result or {}
        return cls(
            repository_id=repository.pk,
            name=repository.name,
            state=_repository_state(repository, run),
            revision=run.revision if run else 0,
            completed_at=repository.sync_completed_at,
            ended_at=run.finished_at if run else None,
            resume_at=run.resume_at if run else None,
            people_count=result.get("people"),
            error_sentence=repository.sync_error
            if repository.sync_status == SYNC_STATUS_ERROR
            else "",
            reason=reason_for(run.error_code) if run and run.error_code else None,
        )


def _repository_state(repository: TrackedRepository, run: SyncRun | None) -> str:
    if repository.sync_status == SYNC_STATUS_PENDING:
        return "never"
    if repository.sync_status == SYNC_STATUS_SYNCING and run is not None:
        if run.resume_at is not None:
            return "waiting"
        if run.status == SYNC_STATUS_PENDING:
            return "pending"
    return repository.sync_status


def repository_cards(
    repositories: Iterable[TrackedRepository],
) -> list[tuple[TrackedRepository, RepositorySyncCard]]:
    """Pair each repository with its live line: one query for all their latest runs."""
    repositories = list(repositories)
    runs = SyncRun.objects.latest_by_repository(repositories)
    return [(each, RepositorySyncCard.of(each, runs.get(each.pk))) for each in repositories]
