"""Before anything changes: previews, and the people whom the guard held for a decision."""

from __future__ import annotations

from typing import Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST

from integrations import tasks
from integrations.constants import RunTrigger
from integrations.models import HeldDeparture
from integrations.numbers import whole_number
from integrations.reasons import reason_for
from integrations.services import departures, previews
from integrations.services.runs import start_run
from integrations.views.helpers import (
    TeamRequest,
    login_and_team_required,
    organization_or_404,
    team_admin_required,
)
from integrations.views.history import run_or_404, run_page

ROWS_PER_PAGE: Final = 100
DECISIONS: Final = ("remove", "keep")


@team_admin_required
@require_POST
def github_members_preview(request: TeamRequest) -> HttpResponse:
    """Start a preview, or join the one under way; its page shows what it finds."""
    integration = organization_or_404(request)
    if not integration.is_connected:
        messages.error(request, reason_for("not_connected").sentence)
        return redirect("github_members", request.team.slug)
    started = start_run(
        integration, trigger=RunTrigger.MANUAL, person=request.user, is_preview=True
    )
    try:
        if not started.joined:
            tasks.sync_github_members_later(started.run)
    except tasks.QueueUnreachable as exc:
        messages.error(request, reason_for(exc.reason).sentence)
        return run_page(request, run_or_404(request, started.run.pk), status=503)
    return redirect("github_run", request.team.slug, started.run.pk)


@team_admin_required
@require_POST
def github_preview_apply(request: TeamRequest, run_id: int) -> HttpResponse:
    """Have a worker write what a preview showed; 409 when something moved since."""
    preview = run_or_404(request, run_id)
    try:
        with transaction.atomic():
            started = previews.apply(preview, person=request.user)
            tasks.sync_github_members_later(started.run)
    except previews.PreviewStale as exc:
        messages.error(request, reason_for(exc.reason).sentence)
        return run_page(request, preview, status=409)
    except tasks.QueueUnreachable as exc:
        messages.error(request, reason_for(exc.reason).sentence)
        return run_page(request, preview, status=503)
    messages.success(request, _("Applying the changes in the background."))
    return redirect("github_members", request.team.slug)


@login_and_team_required
@require_http_methods(["GET", "HEAD", "POST"])
def github_held(request: TeamRequest) -> HttpResponse:
    """The people whom the guard held, by name; an admin removes or keeps them."""
    if request.method != "POST":
        return _held_page(request)
    if not request.membership.is_admin:
        raise PermissionDenied
    return _decide(request)


def _held_page(request: TeamRequest, *, error: str = "", status: int = 200) -> HttpResponse:
    held = HeldDeparture.objects.filter(
        member__team=request.team, member__is_active=True
    ).select_related("member", "run")
    context = {
        "page": Paginator(held, ROWS_PER_PAGE).get_page(request.GET.get("page")),
        "can_edit": request.membership.is_admin,
        "error": error,
        "nav": "members",
    }
    return render(request, "integrations/github_held.html", context, status=status)


def _decide(request: TeamRequest) -> HttpResponse:
    decision = request.POST.get("decision")
    given = [whole_number(one) for one in request.POST.getlist("member")]
    if decision not in DECISIONS or None in given:
        return _held_page(request, error=_("Choose to remove or to keep them."), status=400)
    is_all = request.POST.get("all") == "1"
    if not (is_all or given):
        return _held_page(request, error=_("Choose somebody first."), status=400)
    count = departures.decide(
        organization_or_404(request),
        None if is_all else [one for one in given if one is not None],
        remove=decision == "remove",
        person=request.user,
    )
    messages.success(request, _decided_words(count, remove=decision == "remove"))
    return redirect("github_members", request.team.slug)


def _decided_words(count: int, *, remove: bool) -> str:
    if not count:
        return _("This was decided already.")
    if remove:
        words = ngettext("%(n)d person was removed.", "%(n)d people were removed.", count)
    else:
        words = ngettext("%(n)d person is kept.", "%(n)d people are kept.", count)
    return words % {"n": count}
