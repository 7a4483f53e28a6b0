"""The operators' pages: who sees them, what they show of what, and what their buttons do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import pytest
from django.conf import settings as django_settings
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.urls import reverse
from dramatiq import Message

from integrations import tasks
from integrations.constants import QUEUE_SCHEDULED, OperatorActKind, RunTrigger
from integrations.models import OperatorAct, PausedQueue, User
from integrations.ops import messages
from integrations.ops.broker_keys import QueueKeys
from integrations.ops.message_shapes import DEAD, READY, MessageQuery
from integrations.ops.pieces import PIECES, context_of, pieces_of
from integrations.ops.views.access import COOKIE, unavailable, was_operator
from integrations.ops.views.dashboard import ops_without_database
from integrations.services import transitions
from integrations.services.runs import start_run
from integrations.telemetry.redis_clients import broker_client
from tests.factories import GitHubIntegrationFactory, MessageAttemptFactory, UserFactory
from tests.ops import samples

if TYPE_CHECKING:
    from django.http import HttpResponseBase

    from integrations.models import GitHubIntegration, SyncRun, Team
    from tests.processes import Valkey

pytestmark = pytest.mark.django_db

GET: Final = ("ops", "ops_runs", "ops_messages", "ops_acts", "ops_live")
POST: Final[tuple[tuple[str, list[Any]], ...]] = (
    ("ops_queue_pause", ["scheduled"]),
    ("ops_queue_resume", ["scheduled"]),
    ("ops_queue_requeue", ["scheduled"]),
    ("ops_process_forget", ["some-process"]),
    ("ops_run_retry", [1]),
    ("ops_run_cancel", [1]),
    ("ops_messages_act", []),
)
ADDRESSES: Final = (
    *(reverse(name) for name in GET),
    reverse("ops_message", args=[samples.MESSAGE_ID]),
    *(reverse(name, args=args) for name, args in POST),
)


@pytest.fixture
def olga(db: None) -> User:
    """An operator: staff, and in no team."""
    found: User = UserFactory(email="olga@example.com", is_staff=True)
    return found


@pytest.fixture
def operator(olga: User) -> Client:
    client = Client()
    client.force_login(olga)
    return client


@pytest.fixture
def failed_run(acme: Team) -> SyncRun:
    integration: GitHubIntegration = GitHubIntegrationFactory(team=acme)
    run = start_run(integration, trigger=RunTrigger.MANUAL).run
    transitions.fail(run, "github_unavailable")
    return run


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


def words_of(response: HttpResponseBase) -> str:
    assert isinstance(response, HttpResponse)
    return response.content.decode()


class TestAccess:
    @pytest.mark.parametrize("method", ["get", "post", "put", "delete", "options"])
    @pytest.mark.parametrize("address", ADDRESSES)
    def test_nobody_else_learns_that_there_is_something(
        self, address: str, method: str, alice: User
    ) -> None:
        """Not even by a token that is refused."""
        for user in (None, alice):
            client = Client(enforce_csrf_checks=True)
            if user is not None:
                client.force_login(user)
            assert getattr(client, method)(address).status_code == 404

    def test_staff_who_were_switched_off_see_nothing(self, olga: User, operator: Client) -> None:
        olga.is_active = False
        olga.save(update_fields=["is_active"])
        assert operator.get(reverse("ops")).status_code == 404

    @pytest.mark.parametrize(("name", "args"), POST)
    def test_an_act_needs_post_and_a_token(self, olga: User, name: str, args: list[Any]) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(olga)
        address = reverse(name, args=args)
        # `messages/act/` is no message.
        assert client.get(address).status_code == 405
        assert client.post(address).status_code == 403
        assert not OperatorAct.objects.exists()

    @pytest.mark.parametrize("name", GET[:-1])
    def test_pages_are_english_and_kept_by_nobody(self, operator: Client, name: str) -> None:
        response = operator.get(reverse(name), headers={"Accept-Language": "de"})
        assert response.status_code == 200
        assert '<html lang="en"' in words_of(response)
        assert response.headers["Content-Language"] == "en"
        assert "no-store" in response.headers["Cache-Control"]

    def test_the_menu_leads_there_for_staff_only(self, olga: User, alice: User) -> None:
        for user, is_shown in ((olga, True), (alice, False)):
            client = Client()
            client.force_login(user)
            page = words_of(client.get(reverse("account_email")))
            assert (f'href="{reverse("ops")}"' in page) is is_shown

    @pytest.mark.parametrize(("is_staff", "link_count"), [(True, 2), (False, 0)])
    def test_a_sync_under_way_leads_there_beside_the_menu(
        self, acme: Team, alice: User, is_staff: bool, link_count: int
    ) -> None:
        integration = GitHubIntegrationFactory(team=acme)
        start_run(integration, trigger=RunTrigger.MANUAL)
        User.objects.filter(pk=alice.pk).update(is_staff=is_staff)
        client = Client()
        client.force_login(alice)
        page = words_of(client.get(reverse("github_members", args=["acme"])))
        assert page.count(f'href="{reverse("ops")}"') == link_count


class TestDashboard:
    def test_it_has_every_piece_in_its_place(self, operator: Client) -> None:
        page = words_of(operator.get(reverse("ops")))
        assert [name for name in PIECES if page.count(f'id="{name}"') != 1] == []
        assert "No worker is alive." in page

    def test_asked_for_pieces_it_gives_nothing_else(self, operator: Client) -> None:
        pieces = words_of(operator.get(reverse("ops"), {"fragment": "1"}))
        assert pieces.count("data-fragment") == len(PIECES)
        assert "<html" not in pieces

    @pytest.mark.parametrize(
        "sample",
        [
            samples.full,
            samples.calm,
            samples.empty,
            samples.without_redis,
            samples.without_database,
        ],
    )
    def test_every_piece_holds_whatever_is_known(self, sample: Any) -> None:
        for name, html in pieces_of(sample()).items():
            assert html.count(f'id="{name}"') == 1
            assert "<script" not in html
            assert "csrf" not in html
            assert "style=" not in html

    def test_well_is_said_in_words(self) -> None:
        assert "All well" in pieces_of(samples.calm())["verdict"]
        assert "10 problems" in pieces_of(samples.full())["verdict"]

    def test_held_streams_stand_beside_the_others_where_there_is_a_pushpin(self) -> None:
        held = "Streams that Pushpin holds</dt><dd>8,204<"
        assert held in pieces_of(samples.full())["streams"]
        assert "Pushpin" not in pieces_of(samples.calm())["streams"]

    def test_what_cannot_be_read_is_said_in_plain_words(self) -> None:
        pieces = pieces_of(samples.without_redis())
        assert "Runs are, since they are rows" in pieces["queues"]
        assert "Acme Rockets" in pieces["runs"]

    def test_without_the_database_there_is_nothing_to_press(self) -> None:
        assert "formaction" in "".join(pieces_of(samples.full()).values())
        assert "formaction" not in "".join(pieces_of(samples.without_database()).values())

    def test_it_stands_while_redis_is_away(self, operator: Client, valkey: Valkey) -> None:
        valkey.stop()
        page = words_of(operator.get(reverse("ops")))
        assert "so this can&#x27;t be shown" in page or "so this can't be shown" in page
        assert operator.get(reverse("ops_messages")).status_code == 200
        message = reverse("ops_message", args=[samples.MESSAGE_ID])
        assert operator.get(message).status_code == 200

    def test_a_visit_leaves_the_cookie_for_a_bad_hour(self, operator: Client) -> None:
        cookie = operator.get(reverse("ops")).cookies[COOKIE]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Strict"
        assert cookie["path"] == "/ops/"
        assert cookie["max-age"] == 3600


class TestWithoutDatabase:
    """What is answered once it is known to be away; that it is comes from ops/reachability.py."""

    def ask(self, query: str = "", **cookies: str) -> HttpResponse:
        request = RequestFactory().get(f"/ops/{query}")
        request.COOKIES.update(cookies)
        return ops_without_database(request)

    def cookies_of(self, operator: Client) -> dict[str, str]:
        operator.get(reverse("ops"))
        return {name: morsel.value for name, morsel in operator.cookies.items()}

    def test_an_operator_of_this_hour_sees_what_redis_tells_and_cannot_act(
        self, operator: Client
    ) -> None:
        cookies = self.cookies_of(operator)
        response = self.ask(**cookies)
        page = words_of(response)
        assert response.status_code == 200
        assert "Rollcall can't reach its database." in page
        assert "<form" not in page
        assert words_of(self.ask("?fragment=1", **cookies)).count("data-fragment") == len(PIECES)

    def test_nobody_else_sees_anything(self, operator: Client) -> None:
        cookies = self.cookies_of(operator)
        another = {**cookies, django_settings.SESSION_COOKIE_NAME: "another"}
        forged = {**cookies, COOKIE: cookies[COOKIE][:-1] + "x"}
        signed_out = {COOKIE: cookies[COOKIE]}
        for given in ({}, another, forged, signed_out):
            response = self.ask(**given)
            assert response.status_code == 503
            assert "Rollcall can't reach its database" in words_of(response)
            assert response.headers["Retry-After"] == "5"

    def test_nobody_is_asked_who_they_are(
        self, operator: Client, django_assert_num_queries: Any
    ) -> None:
        cookies = self.cookies_of(operator)
        with django_assert_num_queries(0):
            unavailable(RequestFactory().get("/ops/"))
            render_to_string("ops/read_only.html", context_of(samples.without_database()))
            assert was_operator_of(cookies)


def was_operator_of(cookies: dict[str, str]) -> bool:
    request = RequestFactory().get("/ops/")
    request.COOKIES.update(cookies)
    return was_operator(request)


class TestQueues:
    def test_pause_and_resume_are_done_and_written_down(self, operator: Client, olga: User) -> None:
        operator.post(reverse("ops_queue_pause", args=["scheduled"]))
        assert PausedQueue.objects.get().paused_by == olga
        response = operator.post(reverse("ops_queue_resume", args=["scheduled"]), follow=True)
        assert "The queue scheduled goes on." in words_of(response)
        assert not PausedQueue.objects.exists()
        kinds = OperatorAct.objects.order_by("pk").values_list("kind", flat=True)
        assert list(kinds) == [OperatorActKind.PAUSE, OperatorActKind.RESUME]

    def test_there_is_no_other_queue(self, operator: Client) -> None:
        for name in ("ops_queue_pause", "ops_queue_resume"):
            assert operator.post(reverse(name, args=["other"])).status_code == 404

    def test_to_forget_what_is_not_there_is_no_act(self, operator: Client) -> None:
        response = operator.post(reverse("ops_process_forget", args=["x"]))
        assert response.status_code == 302
        assert not OperatorAct.objects.exists()


class TestRuns:
    def test_they_are_found_by_state_and_cause(self, operator: Client, failed_run: SyncRun) -> None:
        address = reverse("ops_runs")
        assert "No runs" in words_of(operator.get(address))
        for chosen in ({"state": "failed"}, {"cause": "github_unavailable"}):
            assert f'id="run-{failed_run.pk}"' in words_of(operator.get(address, chosen))

    def test_retry_and_cancel_are_done_and_written_down(
        self, operator: Client, failed_run: SyncRun, django_capture_on_commit_callbacks: Any
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            operator.post(reverse("ops_run_retry", args=[failed_run.pk]))
        started = failed_run.integration.runs.latest("pk")
        assert started.is_active
        back = f"{reverse('ops_runs')}?state=running"
        response = operator.post(reverse("ops_run_cancel", args=[started.pk]), {"back": back})
        assert response.headers["Location"] == back
        started.refresh_from_db()
        assert not started.is_active
        kinds = OperatorAct.objects.order_by("pk").values_list("kind", flat=True)
        assert list(kinds) == [OperatorActKind.RETRY_RUN, OperatorActKind.CANCEL_RUN]

    @pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example/", "/t/acme/"])
    def test_an_act_leads_back_to_operations_only(
        self, operator: Client, failed_run: SyncRun, back: str
    ) -> None:
        response = operator.post(reverse("ops_run_cancel", args=[failed_run.pk]), {"back": back})
        assert response.headers["Location"] == reverse("ops")

    def test_a_run_that_is_none_is_not_there(self, operator: Client) -> None:
        for name in ("ops_run_retry", "ops_run_cancel"):
            assert operator.post(reverse(name, args=[99])).status_code == 404


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


class TestActs:
    def test_they_are_listed_with_who_and_what(self, operator: Client) -> None:
        OperatorAct.objects.create(
            by="command line", kind=OperatorActKind.DRAIN, subject=samples.HOSTILE, count=1_204
        )
        page = words_of(operator.get(reverse("ops_acts")))
        assert "command line" in page
        assert "1,204" in page
        assert "<script>alert" not in page
