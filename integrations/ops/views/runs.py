"""Runs across teams: which stand still, wait or failed, and the acts on one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import Http404
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from integrations.ops import runs
from integrations.ops.views.access import operator_required
from integrations.tasks import QueueUnreachable

if TYPE_CHECKING:
    from django.http import HttpResponse

    from integrations.ops.views.access import OperatorRequest


@operator_required
@require_safe
def ops_runs(request: OperatorRequest) -> HttpResponse:
    """List runs by state, team and cause."""
    now = timezone.now()
    chosen = {name: request.GET.get(name, "") for name in ("state", "team", "cause")}
    lines = runs.find_runs(
        now, state=chosen["state"], team_slug=chosen["team"], cause=chosen["cause"]
    )
    context = {
        "nav": "runs",
        "now": now,
        "lines": lines,
        "is_cut": len(lines) >= runs.FOUND_MAX,
        "chosen": chosen,
        "states": runs.STATES,
        "figures": runs.read_runs(now),
    }
    return render(request, "ops/runs.html", context)


@operator_required
@require_POST
def ops_run_retry(request: OperatorRequest, run_id: int) -> HttpResponse:
    """Start an ended run's work anew, or send an active one's message again."""
    try:
        started = runs.retry(run_id, request.user)
    except runs.RunNotFound as exc:
        raise Http404 from exc
    except runs.RunRefused as exc:
        messages.error(request, str(exc))
    except QueueUnreachable:
        messages.error(request, "The queue can't be reached. Try again in a moment.")
    else:
        messages.success(request, f"Run {started.pk} is on its way.")
    return redirect(_back(request))


@operator_required
@require_POST
def ops_run_cancel(request: OperatorRequest, run_id: int) -> HttpResponse:
    """End an active run."""
    try:
        was_active = runs.cancel(run_id, request.user)
    except runs.RunNotFound as exc:
        raise Http404 from exc
    if was_active:
        messages.success(request, f"Run {run_id} is cancelled.")
    else:
        messages.info(request, f"Run {run_id} had ended already.")
    return redirect(_back(request))


def _back(request: OperatorRequest) -> str:
    """Return the page that the act was pressed on."""
    back = request.POST.get("back", "")
    is_ours = back.startswith("/ops/") and url_has_allowed_host_and_scheme(back, None)
    return back if is_ours else reverse("ops")
