"""What a live fragment shows: plain values read from rows, the same for every viewer.

The view, the htmx answer and the stream all render from these, so a card holds nothing that
differs between viewers. It knows rows and words, no request and no user.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.urls import reverse
from django.utils import timezone

from integrations.constants import (
    SYNC_STATUS_COMPLETE,
    SYNC_STATUS_ERROR,
    SYNC_STATUS_PENDING,
    SYNC_STATUS_SYNCING,
)
from integrations.mends import Reason
from integrations.models import GitHubIntegration, HeldDeparture, SyncRun
from integrations.reasons import reason_for

if TYPE_CHECKING:
    from collections.abc import Mapping

HELD_NAMES_MAX: Final = 5
# Waits after which nothing is tried again, as nothing went wrong.
WAITS_WITHOUT_FAULT: Final = frozenset({"", "rate_limited", "token_refreshed"})


@dataclass(frozen=True)
class MemberSyncCard:
    """The live card of an integration's member sync."""

    # not_connected, never, pending, syncing, waiting, complete, held, cancelled or error
    state: str
    status: str
    organization_login: str
    revision: int
    team_slug: str = ""
    run_id: int | None = None
    asked_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    # When the latest run ended, however it did; None while it is under way.
    ended_at: datetime | None = None
    resume_at: datetime | None = None
    # Why it waits: GitHub asked for that (rate_limited), or could not be reached, or ...
    wait_reason: str = ""
    # How many other runs wait for a worker that were asked for before, while this one does.
    ahead_count: int = 0
    # When the walk is over at its pace so far.
    ends_at: datetime | None = None
    seen_count: int = 0
    expected_count: int | None = None
    page_count: int = 0
    expected_page_count: int | None = None
    created_count: int = 0
    updated_count: int = 0
    unchanged_count: int = 0
    departed_count: int = 0
    held_count: int = 0
    failed_count: int = 0
    sweep_blocked_by: str = ""
    error_sentence: str = ""
    reason: Reason | None = None
    error_url: str = ""
    # Some of those who wait for a decision, by login.
    held_names: tuple[str, ...] = ()

    @property
    def why(self) -> str:
        """What went wrong, in the reader's language."""
        return self.reason.sentence if self.reason else self.error_sentence

    @property
    def percent(self) -> int | None:
        """How far the walk is, 0 to 100; None while GitHub has not said how many there are."""
        if not self.expected_count:
            return None
        return min(100, self.seen_count * 100 // self.expected_count)

    @property
    def is_active(self) -> bool:
        return self.state in {"pending", "syncing", "waiting"}

    @property
    def is_trying_again(self) -> bool:
        """Whether it waits after a fault, rather than because GitHub asked for it."""
        return self.wait_reason not in WAITS_WITHOUT_FAULT

    @property
    def changed_count(self) -> int:
        return self.created_count + self.updated_count + self.departed_count

    @property
    def run_url(self) -> str:
        """The page of the run that the card tells of; empty where there is none."""
        if not self.team_slug or self.run_id is None:
            return ""
        return reverse("github_run", args=[self.team_slug, self.run_id])

    @property
    def unnamed_count(self) -> int:
        """How many more wait for a decision than are named."""
        return self.held_count - len(self.held_names)

    @property
    def took(self) -> timedelta | None:
        """How long the last complete sync took, from the click to its end."""
        if self.started_at is None or self.completed_at is None:
            return None
        return max(self.completed_at - self.started_at, timedelta())

    def as_json(self) -> dict[str, object]:
        """Return the card for programs."""
        return {
            "status": self.status,
            "state": self.state,
            "revision": self.revision,
            "started_at": self.started_at,
            "completed_at": self.completed_at,
            "resume_at": self.resume_at,
            "ends_at": self.ends_at,
            "percent": self.percent,
            "seen": self.seen_count,
            "expected": self.expected_count,
            "result": {
                "created": self.created_count,
                "updated": self.updated_count,
                "unchanged": self.unchanged_count,
                "departed": self.departed_count,
                "held": self.held_count,
                "failed": self.failed_count,
            },
            "error": self.why if self.status == SYNC_STATUS_ERROR else "",
            "error_code": self.reason.code if self.reason else "",
        }

    @classmethod
    def of(cls, integration: GitHubIntegration) -> MemberSyncCard:
        """Read the card of an integration, saved or not: one query, for its latest run."""
        run = SyncRun.objects.of_members(integration).first() if integration.pk else None
        return cls.from_rows(integration, run)

    @classmethod
    def from_rows(cls, integration: GitHubIntegration, run: SyncRun | None) -> MemberSyncCard:
        counts = _counts(integration, run)
        held_names: list[str] = []
        if counts["held_count"]:
            # Those who still wait for an admin.
            held_names, counts["held_count"] = HeldDeparture.objects.first_logins(
                integration.team_id, limit=HELD_NAMES_MAX
            )
        state = _state(integration, run, held_count=counts["held_count"])
        return cls(
            state=state,
            status=integration.member_sync_status,
            organization_login=integration.organization_login,
            revision=run.revision if run else 0,
            team_slug=integration.team.slug,
            run_id=run.pk if run else None,
            asked_at=run.created_at if run else None,
            started_at=integration.member_sync_started_at,
            completed_at=integration.member_sync_completed_at,
            ended_at=run.finished_at if run else None,
            resume_at=run.resume_at if run else None,
            wait_reason=run.wait_reason() if run and state == "waiting" else "",
            ahead_count=run.ahead_count() if run and state == "pending" else 0,
            ends_at=run.expected_end(timezone.now()) if run and run.is_active else None,
            held_names=tuple(held_names),
            page_count=run.page_count if run else 0,
            expected_count=run.expected_count if run else None,
            expected_page_count=_expected_pages(run),
            seen_count=run.seen_count if run else 0,
            sweep_blocked_by=run.sweep_blocked_by if run else "",
            error_sentence=integration.member_sync_error,
            reason=reason_for(run.error_code) if run and run.error_code else None,
            error_url=run.error_url if run else "",
            **counts,
        )


def _counts(integration: GitHubIntegration, run: SyncRun | None) -> dict[str, int]:
    """Return the counts of the run under way, or of the last complete one."""
    names = ("created", "updated", "unchanged", "departed", "held", "failed")
    if run is not None and integration.member_sync_status != SYNC_STATUS_COMPLETE:
        return {f"{name}_count": getattr(run, f"{name}_count") for name in names}
    result: Mapping[str, int] = integration.member_sync_result or {}
    return {f"{name}_count": int(result.get(name, 0)) for name in names}


def _expected_pages(run: SyncRun | None) -> int | None:
    if run is None or run.expected_count is None:
        return None
    remaining = max(0, run.expected_count - run.seen_count - run.failed_count)
    return run.page_count + -(-remaining // run.page_size)


def _state(integration: GitHubIntegration, run: SyncRun | None, *, held_count: int) -> str:
    if integration.member_sync_status == SYNC_STATUS_SYNCING and run is not None:
        if run.resume_at is not None:
            state = "waiting"
        elif run.status == SYNC_STATUS_PENDING:
            state = "pending"
        else:
            state = "syncing"
    elif not integration.is_connected:
        state = "not_connected"
    elif integration.member_sync_status == SYNC_STATUS_PENDING:
        state = "never"
    elif integration.member_sync_status == SYNC_STATUS_COMPLETE and held_count:
        state = "held"
    elif run is not None and run.was_cancelled:
        state = "cancelled"
    else:
        state = integration.member_sync_status
    return state


@dataclass(frozen=True)
class PreviewCard:
    """The live line of a preview, on its run's page."""

    run_id: int
    # pending, syncing, waiting, complete or error
    state: str
    revision: int
    resume_at: datetime | None
    seen_count: int
    expected_count: int | None
    reason: Reason | None
    wait_reason: str = ""

    @property
    def is_active(self) -> bool:
        return self.state in {"pending", "syncing", "waiting"}

    @property
    def is_trying_again(self) -> bool:
        return self.wait_reason not in WAITS_WITHOUT_FAULT

    @classmethod
    def of(cls, run: SyncRun) -> PreviewCard:
        is_waiting = run.status == SYNC_STATUS_SYNCING and run.resume_at is not None
        return cls(
            run_id=run.pk,
            state="waiting" if is_waiting else run.status,
            revision=run.revision,
            resume_at=run.resume_at,
            seen_count=run.seen_count,
            expected_count=run.expected_count,
            reason=reason_for(run.error_code) if run.error_code else None,
            wait_reason=run.wait_reason() if is_waiting else "",
        )
