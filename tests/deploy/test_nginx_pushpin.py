"""nginx as docs/pushpin.md has it, before a real Pushpin and a real web process."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from integrations.constants import RunTrigger
from integrations.live.grip_register import count_holds
from integrations.services import transitions
from integrations.services.runs import start_run
from project.grip import read_grip_proxies
from tests.deploy.curl import CURL, Stream
from tests.deploy.nginx import NGINX, Nginx
from tests.deploy.site import SITE, signed_in, start_web
from tests.processes import free_port
from tests.pushpin import IS_THERE, Pushpin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from integrations.models import GitHubIntegration, Team, User
    from tests.environment import Surroundings

pytestmark = [
    pytest.mark.processes,
    pytest.mark.nginx,
    pytest.mark.pushpin,
    pytest.mark.django_db(transaction=True),
    # In CI it runs and fails: a hole there would be seen by nobody.
    pytest.mark.skipif(
        not (IS_THERE and NGINX and CURL) and not os.environ.get("CI"),
        reason="pushpin, nginx or curl is not installed",
    ),
]


@pytest.fixture(scope="module")
def house(
    django_db_setup: None,
    django_db_blocker: Any,
    surroundings: Surroundings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Nginx, Pushpin]]:
    """nginx and a web process; the Pushpin between them is started by the tests."""
    directory = tmp_path_factory.mktemp("nginx-pushpin")
    pushpin = Pushpin()
    with ExitStack() as cleanup:
        cleanup.callback(pushpin.remove)
        cleanup.enter_context(django_db_blocker.unblock())
        web = start_web(cleanup, directory, surroundings.valkey, GRIP_URL=pushpin.grip_url)
        pushpin.start(web_ports=[web.port])
        pushpin.stop()
        nginx = Nginx(
            directory / "nginx", web_ports=(web.port, free_port()), pushpin_port=pushpin.port
        )
        cleanup.callback(nginx.stop)
        nginx.start()
        yield nginx, pushpin


@pytest.fixture
def pushpin(house: tuple[Nginx, Pushpin], settings: Any) -> Iterator[Pushpin]:
    """The Pushpin, not yet started; this process publishes to it."""
    _, found = house
    settings.GRIP_PROXIES = read_grip_proxies(found.grip_url)
    yield found
    found.stop()


@contextmanager
def watching(house: tuple[Nginx, Pushpin], team: Team, user: User) -> Iterator[Stream]:
    stream = Stream(house[0], f"{SITE}/t/{team.slug}/live/", *signed_in(user))
    try:
        yield stream
    finally:
        stream.close()


@contextmanager
def refusing(port: int, status: int) -> Iterator[list[str]]:
    """A server that answers every request with this status, and notes their addresses."""
    asked: list[str] = []

    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(status)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Refusal) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()


def test_pushpin_holds_the_stream_and_it_hears_what_moves(
    house: tuple[Nginx, Pushpin], pushpin: Pushpin, alice: User, acme: Team,
    integration: GitHubIntegration, wait_until: Callable[..., None],
) -> None:  # fmt: skip
    pushpin.start()
    holds_before = count_holds() or 0

    def is_held() -> bool:
        """A Pushpin that has just started refuses a stream, and the web process takes it."""
        with watching(house, acme, alice) as stream:
            wait_until(lambda: "event: stream-open" in stream.text)
            return (count_holds() or 0) > holds_before

    wait_until(is_held, what="a stream that Pushpin holds")
    with watching(house, acme, alice) as stream:
        wait_until(lambda: "event: stream-open" in stream.text)
        assert stream.text.lower().startswith("http/2 200")
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        wait_until(lambda: "event: member-sync" in stream.text)
        transitions.fail(run, "gave_up")
        wait_until(lambda: 'data-state="error"' in stream.text)


def test_while_pushpin_is_away_the_web_process_streams(
    house: tuple[Nginx, Pushpin], pushpin: Pushpin, alice: User, acme: Team,
    integration: GitHubIntegration, wait_until: Callable[..., None],
) -> None:  # fmt: skip
    assert not pushpin.is_running
    with watching(house, acme, alice) as stream:
        wait_until(lambda: "event: stream-open" in stream.text)
        start_run(integration, trigger=RunTrigger.MANUAL)
        wait_until(lambda: "event: member-sync" in stream.text)


@pytest.mark.parametrize("status", [500, 502])
def test_whom_pushpin_refuses_the_web_process_streams_to(
    house: tuple[Nginx, Pushpin], pushpin: Pushpin, status: int, alice: User, acme: Team,
    integration: GitHubIntegration, wait_until: Callable[..., None],
) -> None:  # fmt: skip
    with refusing(pushpin.port, status) as asked, watching(house, acme, alice) as stream:
        wait_until(lambda: "event: stream-open" in stream.text)
        assert asked == [f"/t/{acme.slug}/live/"]
        start_run(integration, trigger=RunTrigger.MANUAL)
        wait_until(lambda: "event: member-sync" in stream.text)
