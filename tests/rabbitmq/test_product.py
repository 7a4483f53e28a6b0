"""The product's real processes on RabbitMQ: a pause, a killed worker, RabbitMQ away and back."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from integrations.constants import SYNC_STATUS_COMPLETE, SYNC_STATUS_ERROR, SYNC_STATUS_PENDING
from integrations.models import SyncRun
from tests.bench.queue_teams import connected_teams
from tests.processes import wait_until
from tests.rabbitmq.common import QUEUE, click, latest_run, on_rabbitmq, status_of
from tests.syncing import roster, truth

if TYPE_CHECKING:
    from integrations.models import GitHubIntegration, User
    from tests.rabbitmq.node import RabbitMQ
    from tests.sandbox_control import SandboxOrganization
    from tests.stack import Stack


def sent_so_far(run: SyncRun) -> tuple[str, int]:
    return status_of(run), run.send_count


class TestTheProductOnRabbitMQ:
    pytestmark = [*on_rabbitmq, pytest.mark.processes]

    def test_a_click_syncs_a_pause_holds_and_a_killed_worker_loses_nothing(
        self, on_node: Stack, rabbitmq: RabbitMQ, integration: GitHubIntegration,
        organization: SandboxOrganization, alice: User, olga: User,
    ) -> None:  # fmt: skip
        click(on_node, integration, alice)
        run = latest_run()
        wait_until(lambda: status_of(run) == SYNC_STATUS_COMPLETE, timeout_s=20)
        assert roster(integration) == truth(organization)

        on_node.post("/ops/queues/interactive/pause/", user=olga)
        # The worker hears of it with its beat; RabbitMQ then has one consumer less.
        wait_until(lambda: rabbitmq.consumer_count(QUEUE) == 0)
        click(on_node, integration, alice)
        paused = latest_run()
        wait_until(lambda: rabbitmq.count(QUEUE) == 1)
        page = on_node.get("/ops/", user=olga).text
        assert "The queue interactive is paused" in page
        assert 'data-label="Ready"><a class="count " ' in page
        assert "single messages be listed" in on_node.get("/ops/messages/", user=olga).text
        assert status_of(paused) == SYNC_STATUS_PENDING
        organization.slow_down(2_000)
        on_node.post("/ops/queues/interactive/resume/", user=olga)
        wait_until(lambda: status_of(paused) != SYNC_STATUS_PENDING)

        on_node.worker.kill()
        killed_at_s = time.monotonic()
        wait_until(lambda: rabbitmq.count(QUEUE) == 1)
        redelivered_in_s = time.monotonic() - killed_at_s
        print(f"redelivered in {redelivered_in_s:.2f} s")
        assert redelivered_in_s < 5
        organization.slow_down(0)
        on_node.start(("worker",))
        # Its lease runs out after the worker's death; the ticker then sends it again.
        wait_until(lambda: status_of(paused) == SYNC_STATUS_COMPLETE, timeout_s=60)
        assert roster(integration) == truth(organization)

    def test_rabbitmq_away_is_said_at_once_and_back_it_works(
        self, on_node: Stack, rabbitmq: RabbitMQ, integration: GitHubIntegration,
        organization: SandboxOrganization, alice: User, olga: User,
    ) -> None:  # fmt: skip
        assert on_node.get("/ops/", user=olga).text.count("RabbitMQ doesn") == 0
        rabbitmq.kill()
        [at_night] = connected_teams([organization], 1, next_sync_at=timezone.now())
        began_s = time.monotonic()
        click(on_node, integration, alice, status=HTTPStatus.SERVICE_UNAVAILABLE)
        assert time.monotonic() - began_s < 3
        run = latest_run()
        assert (status_of(run), run.error_code) == (SYNC_STATUS_ERROR, "queue_unreachable")
        for path in ("/ops/", "/ops/messages/?state=dead"):
            began_s = time.monotonic()
            page = on_node.get(path, user=olga).text
            assert time.monotonic() - began_s < 2
        assert "RabbitMQ" in page
        assert "RabbitMQ doesn&#x27;t answer" in on_node.get("/ops/", user=olga).text
        with on_node.browser_session() as session:
            ready = session.get(f"{on_node.url}/readyz", timeout=10).json()
        assert ready["checks"]["rabbitmq"]["status"] == "down"
        assert ready["checks"]["redis"]["status"] == "up"
        # The ticker goes on: it starts what is due, and keeps what it can't send.
        wait_until(lambda: "run not sent" in on_node.scheduler.output)
        night = SyncRun.objects.get(integration=at_night)
        # Each further tick takes it, finds the queue away, and puts it back.
        wait_until(lambda: sent_so_far(night) == (SYNC_STATUS_PENDING, 0))
        rabbitmq.start()
        # It answers before its quorum queues have chosen their leaders anew.
        assert rabbitmq.count(QUEUE) >= 0
        click(on_node, integration, alice)
        run = latest_run()
        wait_until(lambda: status_of(run) == SYNC_STATUS_COMPLETE, timeout_s=30)
        wait_until(lambda: status_of(night) == SYNC_STATUS_COMPLETE, timeout_s=30)
        assert on_node.scheduler.is_running
        assert roster(integration) == roster(at_night) == truth(organization)
