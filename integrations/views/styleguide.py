"""The living design page: every component in every state. Served under DEBUG only."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from integrations.constants import SYNC_STATUS_SYNCING
from integrations.live.cards import MemberSyncCard, RepositorySyncCard
from integrations.reasons import REASONS, reason_for

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

TONES = ("accent", "good", "warn", "bad")
STATES = ("never", "pending", "syncing", "waiting", "complete", "error")


@require_safe
def styleguide(request: HttpRequest) -> HttpResponse:
    """Show all there is, with made-up values and no row."""
    context = {
        "tones": TONES,
        "member_cards": _member_cards(),
        "repository_cards": [
            _repository_card(number, state) for number, state in enumerate(STATES)
        ],
        "reasons": REASONS.values(),
        "names": ("Ada Byron", "محمد الأمين", "王小明", "<b>Bold</b>", "x" * 120),
    }
    return render(request, "styleguide.html", context)


def _member_cards() -> list[MemberSyncCard]:
    now = timezone.now()
    busy = MemberSyncCard(
        state="syncing",
        status=SYNC_STATUS_SYNCING,
        organization_login="acme",
        revision=7,
        started_at=now - timedelta(seconds=14),
        seen_count=1_400,
        expected_count=2_310,
        page_count=14,
        expected_page_count=24,
        created_count=12,
        updated_count=3,
        unchanged_count=1_385,
    )
    over = replace(busy, completed_at=now - timedelta(hours=2), departed_count=2)
    return [
        replace(busy, state="not_connected", seen_count=0, expected_count=None),
        replace(busy, state="never", seen_count=0, expected_count=None),
        replace(busy, state="pending", seen_count=0, expected_count=None, asked_at=now),
        busy,
        replace(busy, seen_count=300, expected_count=None),
        replace(busy, state="waiting", resume_at=now + timedelta(minutes=11)),
        replace(over, state="complete"),
        replace(over, state="complete", sweep_blocked_by="people_skipped"),
        *(_failed(over, code) for code in ("bad_credentials", "saml_required", "rate_limited")),
    ]


def _failed(card: MemberSyncCard, code: str) -> MemberSyncCard:
    reason = reason_for(code)
    url = "https://github.example/sso" if code == "saml_required" else ""
    return replace(
        card, state="error", reason=reason, error_sentence=reason.sentence, error_url=url
    )


def _repository_card(number: int, state: str) -> RepositorySyncCard:
    return RepositorySyncCard(
        repository_id=number,
        name="rocket-skates",
        state=state,
        revision=7,
        completed_at=timezone.now() - timedelta(hours=2) if state == "complete" else None,
        resume_at=timezone.now() + timedelta(minutes=11) if state == "waiting" else None,
        people_count=14 if state == "complete" else None,
        error_sentence=reason_for("not_found").sentence if state == "error" else "",
    )
