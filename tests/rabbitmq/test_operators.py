"""What operators see of RabbitMQ's queues and do to them: draining, requeueing."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.urls import reverse

from integrations import tasks
from integrations.constants import SYNC_STATUS_COMPLETE, SYNC_STATUS_SYNCING, OperatorActKind
from integrations.models import OperatorAct
from integrations.ops import rabbitmq_queues
from tests.processes import Process, wait_until
from tests.rabbitmq.common import QUEUE, QUEUES, click, latest_run, on_rabbitmq, status_of
from tests.stack import database_url

if TYPE_CHECKING:
    from pathlib import Path

    from integrations.models import GitHubIntegration, User
    from integrations.rabbitmq.broker import QuorumBroker
    from tests.rabbitmq.node import RabbitMQ
    from tests.sandbox_control import SandboxOrganization
    from tests.stack import Stack


def ops(*arguments: str) -> tuple[int, str]:
    """Run `manage.py ops`; return exit code and output."""
    out = io.StringIO()
    try:
        call_command("ops", *arguments, stdout=out, stderr=out)
    except SystemExit as exit_:
        return int(exit_.code or 0), out.getvalue()
    return 0, out.getvalue()


def bury(rabbitmq: RabbitMQ, queue: str, *run_ids: int) -> None:
    """Put messages of syncs with a queue's dead letters."""
    with rabbitmq.connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for run_id in run_ids:
            message = tasks.sync_github_members_task.message(run_id).copy(queue_name=queue)
            channel.basic_publish("", f"{queue}.XQ", message.encode())


def arguments_in(rabbitmq: RabbitMQ, queue: str) -> list[int]:
    """Take all messages that are ready in a queue; return the runs that they name."""
    found = []
    with rabbitmq.connect() as connection:
        channel = connection.channel()
        while (answer := channel.basic_get(queue, auto_ack=True))[0] is not None:
            found.append(json.loads(answer[2])["args"][0])
    return found


def metric(stack: Stack, olga: User, queue: str, state: str) -> float | None:
    """Return how many messages /metrics tells of."""
    text = stack.get("/metrics", user=olga).text
    found = re.search(
        rf'^rollcall_queue_messages{{queue="{queue}",state="{state}"}} (\S+)$', text, re.MULTILINE
    )
    return float(found[1]) if found else None


class TestOperatorsOnRabbitMQ:
    pytestmark = [*on_rabbitmq, pytest.mark.processes]

    @pytest.mark.parametrize("stack", [("web", "worker")], indirect=True)
    def test_a_drain_waits_for_what_runs_and_metrics_and_page_tell_what_lies_there(
        self, on_node: Stack, quorum: QuorumBroker, rabbitmq: RabbitMQ,
        integration: GitHubIntegration, organization: SandboxOrganization, alice: User, olga: User,
    ) -> None:  # fmt: skip
        organization.slow_down(700)
        for name in QUEUES:
            quorum.declare_queue(name)
        click(on_node, integration, alice)
        run = latest_run()
        wait_until(lambda: status_of(run) == SYNC_STATUS_SYNCING)
        wait_until(lambda: metric(on_node, olga, QUEUE, "in_flight") == 1)
        code, said = ops("drain", QUEUE, "--timeout", "30")
        assert (code, status_of(run)) == (0, SYNC_STATUS_COMPLETE)
        assert "In flight: 1" in said
        assert "Drained." in said

        click(on_node, integration, alice)
        bury(rabbitmq, QUEUE, 0, 0)
        wait_until(lambda: metric(on_node, olga, QUEUE, "ready") == 1)
        assert metric(on_node, olga, QUEUE, "in_flight") == 0
        assert metric(on_node, olga, QUEUE, "dead") == 2
        assert 'rollcall_up{part="rabbitmq"} 1.0' in on_node.get("/metrics", user=olga).text
        assert rabbitmq.count(QUEUE) == 1

        page = on_node.get("/ops/messages/?state=dead", user=olga).text
        assert f"Requeue all 2 of {QUEUE}" in page
        path = reverse("ops_queue_requeue", args=[QUEUE])
        assert path in page
        answer = on_node.post(path, user=olga)
        assert answer.headers["Location"].endswith("/ops/messages/?state=dead")
        assert (rabbitmq.count(QUEUE), rabbitmq.count(f"{QUEUE}.XQ")) == (3, 0)
        act = OperatorAct.objects.get(kind=OperatorActKind.REQUEUE)
        assert (act.by, act.subject, act.count) == (olga.email, f"all dead of {QUEUE}", 2)

        assert ops("drain", QUEUE, "--resume") == (0, f"{QUEUE} goes on.\n")
        run = latest_run()
        wait_until(lambda: status_of(run) == SYNC_STATUS_COMPLETE, timeout_s=20)
        wait_until(lambda: rabbitmq.count(QUEUE) == 0)

    def test_requeueing_by_command_takes_a_queue_or_all(
        self, quorum: QuorumBroker, rabbitmq: RabbitMQ
    ) -> None:
        quorum.declare_actor(tasks.sync_github_members_task)
        for name, count in (("interactive", 2), ("scheduled", 3)):
            quorum.declare_queue(name, ensure=True)
            bury(rabbitmq, name, *range(count))
        with pytest.raises(CommandError, match="give --queue alone"):
            ops("requeue", "some-id", "--yes")
        assert ops("requeue", "--queue", "scheduled", "--dry-run") == (
            0,
            "scheduled: 3 dead letters\n",
        )
        assert rabbitmq.count("scheduled.XQ") == 3
        assert ops("requeue", "--queue", "scheduled", "--yes")[1].endswith("3 requeued.\n")
        assert (rabbitmq.count("scheduled"), rabbitmq.count("scheduled.XQ")) == (3, 0)
        assert (rabbitmq.count("interactive"), rabbitmq.count("interactive.XQ")) == (0, 2)
        assert ops("requeue", "--yes")[1].endswith("2 requeued.\n")
        assert (rabbitmq.count("interactive"), rabbitmq.count("interactive.XQ")) == (2, 0)
        acts = OperatorAct.objects.order_by("pk").values_list("by", "subject", "count")
        assert list(acts) == [
            ("command line", "all dead of scheduled", 3),
            ("command line", "all dead of interactive", 2),
        ]

    def test_killed_between_publishing_and_acknowledging_it_loses_none(
        self, quorum: QuorumBroker, rabbitmq: RabbitMQ, tmp_path: Path
    ) -> None:
        letters = 300
        quorum.declare_actor(tasks.sync_github_members_task)
        quorum.declare_queue(QUEUE, ensure=True)
        bury(rabbitmq, QUEUE, *range(letters))
        requeuing = Process(
            "manage.py", "ops", "requeue", "--queue", QUEUE, "--yes", name="requeue",
            log_dir=tmp_path, is_forked=True,
            environment={
                "DATABASE_URL": database_url(),
                "REDIS_URL": settings.REDIS_URL,
                "GITHUB_URL": settings.GITHUB_URL,
                "GITHUB_API_URL": settings.GITHUB_API_URL,
                "EMAIL_URL": "dummymail://",
                "dramatiq_queue_prefetch": "4",
            },
        )  # fmt: skip
        requeuing.start()
        try:
            requeuing.wait_ready(lambda: rabbitmq.count(QUEUE) > 0)
        finally:
            requeuing.kill()
        # What it had only looked at is back with the dead ones, when RabbitMQ sees that it is gone.
        wait_until(lambda: rabbitmq.count(QUEUE) + rabbitmq.count(f"{QUEUE}.XQ") >= letters)
        assert 0 < rabbitmq.count(f"{QUEUE}.XQ") < letters
        assert rabbitmq.count(QUEUE) + rabbitmq.count(f"{QUEUE}.XQ") <= letters + 1
        rabbitmq_queues.requeue_dead(quorum, QUEUE)
        found = arguments_in(rabbitmq, QUEUE)
        assert set(found) == set(range(letters))
        assert len(found) <= letters + 1
