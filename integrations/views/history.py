"""What was done: every run, one run, one person. Members may look, admins may cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from integrations.constants import (
    SYNC_STATUS_CHOICES,
    MemberChangeKind,
    RunKind,
    RunTrigger,
)
from integrations.live.cards import PreviewCard
from integrations.live.channels import channel_of
from integrations.models import MemberChange, RepositoryAccess, SyncRun, TeamMember
from integrations.reasons import reason_for
from integrations.services import previews, transitions
from integrations.services.organization_people import TEAMS, may_see
from integrations.views.change_rows import change_rows
from integrations.views.helpers import (
    TeamRequest,
    integration_of,
    login_and_team_required,
    team_admin_required,
)
from integrations.views.member_query import team_names_of

if TYPE_CHECKING:
    from django.db.models import QuerySet

ROWS_PER_PAGE: Final = 50
ACCESS_MAX: Final = 500
# What the live card counts together.
CHANGE_GROUPS: Final = {
    "joined": [MemberChangeKind.JOINED, MemberChangeKind.RETURNED],
    "left": [MemberChangeKind.LEFT],
    "changed": sorted(
        set(MemberChangeKind)
        - {MemberChangeKind.JOINED, MemberChangeKind.RETURNED, MemberChangeKind.LEFT}
    ),
}


@login_and_team_required
@require_safe
def github_history(request: TeamRequest) -> HttpResponse:
    """Every run, or with `show=changes` every change of a person, the newest first."""
    if request.GET.get("show") == "changes":
        return _changes_page(request)
    runs: QuerySet[Any] = SyncRun.objects.filter(integration__team=request.team).select_related(
        "requested_by", "repository"
    )
    runs, chosen = _filtered(
        request,
        runs,
        kind=RunKind.choices,
        trigger=RunTrigger.choices,
        status=SYNC_STATUS_CHOICES,
    )
    context = {
        "page": Paginator(runs, ROWS_PER_PAGE).get_page(request.GET.get("page")),
        "chosen": tuple(chosen.items()),
        "filters": (
            ("kind", _("Any kind"), tuple(RunKind.choices)),
            ("trigger", _("However started"), tuple(RunTrigger.choices)),
            ("status", _("Any outcome"), tuple(SYNC_STATUS_CHOICES)),
        ),
        "nav": "history",
    }
    return render(request, "integrations/github_history.html", context)


def _changes_page(request: TeamRequest) -> HttpResponse:
    changes: QuerySet[Any] = MemberChange.objects.filter(team=request.team)
    changes = changes.select_related("person")
    changes, chosen = _filtered(request, changes, kind=MemberChangeKind.choices)
    wanted = request.GET.get("q", "").replace("\0", "").strip().removeprefix("@")[:100]
    if wanted:
        changes = changes.filter(github_username__icontains=wanted)
    page = Paginator(changes, ROWS_PER_PAGE).get_page(request.GET.get("page"))
    found = _with_members(request, page.object_list)
    context = {
        "page": page,
        "changes": found,
        "rows": change_rows(request, found),
        "chosen": tuple(chosen.items()),
        "q": wanted,
        "filters": (("kind", _("Any change"), tuple(MemberChangeKind.choices)),),
        "nav": "history",
    }
    return render(request, "integrations/github_changes.html", context)


def _filtered(
    request: TeamRequest, rows: QuerySet[Any], **choices: list[tuple[str, Any]]
) -> tuple[QuerySet[Any], dict[str, str]]:
    """Narrow rows by the address; what is no choice is ignored."""
    chosen = {
        name: request.GET[name]
        for name, known in choices.items()
        if request.GET.get(name) in {value for value, _ in known}
    }
    return rows.filter(**chosen), chosen


def _with_members(request: TeamRequest, changes: Any) -> list[tuple[Any, int | None]]:
    """Pair each change with the key of its person's row, for the link: one query."""
    changes = list(changes)
    ids = {change.github_id for change in changes}
    rows = TeamMember.objects.filter(team=request.team, github_id__in=ids)
    keys = dict(rows.values_list("github_id", "pk"))
    return [(change, keys.get(change.github_id)) for change in changes]


def run_or_404(request: TeamRequest, run_id: int) -> SyncRun:
    """Return a run of this team, whatever its kind."""
    runs = SyncRun.objects.select_related(
        "integration__credential", "repository", "requested_by", "cancelled_by"
    )
    return get_object_or_404(runs, pk=run_id, integration__team=request.team)


@login_and_team_required
@require_safe
def github_run(request: TeamRequest, run_id: int) -> HttpResponse:
    """One run: how it went, step by step, and what it changed or would change."""
    return run_page(request, run_or_404(request, run_id))


def run_page(request: TeamRequest, run: SyncRun, *, status: int = 200) -> HttpResponse:
    rows: QuerySet[Any] = run.changes.select_related("person").order_by("pk")
    if run.is_preview:
        rows = run.planned_changes.order_by("kind", "github_username")
    wanted = CHANGE_GROUPS.get(request.GET.get("kind", ""))
    if wanted:
        rows = rows.filter(kind__in=wanted)
    page = Paginator(rows, ROWS_PER_PAGE).get_page(request.GET.get("page"))
    reason = previews.why_not_applicable(run) if run.is_preview else ""
    changes = _with_members(request, page.object_list)
    context = {
        "run": run,
        "card": PreviewCard.of(run) if run.is_preview else None,
        "reason": reason_for(run.error_code) if run.error_code else None,
        "steps": [
            (step, reason_for(step.reason) if step.reason else None)
            for step in run.transitions.all()[:200]
        ],
        "page": page,
        "is_narrowed": wanted is not None,
        "changes": changes,
        "rows": change_rows(request, changes, of_run=True),
        "why_not": reason_for(reason).sentence if reason else "",
        "can_edit": request.membership.is_admin,
        "revision": request.team.revision,
        "channel": channel_of(request.team.pk),
        "nav": "history",
    }
    return render(request, "integrations/github_run.html", context, status=status)


@login_and_team_required
@require_safe
def github_member(request: TeamRequest, member_id: int) -> HttpResponse:
    """One person of the roster, and everything that is known to have happened to them."""
    member = get_object_or_404(request.team.members.select_related("held_departure"), pk=member_id)
    changes = (
        MemberChange.objects.filter(team=request.team, github_id=member.github_id)
        .select_related("person")
        .order_by("-at", "-pk")
    )
    page = Paginator(changes, ROWS_PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "member": member,
        "held": getattr(member, "held_departure", None),
        "team_names": team_names_of(request.team, [member.github_id]).get(member.github_id, []),
        "verified_emails": request.team.verified_emails.filter(github_id=member.github_id),
        "access": RepositoryAccess.objects.filter(
            repository__integration__team=request.team,
            repository__is_tracked=True,
            github_id=member.github_id,
        )
        .select_related("repository")
        .order_by("repository__full_name")[:ACCESS_MAX],
        "sees_teams": may_see(integration_of(request), TEAMS),
        "page": page,
        "changes": page.object_list,
        "rows": change_rows(
            request, [(change, None) for change in page.object_list], one_person=True
        ),
        "github_url": settings.GITHUB_URL.rstrip("/"),
        "nav": "members",
    }
    return render(request, "integrations/github_member.html", context)


@team_admin_required
@require_POST
def github_run_cancel(request: TeamRequest, run_id: int) -> HttpResponse:
    """End a run that is under way; one that is over stays as it ended."""
    run = run_or_404(request, run_id)
    _cancel(request, run)
    return redirect("github_run", request.team.slug, run.pk)


@team_admin_required
@require_POST
def github_members_cancel(request: TeamRequest) -> HttpResponse:
    """End the member sync that is under way, whichever that is by now."""
    runs = SyncRun.objects.of_members(integration_of(request)).active()
    _cancel(request, runs.select_related("integration").first())
    return redirect("github_members", request.team.slug)


def _cancel(request: TeamRequest, run: SyncRun | None) -> None:
    if run is not None and transitions.cancel(run, person=request.user):
        messages.success(request, _("Cancelled. What was read until then stays."))
    else:
        messages.info(request, _("This was over already."))
