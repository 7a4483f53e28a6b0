"""RabbitMQ as the broker: the product's real processes on a private node from Debian's package."""

from __future__ import annotations

import io
import json
import os
import re
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import dramatiq
import environ
import pika
import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone
from dramatiq.brokers.rabbitmq import DEAD_MESSAGE_TTL
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import CurrentMessage

from integrations import tasks
from integrations.constants import (
    SYNC_STATUS_COMPLETE,
    SYNC_STATUS_ERROR,
    SYNC_STATUS_PENDING,
    SYNC_STATUS_SYNCING,
    OperatorActKind,
)
from integrations.models import OperatorAct, SyncRun
from integrations.ops import doctor_rabbitmq, rabbitmq_queues
from integrations.rabbitmq.broker import QuorumBroker
from integrations.rabbitmq.link import parameters_of
from project.broker import read_broker
from tests.bench.queue_teams import connected_teams
from tests.factories import UserFactory
from tests.processes import Process, wait_until
from tests.rabbitmq import IS_THERE, RabbitMQ, make_certificates
from tests.stack import database_url
from tests.syncing import roster, truth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from integrations.models import GitHubIntegration, User
    from tests.sandbox_control import SandboxOrganization
    from tests.stack import Stack

QUEUES = ("interactive", "scheduled", "webhooks")
QUEUE = "interactive"
on_rabbitmq = [
    pytest.mark.rabbitmq,
    pytest.mark.django_db(transaction=True),
    # In CI it runs and fails: a hole there would be seen by nobody.
    pytest.mark.skipif(not IS_THERE and not os.environ.get("CI"), reason="no rabbitmq-server"),
]


@pytest.fixture(scope="session")
def node() -> Iterator[RabbitMQ]:
    """One node for all tests of a pytest process."""
    running = RabbitMQ()
    try:
        running.start()
        yield running
    finally:
        running.remove()


@pytest.fixture
def rabbitmq(node: RabbitMQ, monkeypatch: pytest.MonkeyPatch) -> RabbitMQ:
    """The node, running, with no queue; processes that are started now use it."""
    if not node.is_running:
        node.start()
    node.forget_everything(*QUEUES)
    monkeypatch.setenv("BROKER_URL", node.url)
    return node


@pytest.fixture
def on_node(rabbitmq: RabbitMQ, stack: Stack) -> Stack:
    """The product's processes, with their messages at RabbitMQ."""
    return stack


@pytest.fixture
def quorum(rabbitmq: RabbitMQ) -> Iterator[QuorumBroker]:
    """This process's broker for the length of a test."""
    before = dramatiq.get_broker()
    made = QuorumBroker(url=rabbitmq.url, middleware=[CurrentMessage()])
    dramatiq.set_broker(made)
    yield made
    dramatiq.set_broker(before)
    made.close()


@pytest.fixture
def olga(db: None) -> User:
    """An operator."""
    found: User = UserFactory(email="olga@example.com", is_staff=True)
    return found


def click(
    stack: Stack, integration: GitHubIntegration, user: User, *, status: int = HTTPStatus.OK
) -> None:
    path = reverse("github_members_sync", args=[integration.team.slug])
    assert stack.post(path, user=user).status_code == status


def status_of(run: SyncRun) -> str:
    run.refresh_from_db()
    return run.status


def sent_so_far(run: SyncRun) -> tuple[str, int]:
    return status_of(run), run.send_count


def latest_run() -> SyncRun:
    return SyncRun.objects.latest("pk")


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


class TestBrokerUrl:
    @pytest.mark.parametrize(
        "url", ["kafka://host", "amqp:host", "localhost:5672", "redis://", "stub://x"]
    )
    def test_an_unknown_one_stops_the_process_with_the_valid_ones(
        self, monkeypatch: pytest.MonkeyPatch, url: str
    ) -> None:
        monkeypatch.setenv("BROKER_URL", url)
        with pytest.raises(ImproperlyConfigured, match=r"BROKER_URL.*redis://.*amqps://HOST"):
            read_broker(environ.Env(), default="redis://a/1", namespace="n")

    def test_without_one_it_is_the_redis_of_the_rest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("BROKER_URL", "")
        found = read_broker(environ.Env(), default="redis://a:1/1", namespace="n")
        assert (found.redis_url, found.options["url"]) == ("redis://a:1/1", "redis://a:1/1")

    def test_another_redis_is_taken_as_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("BROKER_URL", "rediss://b:2/5")
        found = read_broker(environ.Env(), default="redis://a:1/1", namespace="n")
        assert found.redis_url == "rediss://b:2/5"


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
        click(on_node, integration, alice)
        run = latest_run()
        wait_until(lambda: status_of(run) == SYNC_STATUS_COMPLETE, timeout_s=30)
        wait_until(lambda: status_of(night) == SYNC_STATUS_COMPLETE, timeout_s=30)
        assert on_node.scheduler.is_running
        assert roster(integration) == roster(at_night) == truth(organization)


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


class TestQuorumBroker:
    pytestmark = on_rabbitmq

    def test_its_queues_are_quorum_queues(self, quorum: QuorumBroker, rabbitmq: RabbitMQ) -> None:
        quorum.declare_queue(QUEUE, ensure=True)
        ours = quorum._build_queue_arguments(QUEUE)
        for name, arguments in {
            QUEUE: ours, f"{QUEUE}.DQ": ours, f"{QUEUE}.XQ": {"x-message-ttl": DEAD_MESSAGE_TTL},
        }.items():  # fmt: skip
            with rabbitmq.connect() as connection:
                channel = connection.channel()
                classic = {**arguments, "x-queue-type": "classic"}
                with pytest.raises(pika.exceptions.ChannelClosedByBroker, match=r"is.*'quorum'"):
                    channel.queue_declare(name, durable=True, arguments=classic)
        assert [one.tone for one in doctor_rabbitmq.examine()].count("bad") == 0

    def test_the_doctor_tells_of_a_queue_of_another_kind(
        self, quorum: QuorumBroker, rabbitmq: RabbitMQ
    ) -> None:
        with rabbitmq.connect() as connection:
            connection.channel().queue_declare(QUEUE, durable=True)
        said = [one for one in doctor_rabbitmq.examine() if one.tone == "bad"]
        assert [one.sentence.split()[0] for one in said] == [QUEUE]

    def test_a_rabbitmq_that_hangs_is_given_up_within_three_seconds_and_forgiven(
        self, quorum: QuorumBroker, rabbitmq: RabbitMQ
    ) -> None:
        actor = dramatiq.actor(queue_name=QUEUE)(lambda_named("anything"))
        actor.send(1)
        rabbitmq.stall()
        try:
            began_s = time.monotonic()
            with pytest.raises(ConnectionClosed):
                actor.send(2)
            assert time.monotonic() - began_s < 3.5
        finally:
            rabbitmq.go_on()
        actor.send(3)
        # The second send was under way, and may have arrived.
        wait_until(lambda: rabbitmq.count(QUEUE) in {2, 3})

    def test_an_unreadable_message_dies_alone_and_letters_go_back_whole(
        self, quorum: QuorumBroker, rabbitmq: RabbitMQ
    ) -> None:
        ran: list[int] = []
        actor = dramatiq.actor(queue_name=QUEUE, actor_name="notes")(ran.append)
        actor.send(1)
        with rabbitmq.connect() as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish("", QUEUE, b"[]")
            for number in (7, 8):
                channel.basic_publish("", f"{QUEUE}.XQ", actor.message(number).encode())
        worker = dramatiq.Worker(quorum, worker_timeout=50, worker_threads=1)
        worker.start()
        try:
            wait_until(lambda: ran == [1])
            wait_until(lambda: rabbitmq.count(f"{QUEUE}.XQ") == 3)
            assert rabbitmq_queues.requeue_dead(quorum, QUEUE) == 2
            wait_until(lambda: sorted(ran) == [1, 7, 8])
            wait_until(lambda: rabbitmq.count(f"{QUEUE}.XQ") == 1)
            depth = next(one for one in rabbitmq_queues.read_depths(quorum) if one.name == QUEUE)
        finally:
            worker.stop()
        assert (depth.ready_count, depth.in_flight_count, depth.dead_count) == (0, 0, 1)

    def test_the_end_of_an_old_job_is_not_taken_for_that_of_a_new_one(
        self, quorum: QuorumBroker, rabbitmq: RabbitMQ
    ) -> None:
        begun: list[str] = []
        gates = [threading.Event(), threading.Event()]

        @dramatiq.actor(queue_name=QUEUE, actor_name="waits")
        def waits() -> None:
            gate = gates[min(len(begun), 1)]
            begun.append("")
            assert gate.wait(timeout=30)

        waits.send()
        worker = dramatiq.Worker(quorum, worker_timeout=50, worker_threads=2)
        worker.start()
        try:
            wait_until(lambda: len(begun) == 1)
            # Its connection breaks: RabbitMQ gives the message out again, with the same tag.
            broken: Any = worker.consumers[QUEUE].consumer
            broken.connection.add_callback_threadsafe(broken.connection.close)
            wait_until(lambda: len(begun) == 2)
            gates[0].set()
            # The old job has ended and been settled; the new one goes on.
            wait_until(lambda: worker.work_queue.unfinished_tasks == 1)
            assert len(quorum.held[QUEUE]) == 1
            gates[1].set()
            wait_until(lambda: len(quorum.held[QUEUE]) == 0)
        finally:
            for gate in gates:
                gate.set()
            worker.stop()
        assert rabbitmq.count(QUEUE) == 0


def lambda_named(name: str) -> Any:
    """Return a function for an actor that is never run."""

    def function(number: int) -> None:
        raise AssertionError(number)

    function.__name__ = name
    return function


class TestTls:
    pytestmark = on_rabbitmq

    def test_messages_go_and_come_with_an_authority_of_one_s_own(self, rabbitmq: RabbitMQ) -> None:
        url = f"{rabbitmq.tls_url}?cacertfile={rabbitmq.ca_file}"
        broker = QuorumBroker(url=url, middleware=[CurrentMessage()])
        ran: list[int] = []
        actor = dramatiq.actor(queue_name=QUEUE, actor_name="notes", broker=broker)(ran.append)
        worker = dramatiq.Worker(broker, worker_timeout=50, worker_threads=1)
        worker.start()
        try:
            actor.send(1)
            wait_until(lambda: ran == [1])
        finally:
            worker.stop()
            broker.close()

    @pytest.mark.parametrize(
        "query", ["", "?cacertfile={ca}&server_name_indication=somebody.else.test"]
    )
    def test_who_can_t_show_that_it_is_rabbitmq_gets_nothing(
        self, rabbitmq: RabbitMQ, query: str
    ) -> None:
        broker = QuorumBroker(url=rabbitmq.tls_url + query.format(ca=rabbitmq.ca_file))
        try:
            with pytest.raises(ConnectionClosed, match="certificate"):
                broker.declare_queue(QUEUE, ensure=True)
        finally:
            broker.close()

    def test_its_name_may_be_another_than_the_host_s(self, rabbitmq: RabbitMQ) -> None:
        query = f"?cacertfile={rabbitmq.ca_file}&server_name_indication=rabbitmq.test"
        broker = QuorumBroker(url=rabbitmq.tls_url + query)
        try:
            broker.declare_queue(QUEUE, ensure=True)
        finally:
            broker.close()
        assert rabbitmq.count(QUEUE) == 0


class TestCertificateFiles:
    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("amqps://host/v?cacertfile={empty}/none.pem", "no file that is there as cacertfile"),
            ("amqps://host/v?certfile={empty}/none.pem", "no file that is there as certfile"),
            ("amqps://host/v?cacertfile={file}", "certificates that can't be used"),
            ("amqp://host/v?cacertfile={file}", "names cacertfile, which is for amqps:// alone"),
        ],
    )
    def test_one_that_can_t_be_used_stops_the_process(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, words: str
    ) -> None:
        file = tmp_path / "no-certificate.pem"
        file.write_text("nothing")
        monkeypatch.setenv("BROKER_URL", url.format(empty=tmp_path, file=file))
        with pytest.raises(ImproperlyConfigured, match=f"BROKER_URL.*{words}"):
            read_broker(environ.Env(), default="redis://a/1", namespace="n")

    def test_good_ones_don_t(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        ca = make_certificates(tmp_path)
        url = (
            f"amqps://u:p@host/v?heartbeat=30&cacertfile={ca}"
            f"&certfile={tmp_path / 'server.pem'}&keyfile={tmp_path / 'server.key'}"
        )
        monkeypatch.setenv("BROKER_URL", url)
        found = read_broker(environ.Env(), default="redis://a/1", namespace="n")
        parameters = parameters_of(found.options["url"])
        assert (parameters.host, parameters.port, parameters.virtual_host) == ("host", 5671, "v")
