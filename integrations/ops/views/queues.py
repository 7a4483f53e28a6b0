"""What operators press beside queues and processes: pause, resume, forget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import Http404
from django.shortcuts import redirect
from django.views.decorators.http import require_POST
from redis.exceptions import RedisError

from integrations.constants import OperatorActKind
from integrations.ops import acts, pausing
from integrations.ops.views.access import operator_required
from integrations.telemetry import processes
from integrations.telemetry.redis_clients import telemetry_client

if TYPE_CHECKING:
    from django.http import HttpResponse

    from integrations.ops.views.access import OperatorRequest


@operator_required
@require_POST
def ops_queue_pause(request: OperatorRequest, queue: str) -> HttpResponse:
    """Have workers leave a queue alone."""
    try:
        pausing.pause(queue, request.user)
    except ValueError as exc:
        raise Http404 from exc
    messages.success(request, f"The queue {queue} is paused. What is asked for meanwhile waits.")
    return redirect("ops")


@operator_required
@require_POST
def ops_queue_resume(request: OperatorRequest, queue: str) -> HttpResponse:
    """Have workers take up a queue again."""
    try:
        pausing.resume(queue, request.user)
    except ValueError as exc:
        raise Http404 from exc
    messages.success(request, f"The queue {queue} goes on.")
    return redirect("ops")


@operator_required
@require_POST
def ops_process_forget(request: OperatorRequest, process_id: str) -> HttpResponse:
    """Take a process that is gone off the page; one that lives is back at its next beat."""
    try:
        was_there = processes.forget(telemetry_client(), process_id)
    except RedisError:
        messages.error(request, "Redis doesn't answer. Try again in a moment.")
    else:
        if was_there:
            acts.note(request.user, OperatorActKind.FORGET, request.POST.get("name") or process_id)
        messages.success(request, "The process is forgotten.")
    return redirect("ops")
