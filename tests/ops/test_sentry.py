"""Errors reach Sentry with ids, without secrets and without people's data. No network: a transport
of the test's own takes the envelopes."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import dramatiq
import pytest
import sentry_sdk
import structlog
from dramatiq.brokers.stub import StubBroker
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from project.sentry import configure_sentry

DSN = "https://0123456789abcdef@sentry.invalid/1"
TOKEN = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"


class Kept(Transport):
    """Keeps what would be sent."""

    envelopes: list[Envelope] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope)


@pytest.fixture(autouse=True)
def _sentry() -> Iterator[None]:
    Kept.envelopes = []
    with sentry_sdk.isolation_scope():
        configure_sentry(DSN, environment="tests", transport=Kept)
        yield
        sentry_sdk.get_client().close()
        sentry_sdk.get_global_scope().set_client(None)


def events() -> list[dict[str, Any]]:
    return [
        dict(event) for envelope in Kept.envelopes if (event := envelope.get_event()) is not None
    ]


def test_a_logged_error_has_its_ids_as_tags() -> None:
    with structlog.contextvars.bound_contextvars(run_id=17, team_id=3, message_id="m-1"):
        structlog.get_logger("integrations.tests").error("run failed on our side", reason="x")
    (event,) = events()
    assert event["tags"] == {"run_id": "17", "team_id": "3", "message_id": "m-1"}
    assert event["logentry"]["message"] == "run failed on our side"
    assert event["extra"]["reason"] == "x"
    assert event["environment"] == "tests"


def test_secrets_are_masked_wherever_they_stand() -> None:
    structlog.get_logger("integrations.tests").info("asked", token="abcdef123456", url=TOKEN)

    def fail(access_token: str) -> None:
        local_words = f"holding {access_token}"
        raise ValueError(f"bad: {local_words}")

    try:
        fail(TOKEN)
    except ValueError:
        logging.getLogger("integrations.tests").exception("with %s", TOKEN)
    (event,) = events()
    text = json.dumps(event, default=repr)
    assert "ValueError" in text
    assert TOKEN not in text
    assert "abcdef123456" not in text


def test_a_failing_actor_is_told_once_with_its_message() -> None:
    broker = StubBroker(middleware=[])

    @dramatiq.actor(broker=broker)
    def explode(token: str) -> None:
        raise RuntimeError(f"no use for {token}")

    worker = dramatiq.Worker(broker, worker_timeout=50, worker_threads=1)
    worker.start()
    try:
        message = explode.send(TOKEN)
        broker.join("default", timeout=10_000)
        worker.join()
    finally:
        worker.stop()
        broker.close()
    (event,) = events()
    assert event["exception"]["values"][-1]["type"] == "RuntimeError"
    assert event["tags"]["message_id"] == message.message_id
    assert event["transaction"] == "explode"
    assert TOKEN not in json.dumps(event, default=repr)
