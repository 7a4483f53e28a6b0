"""What operators press beside queues and processes: pause, resume, forget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import Http404
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST
from dramatiq.errors import BrokerConnectionError
from redis.exceptions import RedisError

from integrations.constants import OperatorActKind
from integrations.ops import acts, pausing, rabbitmq_queues
from integrations.ops.broker_keys import declared_queues
from integrations.ops.views.access import operator_required
from integrations.rabbitmq.broker import quorum_broker
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
def ops_queue_requeue(request: OperatorRequest, queue: str) -> HttpResponse:
    """Put all dead letters of a queue back, where the broker can't choose among them."""
    broker = quorum_broker()
    if broker is None or queue not in declared_queues():
        raise Http404
    try:
        count = rabbitmq_queues.requeue_dead(broker, queue)
    except BrokerConnectionError:
        messages.error(
            request, "RabbitMQ doesn't answer: some may have been requeued. Look again in a moment."
        )
    else:
        if count:
            acts.note(request.user, OperatorActKind.REQUEUE, f"all dead of {queue}", count=count)
        messages.success(request, f"Requeued in {queue}: {count:,}.")
    return redirect(f"{reverse('ops_messages')}?state=dead")


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
