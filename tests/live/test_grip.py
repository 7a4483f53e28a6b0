"""What we say to Pushpin, and whom we believe, without one: the ASGI door, tokens, items."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import socket
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from django.conf import settings as django_settings
from django.contrib.sessions.models import Session
from django.test import Client

from integrations.constants import RunTrigger
from integrations.live import grip_publish, grip_register, grip_replay, grip_watch
from integrations.live.fragments import LiveEvent
from integrations.live.grip import LINK_PATH, is_signed, last_sent_ids
from integrations.live.grip_door import GripDoor
from integrations.live.grip_hold import Hold, channel_of_hold
from integrations.live.grip_publish import GAP_MAX, NO_NEWS
from integrations.models import Team
from integrations.services import transitions
from integrations.services.runs import start_run
from integrations.telemetry.redis_clients import telemetry_client
from project.grip import GripProxy
from tests.factories import GitHubIntegrationFactory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from integrations.models import GitHubIntegration, User

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "k" * 32


@pytest.fixture
def proxy(settings: Any) -> GripProxy:
    # Nobody listens there.
    found = GripProxy("http://127.0.0.1:1", "rollcall", KEY)
    settings.GRIP_PROXIES = [found]
    return found


@pytest.fixture
def integration(acme: Team) -> GitHubIntegration:
    found: GitHubIntegration = GitHubIntegrationFactory(team=acme)
    return found


def signature(*, key: str = KEY, issuer: str = "rollcall", ends_in_s: float = 60) -> str:
    return jwt.encode({"iss": issuer, "exp": int(time.time() + ends_in_s)}, key, "HS256")


class Asked:
    """One request through the door, and what came of it."""

    def __init__(
        self, path: str, *, query: str = "", last: Sequence[str] = (), **headers: str
    ) -> None:
        self.messages: list[dict[str, Any]] = []
        self.is_handed_on = False
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": query.encode(),
            "headers": [
                *(
                    (name.replace("_", "-").encode(), value.encode())
                    for name, value in {"host": "testserver", **headers}.items()
                ),
                *((b"grip-last", value.encode()) for value in last),
            ],
        }
        asyncio.run(self._ask(scope))

    async def _ask(self, scope: dict[str, Any]) -> None:
        async def application(scope: Any, receive: Any, send: Any) -> None:
            self.is_handed_on = True

        async def send(message: Any) -> None:
            self.messages.append(message)

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        await GripDoor(application, headers={"X-Of-Every-Answer": "yes"})(scope, receive, send)

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> str:
        return str(self.messages[1]["body"].decode())

    @property
    def last(self) -> list[str]:
        """What Pushpin says with the next link, if nothing was published meanwhile."""
        channels = self.headers["grip-channel"].split(", ")
        return [channel.replace("prev-id", "last-id") for channel in channels]


def go_on(before: Asked) -> Asked:
    """Ask for the next link, as Pushpin does."""
    link = before.headers["grip-link"].partition("<")[2].partition(">")[0]
    return Asked(link, last=before.last, grip_sig=signature())


def open_stream(user: User, team: Team, *, after_id: int | None = None, **headers: str) -> Asked:
    client = Client()
    client.force_login(user)
    cookie = f"{django_settings.SESSION_COOKIE_NAME}={client.session.session_key}"
    return Asked(
        f"/t/{team.slug}/live/",
        query="" if after_id is None else f"lastEventId=team-{team.pk}:{after_id}",
        **{"cookie": cookie, "grip_sig": signature(), **headers},
    )


class TestSignatures:
    def test_ours_is_believed_and_no_other(self, proxy: GripProxy) -> None:
        assert is_signed(signature())
        forged = [
            signature(key="x" * 32),
            signature(issuer="pushpin"),
            signature(ends_in_s=-60),
            jwt.encode({"iss": "rollcall"}, KEY, "HS256"),
            jwt.encode({"iss": "rollcall", "exp": int(time.time() + 60)}, "", "none"),
            "",
            "a.b.c",
        ]
        assert [is_signed(text) for text in forged] == [False] * len(forged)

    def test_without_a_pushpin_nobody_is_believed(self) -> None:
        assert not is_signed(signature())


class TestOpening:
    def test_it_asks_for_a_hold_from_the_id_that_the_body_brings_to(
        self, proxy: GripProxy, integration: GitHubIntegration, bob: User
    ) -> None:
        start_run(integration, trigger=RunTrigger.MANUAL)
        asked = open_stream(bob, integration.team, after_id=0)
        assert asked.body.startswith("event: stream-open\n")
        assert 'data-state="pending"' in asked.body
        headers = asked.headers
        assert headers["grip-hold"] == "stream"
        assert headers["grip-channel"].startswith(f"team-{integration.team_id}; prev-id=1, hold-")
        assert headers["grip-link"].partition("rel=next; timeout=")[2].isdecimal()
        assert headers["content-type"] == "text/event-stream"
        assert headers["x-of-every-answer"] == "yes"
        assert headers["content-length"] == str(len(asked.body.encode()))

    def test_who_has_all_is_sent_nothing_beside_the_opening(
        self, proxy: GripProxy, integration: GitHubIntegration, bob: User
    ) -> None:
        start_run(integration, trigger=RunTrigger.MANUAL)
        asked = open_stream(bob, integration.team, after_id=1)
        assert asked.body == "event: stream-open\ndata:\n\n"

    @pytest.mark.parametrize("bad", ["", "x" * 40])
    def test_what_no_pushpin_signed_is_handed_on(
        self, proxy: GripProxy, integration: GitHubIntegration, bob: User, bad: str
    ) -> None:
        assert open_stream(bob, integration.team, grip_sig=bad).is_handed_on

    def test_strangers_and_senseless_ids_are_handed_on_to_be_refused(
        self, proxy: GripProxy, integration: GitHubIntegration, bob: User, charlie: User
    ) -> None:
        team = integration.team
        assert open_stream(charlie, team).is_handed_on
        assert open_stream(bob, team, cookie="").is_handed_on
        assert open_stream(bob, team, last_event_id=f"team-{team.pk}:x").is_handed_on

    def test_more_than_pushpin_takes_is_sent_in_parts(
        self,
        proxy: GripProxy,
        integration: GitHubIntegration,
        bob: User,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        transitions.roster_changed(integration)
        start_run(integration, trigger=RunTrigger.MANUAL)
        whole = open_stream(bob, integration.team, after_id=0)
        monkeypatch.setattr(grip_replay, "BODY_MAX_BYTES", len(whole.body) - 1)
        part = open_stream(bob, integration.team, after_id=0)
        assert "event: roster" in part.body
        assert "event: member-sync" not in part.body
        assert "; prev-id=1," in part.headers["grip-channel"]
        assert part.headers["grip-link"].endswith("timeout=1")
        rest = go_on(part)
        assert part.body + rest.body == whole.body

    def test_one_event_that_is_too_large_becomes_a_reset(
        self,
        proxy: GripProxy,
        integration: GitHubIntegration,
        bob: User,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        start_run(integration, trigger=RunTrigger.MANUAL)
        monkeypatch.setattr(grip_replay, "BODY_MAX_BYTES", 100)
        asked = open_stream(bob, integration.team, after_id=0)
        assert "event: stream-reset" in asked.body
        assert "; prev-id=1," in asked.headers["grip-channel"]


class TestTheNextLink:
    def test_it_holds_on_with_what_moved(
        self, proxy: GripProxy, integration: GitHubIntegration, bob: User
    ) -> None:
        opened = open_stream(bob, integration.team)
        start_run(integration, trigger=RunTrigger.MANUAL)
        asked = go_on(opened)
        assert asked.body.count("event: ") == 1
        assert 'data-state="pending"' in asked.body
        assert "; prev-id=1," in asked.headers["grip-channel"]
        again = go_on(asked)
        assert (again.body, again.headers["grip-hold"]) == ("", "stream")

    def test_without_an_id_the_page_has_to_ask_for_everything(
        self, proxy: GripProxy, integration: GitHubIntegration, bob: User
    ) -> None:
        _, own = open_stream(bob, integration.team).last
        assert "event: stream-reset" in Asked(LINK_PATH, last=[own], grip_sig=signature()).body

    def test_all_have_the_same_link_and_each_person_a_channel(
        self, proxy: GripProxy, integration: GitHubIntegration, alice: User, bob: User
    ) -> None:
        """Pushpin asks for ten different links a second, and keeps news back meanwhile."""
        one, another = (open_stream(user, integration.team) for user in (alice, bob))
        links = {asked.headers["grip-link"].partition(";")[0] for asked in (one, another)}
        assert links == {f"<{LINK_PATH}>"}
        assert one.last[1] != another.last[1]

    @pytest.mark.parametrize("loss", ["team", "session", "password", "account"])
    def test_who_may_not_listen_any_more_is_not_held(
        self, proxy: GripProxy, integration: GitHubIntegration, bob: User, loss: str
    ) -> None:
        opened = open_stream(bob, integration.team)
        take_from(bob, loss)
        asked = go_on(opened)
        assert "grip-hold" not in asked.headers
        assert asked.messages[0]["status"] == 200
        assert ("forbidden" in asked.body) == (loss in {"team", "account"})

    def test_a_link_is_worth_nothing_without_a_signature_or_changed(
        self, proxy: GripProxy, integration: GitHubIntegration, bob: User
    ) -> None:
        team, own = open_stream(bob, integration.team).last
        assert Asked(LINK_PATH, last=[team, own]).is_handed_on
        assert Client().get(LINK_PATH).status_code == 404
        letter = "A" if own[40] != "A" else "B"
        for last in ([], [team], [team, own[:40] + letter + own[41:]]):
            asked = Asked(LINK_PATH, last=last, grip_sig=signature())
            assert (asked.messages[0]["status"], "grip-hold" in asked.headers) == (200, False)

    def test_it_tells_nobody_the_session(self) -> None:
        sealed = Hold(7, "acme", "team-1", "the-session-key", "digest").sealed()
        assert b"session" not in base64.urlsafe_b64decode(sealed + "===")
        assert Hold.opened(sealed).session_key == "the-session-key"
        assert re.fullmatch(r"hold-[-\w]+", channel_of_hold(sealed), re.ASCII)
        for bad in ("", "x", sealed[:-4], "ü"):
            with pytest.raises(ValueError, match="sealed"):
                Hold.opened(bad)

    def test_where_channels_are_is_read_and_nonsense_is_not(self) -> None:
        given = ["team-7; last-id=3", "team-77;last-id=9", "nonsense", "team-8; last-id=x"]
        assert last_sent_ids(given) == {"team-7": 3, "team-77": 9}

    def test_the_number_of_a_hint_is_one_and_thousands_of_digits_are_none(self) -> None:
        hint = grip_publish.hint_item("sealed")
        given = [f"{hint['channel']}; last-id={hint['id']}", f"team-7; last-id={'9' * 5_000}"]
        assert last_sent_ids(given) == {hint["channel"]: int(hint["id"])}


class TestPublishing:
    def fillings(self, integration: GitHubIntegration, revision: int, published: int) -> list[str]:
        event = LiveEvent(integration.team_id, revision, "roster", "")
        items = grip_publish._fillings(event, published_id=published)
        for item in items:
            assert item["formats"]["http-stream"]["content"] == NO_NEWS
            assert int(item["prev-id"]) == int(item["id"]) - 1
        return [item["id"] for item in items]

    def test_numbers_that_no_row_has_are_filled_and_those_on_their_way_are_not(
        self, integration: GitHubIntegration
    ) -> None:
        transitions.roster_changed(integration)
        start_run(integration, trigger=RunTrigger.MANUAL)
        # The roster stands at 1, the run at 2, and 3 and 4 are nobody's.
        assert self.fillings(integration, 5, 0) == ["3", "4"]
        assert self.fillings(integration, 5, 2) == ["3", "4"]
        assert self.fillings(integration, 5, 4) == []
        assert self.fillings(integration, GAP_MAX + 3, 2) == []

    def test_a_pushpin_that_is_away_costs_one_line_and_no_sync(
        self, proxy: GripProxy, integration: GitHubIntegration, caplog: pytest.LogCaptureFixture
    ) -> None:
        grip_publish._pushpin.cache_clear()
        with caplog.at_level(logging.WARNING, logger=grip_publish.__name__):
            begun = time.monotonic()
            run = start_run(integration, trigger=RunTrigger.MANUAL).run
            for _ in range(20):
                transitions.roster_changed(integration)
            assert time.monotonic() - begun < 2 * grip_publish.TIMEOUT_S
        assert run.is_active
        assert len([r for r in caplog.records if r.name == grip_publish.__name__]) == 1

    def test_one_that_hangs_is_not_waited_for_again_and_again(
        self, settings: Any, integration: GitHubIntegration
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}"
            settings.GRIP_PROXIES = [GripProxy(url, "rollcall", KEY)]
            begun = time.monotonic()
            for _ in range(20):
                transitions.roster_changed(integration)
            assert time.monotonic() - begun < 3 * grip_publish.TIMEOUT_S


class TestTheRegister:
    def test_a_hold_is_there_until_it_lapses(
        self, proxy: GripProxy, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., None]
    ) -> None:
        register = grip_register.HoldRegister()

        async def note() -> None:
            register.start()
            register.note("one")
            register.note("another")
            register.note("one")
            while register._pending:
                await asyncio.sleep(0.01)
            await register.stop()

        asyncio.run(asyncio.wait_for(note(), 10))
        client = telemetry_client()
        assert sorted(grip_register.read_holds(client)) == ["another", "one"]
        grip_register.forget_holds(client, ["another"])
        assert grip_register.read_holds(client) == ["one"]
        assert grip_register.count_holds() == 1
        monkeypatch.setattr(grip_register, "LAPSE_S", -1)
        assert grip_register.count_holds() == 0
        assert grip_register.read_holds(client) == []

    def test_without_a_pushpin_there_is_nothing_to_count(self) -> None:
        telemetry_client().zadd(grip_register.register_key(), {"left over": time.time()})
        assert grip_register.count_holds() is None

    def test_one_process_at_a_time_compares(
        self, proxy: GripProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        count = 0

        def compare() -> None:
            nonlocal count
            count += 1

        monkeypatch.setattr(grip_watch, "compare", compare)
        for _ in range(5):
            grip_watch.compare_in_turn()
        assert count == 1


def take_from(user: User, what: str) -> None:
    """Take from a person what their stream stands on."""
    if what == "team":
        user.memberships.all().delete()
    elif what == "session":
        Session.objects.all().delete()
    elif what == "password":
        user.set_password("another one")
        user.save()
    else:
        user.is_active = False
        user.save()
