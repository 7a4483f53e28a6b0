"""Attempts that are over are found by what they were about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integrations.constants import MessageOutcome
from integrations.ops.history import attempts_of
from integrations.ops.message_shapes import DONE, MessageQuery
from integrations.ops.messages import find
from tests.factories import MessageAttemptFactory

if TYPE_CHECKING:
    from integrations.models import Team

pytestmark = pytest.mark.django_db(transaction=True)


def ids(query: MessageQuery) -> list[str]:
    page = find(query)
    assert page.is_complete
    return [one.message_id for one in page.messages]


def test_the_latest_come_first_by_pages_of_fifty() -> None:
    made = [MessageAttemptFactory().message_id for _ in range(60)]
    assert ids(MessageQuery(DONE)) == made[:9:-1]
    assert ids(MessageQuery(DONE, page=2)) == made[9::-1]
    page = find(MessageQuery(DONE))
    assert (page.total_count, page.page_count, page.searched_count) == (60, 2, 60)


def test_each_filter_finds_its_own(acme: Team) -> None:
    MessageAttemptFactory(message_id="other", arguments='{"args": [99], "kwargs": {}}')
    MessageAttemptFactory(
        message_id="it", queue="scheduled", actor="read_people_task", outcome=MessageOutcome.DEAD,
        team_id=acme.pk, run_id=7, error="ValueError: Odd", traceback="Traceback in spam()",
    )  # fmt: skip
    for query in (
        MessageQuery(DONE, queue="scheduled"),
        MessageQuery(DONE, actor="PEOPLE"),
        MessageQuery(DONE, outcome="dead"),
        MessageQuery(DONE, team="acme"),
        MessageQuery(DONE, team="ACME"),
        MessageQuery(DONE, run=7),
        MessageQuery(DONE, text="valueerror"),
        MessageQuery(DONE, text="spam()"),
        MessageQuery(DONE, text="IT"),
        MessageQuery(DONE, text=" odd\0 ", team="acme", run=7, actor="read", queue="scheduled"),
    ):
        assert "it" in ids(query), query
    assert ids(MessageQuery(DONE, team="acme", run=8)) == []
    assert ids(MessageQuery(DONE, text="[99]")) == ["other"]


def test_a_line_says_how_it_ended(acme: Team) -> None:
    MessageAttemptFactory(
        outcome=MessageOutcome.RETRIED, number=2, error="KeyError: 'x'", traceback="trace",
        team_id=acme.pk, worker="box:7", ran_ms=1_500,
    )  # fmt: skip
    [found] = find(MessageQuery(DONE)).messages
    assert (found.state, found.outcome, found.attempt) == (DONE, "retried", 2)
    assert (found.error, found.traceback, found.worker) == ("KeyError: 'x'", "trace", "box:7")
    assert (found.ran_s, found.subject.team_name) == (1.5, "Acme")


def test_all_attempts_at_one_message_are_told() -> None:
    for number in (1, 2, 3):
        MessageAttemptFactory(message_id="it", number=number, waited_ms=250)
    MessageAttemptFactory(message_id="other")
    lines = attempts_of("it")
    assert [line.number for line in lines] == [3, 2, 1]
    assert lines[0].waited_s == 0.25
    assert attempts_of("\0") == ()


def test_a_team_that_is_gone_leaves_its_attempts() -> None:
    MessageAttemptFactory(team_id=4711, run_id=3)
    [found] = find(MessageQuery(DONE)).messages
    assert (found.subject.run_id, found.subject.team_name) == (3, "")
