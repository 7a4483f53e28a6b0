"""What tests on RabbitMQ share: their marks, the queues' names, a click and its run."""

from __future__ import annotations

import os
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from integrations.models import SyncRun
from tests.rabbitmq.node import IS_THERE

if TYPE_CHECKING:
    from integrations.models import GitHubIntegration, User
    from tests.stack import Stack

QUEUES = ("interactive", "scheduled", "webhooks")
QUEUE = "interactive"
on_rabbitmq = [
    pytest.mark.rabbitmq,
    pytest.mark.django_db(transaction=True),
    # In CI it runs and fails: a hole there would be seen by nobody.
    pytest.mark.skipif(not IS_THERE and not os.environ.get("CI"), reason="no rabbitmq-server"),
]


def click(
    stack: Stack, integration: GitHubIntegration, user: User, *, status: int = HTTPStatus.OK
) -> None:
    path = reverse("github_members_sync", args=[integration.team.slug])
    assert stack.post(path, user=user).status_code == status


def status_of(run: SyncRun) -> str:
    run.refresh_from_db()
    return run.status


def latest_run() -> SyncRun:
    return SyncRun.objects.latest("pk")
