"""The events of the live channel, rendered from rows.

An event is the present state of one subject; its id is the revision at which that last moved. A
fragment is rendered once for everybody, so it holds nothing that differs between viewers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.template.loader import render_to_string

from integrations.live.cards import MemberSyncCard, PreviewCard, RepositorySyncCard

if TYPE_CHECKING:
    from integrations.models import GitHubIntegration, SyncRun, TrackedRepository

MEMBER_SYNC: Final = "member-sync"
PREVIEW: Final = "preview"
REPOSITORY_SYNC: Final = "repository-sync"
ROSTER: Final = "roster"


@dataclass(frozen=True)
class LiveEvent:
    """One event for a team: `data` is HTML, or empty for a signal."""

    team_id: int
    revision: int
    type: str
    data: str


def member_sync_event(integration: GitHubIntegration, run: SyncRun) -> LiveEvent:
    card = MemberSyncCard.from_rows(integration, run)
    html = render_to_string("integrations/partials/member_sync_progress.html", {"card": card})
    return LiveEvent(integration.team_id, run.revision, MEMBER_SYNC, html)


def preview_event(run: SyncRun, *, team_id: int) -> LiveEvent:
    card = PreviewCard.of(run)
    html = render_to_string("integrations/partials/preview_progress.html", {"card": card})
    return LiveEvent(team_id, run.revision, PREVIEW, html)


def repository_sync_event(
    repository: TrackedRepository, run: SyncRun, *, team_id: int
) -> LiveEvent:
    card = RepositorySyncCard.of(repository, run)
    html = render_to_string("integrations/partials/repository_sync_status.html", {"card": card})
    return LiveEvent(team_id, run.revision, REPOSITORY_SYNC, html)


def roster_event(integration: GitHubIntegration) -> LiveEvent:
    """Signal that the roster changed: each page asks for its own rows again."""
    return LiveEvent(integration.team_id, integration.roster_revision, ROSTER, "")
