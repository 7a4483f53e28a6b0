"""Addresses of the operators, below /ops/. A view's name is its address's name."""

from __future__ import annotations

from django.urls import path

from integrations.ops.stream import ops_live
from integrations.ops.views import acts, dashboard, message_acts, messages, queues, runs

urlpatterns = [
    path("", dashboard.ops, name="ops"),
    path("live/", ops_live, name="ops_live"),
    path("queues/<str:queue>/pause/", queues.ops_queue_pause, name="ops_queue_pause"),
    path("queues/<str:queue>/resume/", queues.ops_queue_resume, name="ops_queue_resume"),
    path("queues/<str:queue>/requeue/", queues.ops_queue_requeue, name="ops_queue_requeue"),
    path(
        "processes/<str:process_id>/forget/", queues.ops_process_forget, name="ops_process_forget"
    ),
    path("runs/", runs.ops_runs, name="ops_runs"),
    path("runs/<int:run_id>/retry/", runs.ops_run_retry, name="ops_run_retry"),
    path("runs/<int:run_id>/cancel/", runs.ops_run_cancel, name="ops_run_cancel"),
    path("messages/", messages.ops_messages, name="ops_messages"),
    path("messages/act/", message_acts.ops_messages_act, name="ops_messages_act"),
    path("messages/<str:message_id>/", messages.ops_message, name="ops_message"),
    path("acts/", acts.ops_acts, name="ops_acts"),
]
