"""`manage.py ops`: status, requeue, drain and health from a terminal."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from typing import Any

import dramatiq
import pytest
import redis
from django.conf import settings
from django.core.management import CommandError, call_command
from dramatiq.brokers.redis import RedisBroker

from integrations import tasks
from integrations.constants import OperatorActKind
from integrations.live.grip_register import register_key
from integrations.models import OperatorAct, PausedQueue
from integrations.ops import queues
from integrations.telemetry.redis_clients import telemetry_client
from project.grip import GripProxy
from tests.processes import Valkey

TOKEN = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments: str) -> tuple[int, str]:
    """Return exit code and output."""
    out = io.StringIO()
    try:
        call_command("ops", *arguments, stdout=out, stderr=out)
    except SystemExit as exit_:
        return int(exit_.code or 0), out.getvalue()
    return 0, out.getvalue()


def bury(broker: RedisBroker, actor: dramatiq.Actor[..., Any], *arguments: Any) -> str:
    """Put a message of an actor with the dead letters, as a worker would; return its id."""
    message = broker.enqueue(actor.message(*arguments))
    consumer = broker.consume(message.queue_name, prefetch=1, timeout=1000)
    proxy = next(consumer)
    assert proxy is not None
    consumer.nack(proxy)
    consumer.close()
    return message.message_id


def dead_count() -> int:
    return sum(depth.dead_count for depth in queues.read_depths())


def ready_count() -> int:
    return sum(depth.ready_count for depth in queues.read_depths())


class TestStatus:
    def test_it_shows_the_dashboards_numbers(
        self, worker: dramatiq.Worker, wait_until: Callable[..., None]
    ) -> None:
        wait_until(lambda: "of 2 threads" in run("status")[1])
        code, text = run("status")
        # There is no scheduler.
        assert code == 1
        assert "No scheduler is alive." in text
        for word in ("interactive", "scheduled", "webhooks", "RUNS", "GITHUB", "WEBHOOKS"):
            assert word in text

    def test_it_speaks_json(self) -> None:
        code, text = run("status", "--json")
        found = json.loads(text)
        assert code == 1
        assert {queue["depth"]["name"] for queue in found["queues"]} >= {"interactive", "webhooks"}
        assert any(problem["code"] == "no_worker" for problem in found["problems"])

    def test_it_counts_the_streams_that_a_pushpin_holds(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "Pushpin" not in run("status")[1]
        assert json.loads(run("status", "--json")[1])["held_count"] is None
        proxies = [GripProxy("http://127.0.0.1:1", "rollcall", "k" * 32)]
        monkeypatch.setattr(settings, "GRIP_PROXIES", proxies)
        telemetry_client().zadd(register_key(), {"one": time.time(), "another": time.time()})
        assert "Pushpin holds 2 streams." in run("status")[1]
        assert json.loads(run("status", "--json")[1])["held_count"] == 2

    def test_it_says_that_redis_is_away(self, valkey: Valkey) -> None:
        valkey.stop()
        code, text = run("status")
        assert code == 1
        assert "Redis" in text
        assert "QUEUES       not readable" in text

    def test_it_shows_no_secret(self, broker: RedisBroker) -> None:
        bury(broker, tasks.read_people_task, TOKEN)
        text = run("status")[1] + run("status", "--json")[1]
        assert TOKEN not in text
        assert settings.SECRET_KEY not in text


class TestRequeue:
    def test_it_puts_back_what_a_filter_finds(self, broker: RedisBroker) -> None:
        bury(broker, tasks.read_people_task, 1)
        bury(broker, tasks.apply_webhooks_task, 2)
        assert dead_count() == 2
        code, text = run("requeue", "--queue", "webhooks", "--yes")
        assert code == 0
        assert "1 requeued." in text
        assert (dead_count(), ready_count()) == (1, 1)
        act = OperatorAct.objects.get()
        assert (act.by, act.kind, act.count) == ("command line", OperatorActKind.REQUEUE, 1)
        assert act.subject == "queue webhooks"

    def test_it_puts_back_messages_by_their_ids(self, broker: RedisBroker) -> None:
        one = bury(broker, tasks.read_people_task, 1)
        bury(broker, tasks.read_people_task, 2)
        assert "1 requeued." in run("requeue", one, "--yes")[1]
        assert (dead_count(), ready_count()) == (1, 1)

    def test_it_only_counts_when_dry(self, broker: RedisBroker) -> None:
        bury(broker, tasks.read_people_task, 1)
        assert run("requeue", "--dry-run") == (0, "1 dead letter: all that are dead\n")
        assert (dead_count(), OperatorAct.objects.count()) == (1, 0)

    def test_it_asks_first(self, broker: RedisBroker, monkeypatch: pytest.MonkeyPatch) -> None:
        bury(broker, tasks.read_people_task, 1)
        monkeypatch.setattr("sys.stdin", io.StringIO("no\n"))
        with pytest.raises(CommandError, match="Nothing was done"):
            run("requeue")
        assert dead_count() == 1
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        run("requeue")
        assert dead_count() == 0

    def test_it_says_that_redis_is_away(self, valkey: Valkey) -> None:
        valkey.stop()
        with pytest.raises(CommandError, match="Redis does not answer"):
            run("requeue", "--yes")


class TestDrain:
    def test_it_pauses_and_ends_when_nothing_is_in_flight(
        self, broker: RedisBroker, worker: dramatiq.Worker
    ) -> None:
        code, text = run("drain", "scheduled", "--timeout", "30")
        assert code == 0
        assert "Drained." in text
        assert list(PausedQueue.objects.values_list("queue", flat=True)) == ["scheduled"]
        kinds = set(OperatorAct.objects.values_list("kind", flat=True))
        assert kinds == {OperatorActKind.PAUSE, OperatorActKind.DRAIN}

    def test_it_gives_up_and_says_what_is_still_in_flight(self, broker: RedisBroker) -> None:
        broker.enqueue(tasks.read_people_task.message(1))
        consumer = broker.consume("scheduled", prefetch=1, timeout=1000)
        assert next(consumer) is not None
        with pytest.raises(CommandError, match="'scheduled': 1"):
            run("drain", "scheduled", "--timeout", "1")
        assert PausedQueue.objects.count() == 1

    def test_it_resumes(self) -> None:
        PausedQueue.objects.create(queue="scheduled")
        assert "scheduled goes on." in run("drain", "--resume")[1]
        assert not PausedQueue.objects.exists()
        with redis.Redis.from_url(settings.LIVE_REDIS_URL) as client:
            assert not client.exists(f"{settings.BROKER_NAMESPACE}:ops:paused")

    def test_it_knows_no_other_queue(self) -> None:
        with pytest.raises(CommandError, match="no queue 'nonsense'"):
            run("drain", "nonsense")


class TestHealth:
    def test_it_names_what_is_not_well(self) -> None:
        code, text = run("health")
        assert code == 1
        assert text == "No worker was heard of within 60 s.\n"

    def test_it_is_silent_about_what_is_well(
        self, worker: dramatiq.Worker, wait_until: Callable[..., None]
    ) -> None:
        wait_until(lambda: run("health")[0] == 0)
        assert run("health") == (0, "up\n")
