"""Single messages on the operators' pages: finding them, and acting on the ticked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from django.http import HttpResponse
from django.urls import reverse

from integrations import tasks
from integrations.constants import QUEUE_SCHEDULED, OperatorActKind
from integrations.models import OperatorAct, User
from integrations.ops import messages
from integrations.ops.broker_keys import QueueKeys
from integrations.ops.message_shapes import DEAD, READY, MessageQuery
from integrations.telemetry.redis_clients import broker_client
from tests.factories import MessageAttemptFactory
from tests.ops import samples
from tests.ops.pages.reading import words_of

if TYPE_CHECKING:
    from django.test import Client
    from dramatiq import Message

    from tests.processes import Valkey

pytestmark = pytest.mark.django_db


def queued(*arguments: object, queue: str = QUEUE_SCHEDULED) -> Message[Any]:
    """Enqueue a message of an actor of ours; no worker runs."""
    actor = tasks.sync_github_members_task
    message = actor.message_with_options(args=arguments).copy(queue_name=queue)
    return actor.broker.enqueue(message)


def put_dead(count: int = 1, *, payload: bytes | None = None) -> list[str]:
    """Lay letters among the dead of the scheduled queue; return their message ids."""
    keys, ids = QueueKeys(QUEUE_SCHEDULED), []
    for number in range(count):
        message = queued(number)
        key = message.options["redis_message_id"]
        client = broker_client()
        client.lrem(keys.ready, 0, key)
        held = client.hget(keys.ready_payloads, key)
        client.hdel(keys.ready_payloads, key)
        client.hset(keys.dead_payloads, key, payload or held or b"")
        client.zadd(keys.dead, {key: time.time() * 1000})
        ids.append(message.message_id if payload is None else key)
    return ids


@pytest.mark.usefixtures("broker")
class TestMessages:
    def test_each_state_has_its_page(self, operator: Client) -> None:
        for state in ("", "ready", "delayed", "retrying", "running", "dead", "done", "none"):
            assert operator.get(reverse("ops_messages"), {"state": state}).status_code == 200

    def test_odd_questions_are_answered(self, operator: Client) -> None:
        for odd in ({"run": "9" * 30}, {"run": "x", "page": "-1"}, {"text": "\0", "page": "9" * 9}):
            for state in ("ready", "done"):
                response = operator.get(reverse("ops_messages"), {"state": state, **odd})
                assert response.status_code == 200

    def test_a_waiting_one_is_listed_and_shown(self, operator: Client) -> None:
        message = queued(samples.HOSTILE)
        page = words_of(operator.get(reverse("ops_messages"), {"queue": QUEUE_SCHEDULED}))
        address = reverse("ops_message", args=[message.message_id])
        assert address in page
        assert "<script>alert" not in page
        shown = words_of(operator.get(address))
        assert "&lt;script&gt;alert" in shown
        assert "<script>alert" not in shown

    def test_an_attempt_shows_its_traceback_as_text(self, operator: Client) -> None:
        MessageAttemptFactory(message_id=samples.MESSAGE_ID, traceback=samples.HOSTILE)
        shown = words_of(operator.get(reverse("ops_message", args=[samples.MESSAGE_ID])))
        assert "&lt;script&gt;alert" in shown
        assert "<script>alert" not in shown

    def test_what_cannot_be_decoded_says_so_and_can_be_deleted(self, operator: Client) -> None:
        [key] = put_dead(payload=b"\x80<b>nonsense")
        page = words_of(operator.get(reverse("ops_messages"), {"state": DEAD}))
        assert "Can't be decoded" in page
        assert "<b>nonsense" not in page
        assert "Can't be decoded" in words_of(operator.get(reverse("ops_message", args=[key])))
        wish = {"act": "delete", "state": DEAD, "message": f"dead:scheduled:{key}"}
        operator.post(reverse("ops_messages_act"), {**wish, "confirmed": "1"})
        assert messages.find(MessageQuery(state=DEAD)).total_count == 0

    def test_an_unknown_one_is_not_there(self, operator: Client) -> None:
        assert operator.get(reverse("ops_message", args=["nothing"])).status_code == 404


@pytest.mark.usefixtures("broker")
class TestMessageActs:
    def act(self, operator: Client, **fields: Any) -> HttpResponse:
        response = operator.post(reverse("ops_messages_act"), fields)
        assert isinstance(response, HttpResponse)
        return response

    def specs(self, state: str) -> list[str]:
        return [message.spec for message in messages.find(MessageQuery(state=state)).messages]

    def test_ticked_dead_letters_are_requeued_and_it_is_written_down(
        self, operator: Client, olga: User
    ) -> None:
        put_dead(3)
        self.act(operator, act="requeue", state=DEAD, message=self.specs(DEAD)[:2])
        assert len(self.specs(DEAD)) == 1
        assert len(self.specs(READY)) == 2
        act = OperatorAct.objects.get()
        assert (act.person, act.kind, act.count) == (olga, OperatorActKind.REQUEUE, 2)

    def test_deleting_asks_first(self, operator: Client) -> None:
        put_dead()
        wish = {"act": "delete", "state": DEAD, "message": self.specs(DEAD)}
        asked = self.act(operator, **wish)
        assert "Delete 1 message?" in words_of(asked)
        assert len(self.specs(DEAD)) == 1
        self.act(operator, **wish, confirmed="1")
        assert self.specs(DEAD) == []
        assert OperatorAct.objects.get().kind == OperatorActKind.DELETE

    def test_all_that_match_are_confirmed_by_their_number(self, operator: Client) -> None:
        put_dead(3)
        wish = {"act": "requeue", "state": DEAD, "queue": QUEUE_SCHEDULED, "everything": "1"}
        assert "Requeue 3 messages?" in words_of(self.act(operator, **wish))
        put_dead(1)
        again = words_of(self.act(operator, **wish, confirmed="3"))
        assert "There were 3 when you looked, now there are 4." in again
        assert len(self.specs(DEAD)) == 4
        self.act(operator, **wish, confirmed="4")
        assert len(self.specs(READY)) == 4
        act = OperatorAct.objects.get()
        assert (act.count, act.subject) == (4, "all dead, queue scheduled")

    def test_a_second_click_changes_nothing_and_says_so(self, operator: Client) -> None:
        put_dead()
        wish = {"act": "requeue", "state": DEAD, "message": self.specs(DEAD)}
        self.act(operator, **wish)
        response: Any = operator.post(reverse("ops_messages_act"), wish, follow=True)
        assert "had moved on by then" in words_of(response)
        assert len(self.specs(READY)) == 1
        assert OperatorAct.objects.count() == 1

    @pytest.mark.parametrize("act", ["requeue", "run_now", "explode", ""])
    def test_what_makes_no_sense_is_refused(self, operator: Client, act: str) -> None:
        queued()
        response = self.act(operator, act=act, state=READY, message=self.specs(READY))
        assert response.status_code == 400

    @pytest.mark.parametrize("spec", ["", "x", "ready:", "elsewhere:scheduled:x"])
    def test_a_spec_that_names_nothing_does_nothing(self, operator: Client, spec: str) -> None:
        response = self.act(operator, act="delete", state=READY, message=spec, confirmed="1")
        assert response.status_code == 302
        assert not OperatorAct.objects.exists()

    def test_redis_away_is_said(self, operator: Client, valkey: Valkey) -> None:
        put_dead()
        specs = self.specs(DEAD)
        valkey.stop()
        wish = {"act": "requeue", "state": DEAD, "message": specs}
        response: Any = operator.post(reverse("ops_messages_act"), wish, follow=True)
        assert "may or may not have been done" in words_of(response)
