"""Every component in every state, on one page for those who build it (DEBUG only).

The rows are made up and never saved; nothing here reads the database.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, cast

from django.core.paginator import Paginator
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from integrations.constants import DeactivatedBy, MemberRole, TeamRole
from integrations.live.cards import MemberSyncCard
from integrations.live.repository_cards import RepositorySyncCard
from integrations.models import Membership, Team, TeamMember, TrackedRepository
from integrations.reasons import REASONS, reason_for
from integrations.views.member_filters import FilterChoices
from integrations.views.member_query import MemberQuery
from integrations.views.member_rows import member_rows, shown_of

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from integrations.views.helpers import TeamRequest

TONES: Final = ("neutral", "accent", "good", "warn", "bad")
REPOSITORY_STATES: Final = ("never", "pending", "syncing", "waiting", "complete", "error")
# Names that have broken pages elsewhere: markup, an override of the writing direction, no break.
HOSTILE_NAMES: Final = (
    "<script>alert('Rollcall')</script>",
    "\u202eadmin\u202c \u0645\u0631\u062d\u0628\u0627",
    "محمد الأمين",
    "王小明",
    "🧑‍🚀 Zoë Ångström 🇫🇮",
    "x" * 255,
)


@require_safe
def styleguide(request: HttpRequest) -> HttpResponse:
    """Show the whole design, to look at and for the tests that look at it."""
    team_request = cast("TeamRequest", request)
    team_request.team = Team(pk=1, name="Acme Rockets", slug="acme")
    team_request.membership = Membership(role=TeamRole.ADMIN)
    members = _members()
    team_names = {members[0].github_id: ("Core", "Ops", "Docs", "Site")}
    context = {
        "cards": _member_cards(),
        "reasons": REASONS.values(),
        "query": MemberQuery(),
        "page": Paginator(members, len(members)).get_page(1),
        "counts": {"total": 2310, "active": 2298},
        "choices": FilterChoices(teams=(("core", "Core"),), saved=(("1 q=a", "Owners"),)),
        "github_url": "https://github.com",
        "can_edit": True,
        "rows": member_rows(team_request, map(shown_of, members), team_names=team_names),
        "repositories": _repository_rows(),
        "tones": TONES,
        "steps": (1, 2, 3, 4),
    }
    return render(request, "styleguide.html", context)


def _member_cards() -> list[MemberSyncCard]:
    now = timezone.now()
    never = MemberSyncCard(state="never", status="pending", organization_login="acme", revision=1)
    syncing = replace(
        never,
        state="syncing",
        status="syncing",
        started_at=now - timedelta(seconds=40),
        completed_at=now - timedelta(hours=2),
        seen_count=1400,
        expected_count=2310,
        page_count=14,
        expected_page_count=24,
        created_count=12,
        updated_count=3,
        unchanged_count=1385,
        ends_at=now + timedelta(seconds=12),
    )
    complete = replace(
        syncing,
        state="complete",
        status="complete",
        completed_at=now - timedelta(minutes=3),
        departed_count=2,
    )
    failed = replace(syncing, state="error", status="error")
    waiting = replace(syncing, state="waiting", resume_at=now + timedelta(minutes=11, seconds=8))
    return [
        replace(never, state="not_connected"),
        never,
        replace(never, state="pending", status="syncing", asked_at=now),
        replace(syncing, expected_count=None, expected_page_count=None),
        syncing,
        waiting,
        replace(waiting, wait_reason="github_unavailable"),
        complete,
        replace(complete, created_count=0, updated_count=0, departed_count=0),
        replace(complete, sweep_blocked_by="short_list", failed_count=3),
        replace(complete, state="held", held_count=231, held_names=("ada", "bob", "zoe")),
        replace(failed, state="cancelled", reason=reason_for("cancelled")),
        *(_failed(failed, code) for code in ("github_unavailable", "bad_credentials")),
        replace(_failed(failed, "saml_required"), error_url="https://github.com/orgs/acme/sso"),
    ]


def _failed(card: MemberSyncCard, code: str) -> MemberSyncCard:
    reason = reason_for(code)
    return replace(card, reason=reason, error_sentence=reason.sentence)


def _members() -> list[TeamMember]:
    """Return made-up people: owner and member, with and without 2FA, one who left, and the odd."""
    now = timezone.now()
    people = [
        TeamMember(
            pk=number,
            github_id=number,
            github_username=f"person-{number}",
            name=name,
            email=f"person-{number}@example.com",
            two_factor_enabled=(True, False, None)[number % 3],
            joined_at=now - timedelta(days=40 * number),
        )
        for number, name in enumerate(("Alice Liddell", "Bob", "", *HOSTILE_NAMES), start=1)
    ]
    people[0].role = MemberRole.ADMIN
    people[1].is_active, people[1].left_at = False, now - timedelta(days=3)
    people[1].deactivated_by = DeactivatedBy.SYNC
    people[2].email = ""
    return people


def _repository_rows() -> list[tuple[TrackedRepository, RepositorySyncCard]]:
    now = timezone.now()
    return [
        (
            TrackedRepository(
                pk=number,
                name=f"rocket-{number}",
                full_name=f"acme/rocket-{number}",
                description="Guidance, telemetry and the countdown.",
                html_url=f"https://github.com/acme/rocket-{number}",
                is_private=number % 2 == 0,
                is_archived=number == 1,
                is_tracked=number > 1,
            ),
            RepositorySyncCard(
                repository_id=number,
                name=f"rocket-{number}",
                state=state,
                revision=number,
                completed_at=now - timedelta(hours=5) if state == "complete" else None,
                ended_at=now - timedelta(hours=5) if state in {"complete", "error"} else None,
                resume_at=now + timedelta(minutes=4),
                people_count=14 if state == "complete" else None,
                error_sentence=reason_for("not_found").sentence if state == "error" else "",
            ),
        )
        for number, state in enumerate(REPOSITORY_STATES, start=1)
    ]
