"""Messages are found by what they are about, however many there are and whatever they hold."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import dramatiq
import pytest
from redis.exceptions import RedisError

from integrations import tasks
from integrations.models import MessageAttempt
from integrations.ops import messages
from integrations.ops.message_scan import Criteria, Progress, scan
from integrations.ops.message_shapes import (
    DEAD,
    DELAYED,
    DONE,
    READY,
    RETRYING,
    RUNNING,
    STATES,
    MessageQuery,
)
from integrations.ops.messages import find, get
from tests.factories import MessageAttemptFactory, SyncRunFactory
from tests.ops import letters
from tests.syncing import connect, start

if TYPE_CHECKING:
    from collections.abc import Callable

    from dramatiq.brokers.redis import RedisBroker

    from integrations.models import SyncRun
    from integrations.ops.message_shapes import BrokerMessage
    from tests.processes import Valkey
    from tests.sandbox_control import SandboxControl

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a loaded machine finish its searches; TestLimits tries the deadline itself."""
    for name in ("BUDGET_S", "BUDGET_S_OF_ONE"):
        monkeypatch.setattr(messages, name, 60.0)


TOKEN = "ghp_" + "a1B2" * 9


def ids(query: MessageQuery) -> list[str]:
    page = find(query)
    assert page.is_complete
    return [one.message_id for one in page.messages]


def only(query: MessageQuery) -> BrokerMessage:
    [found] = find(query).messages
    return found


class TestReady:
    def test_they_come_in_queue_order_by_pages_of_fifty(self) -> None:
        message_ids = letters.fill(120)
        pages = [find(MessageQuery(page=number)) for number in (1, 2, 3, 4)]
        assert [one.message_id for page in pages for one in page.messages] == message_ids
        assert [len(page.messages) for page in pages] == [50, 50, 20, 0]
        assert all((page.total_count, page.page_count) == (120, 3) for page in pages)
        assert all(page.is_complete for page in pages)

    def test_a_page_spans_queues(self) -> None:
        first, second = letters.fill(30), letters.fill(60, queue="scheduled")
        assert ids(MessageQuery()) == first + second[:20]
        assert ids(MessageQuery(page=2)) == second[20:]
        assert ids(MessageQuery(queue="scheduled"))[0] == second[0]
        assert ids(MessageQuery(queue="nowhere")) == []

    def test_a_search_keeps_queue_order_over_many_chunks(self) -> None:
        message_ids = letters.fill(4_500)
        query = MessageQuery(actor="MEMBERS")
        assert ids(query) == message_ids[:50]
        assert find(query).total_count == 4_500
        assert ids(MessageQuery(text=message_ids[0])) == message_ids[:1]

    def test_what_a_worker_has_fetched_ahead_comes_first(self, broker: RedisBroker) -> None:
        message_ids = letters.fill(3)
        letters.fetch(broker)
        page = find(MessageQuery())
        assert [one.message_id for one in page.messages] == message_ids
        assert [one.is_held for one in page.messages] == [True, False, False]
        assert find(MessageQuery(text=message_ids[0])).messages[0].is_held

    def test_it_says_what_is_known_of_one(self, acme_run: SyncRun) -> None:
        sent = letters.send(acme_run.pk, time_limit=7)
        found = only(MessageQuery())
        assert (found.message_id, found.queue, found.actor) == (
            sent.message_id, letters.QUEUE, letters.ACTOR,
        )  # fmt: skip
        assert json.loads(found.arguments) == {"args": [acme_run.pk], "kwargs": {}}
        assert json.loads(found.options)["time_limit"] == 7
        assert found.created_at is not None
        assert found.ready_at is not None
        assert (found.attempt, found.eta, found.failed_at, found.error) == (1, None, None, "")
        assert (found.subject.run_id, found.subject.team_slug) == (acme_run.pk, "acme")
        assert found.spec == f"ready:{letters.QUEUE}:{letters.key_of(sent)}"


@pytest.fixture
def acme_run(acme: Any) -> SyncRun:
    run: SyncRun = SyncRunFactory(integration__team=acme)
    return run


class TestFilters:
    def test_by_run(self, acme_run: SyncRun) -> None:
        sent = letters.send(acme_run.pk)
        letters.send(acme_run.pk * 10 + 1)
        letters.put(letters.message(acme_run.pk, actor="read_people_task"))
        assert ids(MessageQuery(run=acme_run.pk)) == [sent.message_id]

    def test_by_team_in_slug_or_name(self, acme_run: SyncRun) -> None:
        sent = letters.send(acme_run.pk)
        letters.send(SyncRunFactory().pk)
        integration_id = acme_run.integration_id
        people = letters.send(integration_id, actor="read_people_task", queue="scheduled")
        for name in ("acme", "Acme", "ACME"):
            assert ids(MessageQuery(team=name)) == [sent.message_id, people.message_id]
        assert ids(MessageQuery(team="acme", run=acme_run.pk)) == [sent.message_id]
        assert ids(MessageQuery(team="nobody's")) == []

    def test_by_actor(self) -> None:
        letters.send()
        other = letters.send(actor="read_people_task", queue="scheduled")
        assert ids(MessageQuery(actor="people")) == [other.message_id]

    @pytest.mark.parametrize(
        "text", ["grün", "GRÜN UND", 'say "hi"', "a\\b", "1, 2", "VALUEERROR: no", "in spam"]
    )
    def test_by_any_text_that_is_shown(self, text: str) -> None:
        wanted = letters.put(
            letters.message(
                "Grün und gut", 'say "hi"'.replace('"', "'"), "C:\\a\\b", 1, 2,
                traceback="File x, in spam\nValueError: no", retries=1,
            ),
            state=DEAD,
        )  # fmt: skip
        letters.put(letters.message("other"), state=DEAD)
        found = find(MessageQuery(DEAD, text=text.replace('"', "'").replace("\\", "\\\\")))
        assert [one.key for one in found.messages] == [wanted.key]

    def test_a_secret_can_be_neither_read_nor_guessed(self) -> None:
        letters.put(letters.message(TOKEN, traceback=f"token={TOKEN}"), state=DEAD)
        letters.put_raw(f"no message {TOKEN}".encode(), state=DEAD)
        page = find(MessageQuery(DEAD))
        assert len(page.messages) == 2
        assert TOKEN not in repr(page)
        assert "***" in page.messages[0].arguments
        assert find(MessageQuery(DEAD, text=TOKEN)).total_count == 0
        assert find(MessageQuery(DEAD, text=TOKEN[:12])).total_count == 0


class TestPutOff:
    def test_delayed_and_retrying_are_told_apart_the_next_first(self) -> None:
        later = letters.send(delay_ms=7_200_000)
        sooner = letters.send(delay_ms=3_600_000)
        retried = letters.send(delay_ms=5_000, retries=2, traceback="Traceback\nKeyError: 'spam'\n")
        assert ids(MessageQuery(DELAYED)) == [sooner.message_id, later.message_id]
        found = only(MessageQuery(RETRYING))
        assert (found.message_id, found.attempt) == (retried.message_id, 3)
        assert found.error == "KeyError: 'spam'"
        assert found.eta is not None
        assert 0 < found.eta.timestamp() - time.time() <= 5
        assert found.queue == letters.QUEUE

    def test_those_in_a_worker_s_memory_are_found(self, broker: RedisBroker) -> None:
        sent = letters.send(delay_ms=3_600_000)
        letters.fetch(broker, queue=f"{letters.QUEUE}.DQ")
        assert ids(MessageQuery(DELAYED)) == [sent.message_id]


class TestDead:
    def test_the_newest_comes_first_over_all_queues(self) -> None:
        older, newer = letters.fill(60, state=DEAD), letters.fill(2, state=DEAD, queue="scheduled")
        assert ids(MessageQuery(DEAD))[:1] in ([newer[-1]], [older[-1]])
        for query in (MessageQuery(DEAD), MessageQuery(DEAD, actor="sync")):
            died = [one.failed_at for one in find(query).messages]
            assert died == sorted(died, reverse=True)  # type: ignore[type-var]
        assert find(MessageQuery(DEAD, page=2)).total_count == 62

    def test_it_says_why(self, broker: RedisBroker) -> None:
        letters.bury(broker, error="ValueError: odd", traceback="Traceback\n  in f", retries=1)
        found = only(MessageQuery(DEAD))
        assert (found.error, found.traceback, found.attempt) == (
            "ValueError: odd", "Traceback\n  in f", 2,
        )  # fmt: skip
        assert "Traceback" not in found.options


class TestHostilePayloads:
    @pytest.mark.parametrize(
        "raw",
        [
            b"", b"\xff\xfe\x00", b"null", b"7", b"[]", b"{}", b"{", b"[" * 100_000,
            b'{"message_id": "x"}', b'{"queue_name":"q","actor_name":7,"args":{},"kwargs":[]}',
            letters.message(1).encode().replace(b'"args":[1]', b'"args":' + b"9" * 6_000),
            letters.message(1).encode()[:-1] + b',"more":1}',
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("state", [READY, DELAYED, DEAD])
    def test_what_makes_no_message_is_listed_as_such(self, raw: bytes, state: str) -> None:
        ref = letters.put_raw(raw, state=state)
        found = only(MessageQuery(state))
        assert (found.key, found.message_id, found.is_decodable) == (ref.key, ref.key, False)
        assert len(found.arguments) <= 4_000
        find(MessageQuery(state, text="x", actor="y"))
        detail = get(ref.key)
        assert detail is not None
        assert detail.current is not None

    def test_markup_and_broken_characters_come_as_plain_text(self) -> None:
        one = letters.message("<script>\ud800", "\0", 1e999, actor="<b>")
        letters.put(one)
        found = only(MessageQuery())
        assert type(found.arguments) is str
        assert "<script>" in found.arguments
        assert found.arguments.encode()
        assert "\0" not in found.arguments

    def test_odd_figures_do_no_harm(self) -> None:
        letters.put(
            letters.message(1, retries="many", ready_at=1e300, eta="soon", failed_at=[]),
            state=DELAYED,
        )
        found = only(MessageQuery(DELAYED))
        assert (found.attempt, found.ready_at, found.eta) == (1, None, None)

    def test_keys_in_arguments_are_no_options(self) -> None:
        one = letters.message(1, eta=round(time.time() * 1000) + 60_000)
        one.kwargs.update({"retries": 5, "options": {"retries": 5}, "actor_name": "other"})
        letters.put(one, state=DELAYED)
        assert find(MessageQuery(RETRYING)).total_count == 0
        assert find(MessageQuery(DELAYED, actor="other")).total_count == 0
        assert find(MessageQuery(DELAYED, actor="sync")).total_count == 1


class TestRunning:
    def test_what_runs_is_told_with_its_worker_and_subject(
        self,
        worker: dramatiq.Worker,
        sandbox: SandboxControl,
        wait_until: Callable[..., None],
    ) -> None:
        organization = sandbox.organization(size=12)
        organization.slow_down(1_500)
        integration = connect(organization)
        run = start(integration)
        tasks.sync_github_members_later(run)
        query = MessageQuery(RUNNING, run=run.pk, team=integration.team.slug, actor="members")
        wait_until(lambda: find(query).messages)
        found = only(query)
        assert (found.state, found.is_held, found.subject.run_id) == (RUNNING, True, run.pk)
        assert found.worker
        assert found.started_at is not None
        assert find(MessageQuery(RUNNING, text="nothing like it")).total_count == 0
        assert find(MessageQuery(READY)).total_count == 0
        detail = get(found.message_id)
        assert detail is not None
        assert detail.current is not None
        assert detail.current.state == RUNNING
        wait_until(lambda: MessageAttempt.objects.exists(), timeout_s=20)
        assert get(found.message_id) is not None
        assert worker.worker_threads == 2


class TestOne:
    @pytest.mark.parametrize("state", [READY, DELAYED, DEAD])
    def test_it_is_found_by_its_id_where_it_lies(self, state: str) -> None:
        letters.fill(1_200, state=state)
        one = letters.message(7)
        ref = letters.put(one, state=state)
        for name in (one.message_id, ref.key):
            detail = get(name)
            assert detail is not None
            assert detail.message_id == one.message_id
            assert detail.current is not None
            assert detail.current.ref == ref
            assert detail.is_complete

    def test_a_held_one_is_found(self, broker: RedisBroker) -> None:
        sent = letters.send()
        letters.fetch(broker)
        detail = get(sent.message_id)
        assert detail is not None
        assert detail.current is not None
        assert detail.current.is_held

    def test_its_attempts_stand_with_it(self, acme_run: SyncRun) -> None:
        one = letters.message(acme_run.pk, retries=1)
        letters.put(one, state=DELAYED)
        for number in (1, 2):
            MessageAttemptFactory(
                message_id=one.message_id, number=number, outcome="retried", traceback=f"t{number}"
            )
        MessageAttemptFactory()
        detail = get(one.message_id)
        assert detail is not None
        assert [attempt.traceback for attempt in detail.attempts] == ["t2", "t1"]
        assert detail.current is not None
        assert detail.current.state == RETRYING
        assert detail.subject.team_slug == "acme"

    def test_one_that_is_over_is_known_from_its_rows(self, acme_run: SyncRun) -> None:
        team_id = acme_run.integration.team_id
        attempt = MessageAttemptFactory(run_id=acme_run.pk, team_id=team_id)
        detail = get(attempt.message_id)
        assert detail is not None
        assert detail.current is None
        assert (detail.subject.run_id, detail.subject.team_slug) == (acme_run.pk, "acme")

    def test_nothing_is_known_of_others(self) -> None:
        for name in ("nothing", "", "\0", "*", "%"):
            assert get(name) is None


class TestLimits:
    def test_a_search_says_how_far_it_got_when_its_time_is_over(self) -> None:
        letters.fill(5_000)
        progress = Progress(budget_s=0)
        found = list(scan(letters.QUEUE, READY, Criteria(actor="sync"), progress=progress))
        assert not progress.is_complete
        assert len(found) == progress.searched_count == 2_000

    def test_what_workers_take_meanwhile_hides_nobody(self, broker: RedisBroker) -> None:
        message_ids = letters.fill(5_000)
        seen = []
        for one in scan(
            letters.QUEUE, READY, Criteria(), progress=Progress(60), wants_payload=True
        ):
            seen.append(json.loads(one.raw)["message_id"])
            if len(seen) % 100 == 0:
                broker.do_fetch(letters.QUEUE, 1)
                letters.send()
        assert set(message_ids[100:]) <= set(seen)
        assert len(seen) == len(set(seen))

    def test_an_unknown_state_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no state 'alive'; there are ready, "):
            find(MessageQuery("alive"))

    def test_redis_away_is_said(self, valkey: Valkey) -> None:
        valkey.stop()
        for state in set(STATES) - {DONE}:
            with pytest.raises(RedisError):
                find(MessageQuery(state))
        with pytest.raises(RedisError):
            get("x")
        assert find(MessageQuery(DONE)).messages == ()
