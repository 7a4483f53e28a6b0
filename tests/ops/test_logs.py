"""Log lines hold ids and no secrets, whoever wrote them."""

from __future__ import annotations

import io
import json
import logging
import logging.config
from collections.abc import Callable, Iterator
from typing import Any

import dramatiq
import pytest
import structlog
from django.conf import settings

from integrations import tasks
from integrations.masking import MASK
from project.logs import configure_logs

TOKEN = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What is logged as in production, a mapping a line."""
    stream = io.StringIO()
    facts = configure_logs(level="INFO", is_json=True)["formatters"]["line"]
    formatter = facts.pop("()")(**facts)
    own = logging.StreamHandler(stream)
    own.setFormatter(formatter)
    root = logging.getLogger()
    root.addHandler(own)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(own)


Lines = Callable[[], list[dict[str, Any]]]


class TestSecrets:
    def test_they_are_masked_in_event_and_keys(self, lines: Lines) -> None:
        logger = structlog.get_logger("integrations.tests")
        headers = {"Authorization": "x" * 9}
        logger.warning("sent %s", TOKEN, args=[1, TOKEN], headers=headers, count=3)
        (line,) = lines()
        assert line["event"] == f"sent {MASK}"
        assert line["args"] == [1, MASK]
        assert line["headers"] == {"Authorization": MASK}
        assert line["count"] == 3

    def test_they_are_masked_in_an_exceptions_text(self, lines: Lines) -> None:
        logger = structlog.get_logger("integrations.tests")
        try:
            raise ValueError(f"bad token {TOKEN}")
        except ValueError:
            logger.exception("it failed")
        (line,) = lines()
        assert "ValueError: bad token" in line["exception"]
        assert TOKEN not in json.dumps(line)

    def test_they_are_masked_in_lines_of_other_libraries(self, lines: Lines) -> None:
        logging.getLogger("urllib3").warning("GET %s?access_token=%s", "https://h/", "abcdef123456")
        (line,) = lines()
        assert "abcdef123456" not in json.dumps(line)
        assert line["level"] == "warning"

    def test_what_the_settings_hold_is_masked(self, lines: Lines) -> None:
        logging.getLogger("x").warning("%s", settings.SECRET_KEY)
        assert settings.SECRET_KEY not in json.dumps(lines())

    def test_ordinary_words_stay(self, lines: Lines) -> None:
        logger = structlog.get_logger("integrations.tests")
        logger.info("run complete", run_id=17, kind="members", reason="bad_credentials")
        (line,) = lines()
        assert (line["event"], line["run_id"], line["kind"]) == ("run complete", 17, "members")
        assert line["reason"] == "bad_credentials"


class TestIds:
    def test_a_line_of_any_actor_names_its_message(
        self, worker: dramatiq.Worker, lines: Lines, wait_until: Callable[..., None]
    ) -> None:
        message = tasks.apply_webhooks_task.send(987654)

        def line() -> dict[str, Any] | None:
            return next((one for one in lines() if one["event"] == "message processed"), None)

        wait_until(line)
        found = line()
        assert found is not None
        assert found["message_id"] == message.message_id
        assert found["actor"] == "apply_webhooks_task"
        assert structlog.contextvars.get_contextvars() == {}
