"""The events of the live channel, rendered from rows.

An event is the present state of one subject; its id is the revision at which that last moved. A
fragment is rendered once for everybody, so it holds nothing that differs between viewers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation

from integrations.live.cards import MemberSyncCard, PreviewCard
from integrations.live.repository_cards import RepositorySyncCard

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
    html = _rendered("integrations/partials/member_sync_progress.html", card)
    return LiveEvent(integration.team_id, run.revision, MEMBER_SYNC, html)


def preview_event(run: SyncRun, *, team_id: int) -> LiveEvent:
    card = PreviewCard.of(run)
    html = _rendered("integrations/partials/preview_progress.html", card)
    return LiveEvent(team_id, run.revision, PREVIEW, html)


def repository_sync_event(
    repository: TrackedRepository, run: SyncRun, *, team_id: int
) -> LiveEvent:
    card = RepositorySyncCard.of(repository, run)
    html = _rendered("integrations/partials/repository_sync_status.html", card)
    return LiveEvent(team_id, run.revision, REPOSITORY_SYNC, html)


def roster_event(integration: GitHubIntegration) -> LiveEvent:
    """Signal that the roster changed: each page asks for its own rows again."""
    return LiveEvent(integration.team_id, integration.roster_revision, ROSTER, "")


def _rendered(template: str, card: MemberSyncCard | PreviewCard | RepositorySyncCard) -> str:
    """Render the fragment once in each language; the page takes the one in its own (`lang`)."""
    parts = []
    for code, _name in settings.LANGUAGES:
        with translation.override(code):
            parts.append(render_to_string(template, {"card": card}))
    return "\n".join(parts)
