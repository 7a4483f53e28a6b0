"""Health says up or down and a sentence, to whoever asks, whatever is away."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import dramatiq
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from integrations.ops.health_checks import OWN_WORKER_HEARD_WITHIN, complaint_of
from integrations.ops.single_flight import SingleFlight
from integrations.telemetry.processes import WEB, WORKER, ProcessReport, read_processes
from integrations.telemetry.redis_clients import telemetry_client
from tests.processes import Valkey

HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
# The bar is 2 s; a loaded machine may take as long again.
PATIENCE_S = 4.0


def report(kind: str = WORKER, *, silent_s: float = 0, **state: Any) -> ProcessReport:
    now = timezone.now()
    return ProcessReport(
        id=kind,
        kind=kind,
        host="host",
        pid=1,
        started_at=now,
        seen_at=now - timedelta(seconds=silent_s),
        memory_bytes=1,
        thread_count=1,
        state=state,
    )


class TestHealthz:
    def test_it_answers_without_database_and_redis(self, client: Client, valkey: Valkey) -> None:
        valkey.stop()
        response = client.get("/healthz")
        assert response.status_code == 200
        assert response.json() == {"status": "up", "checks": {}}

    def test_it_has_a_page_for_people(self, client: Client) -> None:
        response = client.get("/healthz", HTTP_ACCEPT=HTML)
        assert response.status_code == 200
        assert "This process answers" in response.content.decode()

    def test_it_is_not_sent_to_https(self, client: Client, settings: Any) -> None:
        settings.SECURE_SSL_REDIRECT = True
        assert client.get("/healthz").status_code == 200


@pytest.mark.django_db(transaction=True)
class TestReadyz:
    def test_it_is_up_with_database_redis_migrations_and_a_worker(
        self, client: Client, worker: dramatiq.Worker, wait_until: Callable[..., None]
    ) -> None:
        wait_until(lambda: read_processes(telemetry_client()))
        response = client.get("/readyz")
        assert response.status_code == 200, response.content
        found = response.json()
        assert found["status"] == "up"
        assert {name: one["status"] for name, one in found["checks"].items()} == dict.fromkeys(
            ["database", "migrations", "redis", "worker"], "up"
        )
        assert "no-cache" in response.headers["Cache-Control"]

    def test_it_is_down_without_a_worker(self, client: Client) -> None:
        response = client.get("/readyz")
        assert response.status_code == 503
        checks = response.json()["checks"]
        assert checks["worker"]["status"] == "down"
        assert checks["database"]["status"] == checks["redis"]["status"] == "up"

    def test_it_is_down_while_redis_is_away(self, client: Client, valkey: Valkey) -> None:
        valkey.stop()
        begun_s = time.monotonic()
        response = client.get("/readyz")
        assert time.monotonic() - begun_s < PATIENCE_S
        assert response.status_code == 503
        assert response.json()["checks"]["redis"]["says"] == "Redis does not answer."

    def test_it_is_down_while_redis_hangs(self, client: Client, valkey: Valkey) -> None:
        with valkey.hanging():
            begun_s = time.monotonic()
            responses = [client.get("/readyz") for _ in range(2)]
            assert time.monotonic() - begun_s < 2 * PATIENCE_S
        assert {response.status_code for response in responses} == {503}
        assert responses[0].json()["checks"]["database"]["status"] == "up"

    def test_people_see_a_page_that_touches_no_session(self, client: Client) -> None:
        client.cookies[settings.SESSION_COOKIE_NAME] = "whatever"
        response = client.get("/readyz", HTTP_ACCEPT=HTML)
        assert response.status_code == 503
        text = response.content.decode()
        assert "Not ready" in text
        assert "No worker was heard of within 60 s." in text
        assert not response.cookies

    def test_it_tells_no_secret_and_no_host(self, client: Client, valkey: Valkey) -> None:
        valkey.stop()
        for accept in (HTML, "application/json"):
            text = client.get("/readyz", HTTP_ACCEPT=accept).content.decode()
            for secret in (settings.SECRET_KEY, str(valkey.port), "127.0.0.1", "sandbox-secret"):
                assert secret not in text
            assert str(connection.settings_dict["NAME"]) not in text


class TestComplaints:
    def test_workers_that_are_well_give_none(self) -> None:
        assert complaint_of([report(), report(WEB)], heard_within=timedelta(minutes=1)) == ""

    def test_no_worker_was_heard_of(self) -> None:
        reports = [report(silent_s=61), report(WEB)]
        assert "No worker" in complaint_of(reports, heard_within=timedelta(minutes=1))

    def test_a_consumer_died(self) -> None:
        reports = [report(dead_consumers=["interactive.DQ"]), report()]
        assert "restarted" in complaint_of(reports, heard_within=timedelta(minutes=1))

    def test_what_a_dead_worker_last_said_does_not_count(self) -> None:
        reports = [report(dead_consumers=["interactive.DQ"], silent_s=30), report()]
        assert complaint_of(reports, heard_within=timedelta(minutes=1)) == ""


@pytest.mark.django_db(transaction=True)
class TestOfAWorker:
    """`manage.py ops health --worker`, the health check of a container."""

    def test_it_passes_beside_a_worker(
        self, worker: dramatiq.Worker, wait_until: Callable[..., None]
    ) -> None:
        wait_until(lambda: read_processes(telemetry_client()))
        call_command("ops", "health", "--worker")

    def test_it_fails_where_no_worker_beats(self) -> None:
        with pytest.raises(SystemExit) as caught:
            call_command("ops", "health", "--worker")
        assert caught.value.code == 1

    def test_it_fails_when_a_consumer_died(
        self, worker: dramatiq.Worker, wait_until: Callable[..., None]
    ) -> None:
        consumer = worker.consumers["interactive"]
        consumer.stop()
        consumer.join()
        wait_until(
            lambda: any(one.state["dead_consumers"] for one in read_processes(telemetry_client()))
        )
        with pytest.raises(SystemExit):
            call_command("ops", "health", "--worker")

    def test_it_fails_while_redis_is_away(self, valkey: Valkey) -> None:
        valkey.stop()
        with pytest.raises(SystemExit):
            call_command("ops", "health", "--worker")

    def test_ten_seconds_without_a_word_are_too_long(self) -> None:
        assert complaint_of([report(silent_s=11)], heard_within=OWN_WORKER_HEARD_WITHIN)


class TestSingleFlight:
    def test_a_question_that_hangs_is_asked_once(self) -> None:
        asked: list[float] = []

        def ask() -> int:
            asked.append(time.monotonic())
            time.sleep(0.3)
            return 7

        question = SingleFlight(ask, name="test")
        for _ in range(3):
            with pytest.raises(TimeoutError):
                question.ask(patience_s=0.01)
        assert question.ask(patience_s=10) == 7
        assert len(asked) == 1
