"""docs/deploy/nginx.conf before a real web process: what people and strangers get through it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from integrations.constants import WEBHOOK_SIZE_MAX, RunTrigger
from integrations.services.runs import start_run
from tests.deploy.curl import CURL, Answer, Stream, ask
from tests.deploy.nginx import HOST, NGINX, READ_TIMEOUT_S, Nginx
from tests.deploy.site import SITE, signed_in, start_web
from tests.processes import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from integrations.models import GitHubIntegration, Team, User
    from tests.environment import Surroundings

# Debian's nginx and curl: CI has both, and there a skip is a failure.
pytestmark = [
    pytest.mark.processes,
    pytest.mark.nginx,
    # The web process sees what is committed.
    pytest.mark.django_db(transaction=True),
]
# As settings.py names it where HTTPS is on.
CSRF_COOKIE = "__Host-csrftoken"


@pytest.fixture(scope="module")
def nginx(
    django_db_setup: None, surroundings: Surroundings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nginx]:
    """One for all tests, before a web process with production's settings that concern a proxy."""
    if NGINX is None or CURL is None:
        pytest.skip("nginx or curl is not installed")
    directory = tmp_path_factory.mktemp("nginx")
    with ExitStack() as cleanup:
        web = start_web(cleanup, directory, surroundings.valkey)
        # The second process is one that is being restarted: nobody listens at its port.
        running = Nginx(directory / "nginx", web_ports=(web.port, free_port()))
        cleanup.callback(running.stop)
        running.start()
        yield running


def test_pages_come_by_http_2_and_only_to_our_name(nginx: Nginx) -> None:
    page = ask(nginx, f"{SITE}/accounts/login/", "--compressed")
    assert (page.status, page.version) == (200, "2")
    assert "</html>" in page.body
    assert page.headers["content-encoding"] == "gzip"
    assert page.headers["strict-transport-security"].startswith("max-age=31536000")
    assert "server" not in page.headers or "/" not in page.headers["server"]
    # One of two processes is away, and nobody hears of it.
    statuses = [ask(nginx, f"{SITE}/healthz").status for _ in range(4)]
    assert statuses == [200] * 4

    plain = ask(nginx, f"http://{HOST}/t/acme/github/members/?q=a")
    assert plain.status == 301
    assert plain.headers["location"] == f"{SITE}/t/acme/github/members/?q=a"

    assert ask(nginx, "https://other.example.com/", "--insecure").status == 0
    assert ask(nginx, "http://other.example.com/").status == 0
    assert ask(nginx, f"{SITE}/", "--header", "Host: other.example.com").status == 0


def test_cookies_are_secure_and_claims_of_a_client_end_here(nginx: Nginx, alice: User) -> None:
    page = ask(nginx, f"{SITE}/accounts/login/")
    cookie = page.headers["set-cookie"]
    assert cookie.startswith(CSRF_COOKIE)
    assert "Secure" in cookie
    # Were it believed, Django would redirect to the scheme that is spoken already.
    forged = ask(
        nginx, f"{SITE}/accounts/login/",
        "--header", "X-Forwarded-Proto: http", "--header", "X-Forwarded-Host: evil.example.com",
        "--header", "Forwarded: for=192.0.2.9;proto=http;host=evil.example.com",
    )  # fmt: skip
    assert forged.status == 200
    assert "evil.example.com" not in forged.body

    # Ten failures are allowed an address, whatever a client says of its own.
    answers = [fail_to_sign_in(nginx, number) for number in range(11)]
    assert [is_refused_for_a_while(answer) for answer in answers] == [False] * 10 + [True]
    elsewhere = fail_to_sign_in(nginx, 11, "--interface", "127.0.0.2")
    assert not is_refused_for_a_while(elsewhere)
    assert elsewhere.status == 200


def fail_to_sign_in(nginx: Nginx, number: int, *options: str) -> Answer:
    token = "t" * 32
    return ask(
        nginx, f"{SITE}/accounts/login/", "--header", f"X-Forwarded-For: 192.0.2.{number}",
        "--header", f"Referer: {SITE}/accounts/login/",
        "--header", f"X-CSRFToken: {token}", "--cookie", f"{CSRF_COOKIE}={token}",
        *options, data=f"login=nobody-{number}@example.com&password=wrong-{number}",
    )  # fmt: skip


def is_refused_for_a_while(answer: Answer) -> bool:
    return "Too many failed login attempts" in answer.body


def test_bodies_have_the_sizes_that_we_take(nginx: Nginx) -> None:
    form = ask(nginx, f"{SITE}/accounts/login/", data="a" * (2560 * 1024 + 1))
    assert (form.status, "nginx" in form.body) == (413, True)
    as_json = ("--header", "Content-Type: application/json")
    delivery = f"{SITE}/webhooks/github/"
    # Up to GitHub's own limit it reaches the product, which asks for a signature.
    assert ask(nginx, delivery, *as_json, data="a" * (3 * 2**20)).status == 403
    larger = ask(nginx, delivery, *as_json, data="a" * (WEBHOOK_SIZE_MAX + 1))
    assert larger.status == 413
    assert "Larger than any delivery" in larger.body


def test_links_that_let_in_are_not_written_down(nginx: Nginx) -> None:
    paths = (
        "/invitations/planted7/", "/accounts/password/reset/key/2-planted7/",
        "/accounts/confirm-email/planted7/", "/invitations//planted7/", "/%69nvitations/planted7/",
        "/github/callback/?code=planted7&state=planted7", "/t/a/github/members/?q=planted7",
    )  # fmt: skip
    for path in paths:
        ask(nginx, f"{SITE}{path}", "--header", "Referer: https://planted7.example/")
        ask(nginx, f"http://{HOST}{path}")
    ask(nginx, f"{SITE}/nowhere-else/")
    wait_until(lambda: "/nowhere-else/" in nginx.noted)
    assert "GET /invitations/***" in nginx.noted
    assert "GET /accounts/password/reset/key/***" in nginx.noted
    assert "GET /github/callback/" in nginx.noted
    assert "planted7" not in nginx.noted


def test_files_with_a_hash_come_from_the_disk(nginx: Nginx) -> None:
    (nginx.static_root / "css").mkdir()
    (nginx.static_root / "css" / "app.0123456789ab.css").write_text("a{}")
    found = ask(nginx, f"{SITE}/static/css/app.0123456789ab.css")
    assert (found.status, found.body) == (200, "a{}")
    assert found.headers["cache-control"].endswith("immutable")
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["content-type"] == "text/css"
    assert ask(nginx, f"{SITE}/static/../nginx.conf").status == 404
    assert ask(nginx, f"{SITE}/static/css/%2e%2e/%2e%2e/key.0123456789ab.pem").status == 404


def test_the_stream_comes_at_once_and_stays(
    nginx: Nginx, alice: User, acme: Team, integration: GitHubIntegration,
    wait_until: Callable[..., None],
) -> None:  # fmt: skip
    stranger = ask(nginx, f"{SITE}/t/acme/live/")
    assert stranger.status == 401
    stream = Stream(nginx, f"{SITE}/t/{acme.slug}/live/", *signed_in(alice), "--compressed")
    try:
        # nginx keeps back up to 4 KiB of an answer that it buffers, for as long as it is open.
        wait_until(lambda: "event: stream-open" in stream.text, timeout_s=10)
        head = stream.text.partition("\n\n")[0].lower()
        assert head.startswith("http/2 200")
        assert "content-type: text/event-stream" in head
        assert "content-encoding" not in head
        start_run(integration, trigger=RunTrigger.MANUAL)
        wait_until(lambda: "event: member-sync" in stream.text, timeout_s=10)
        wait_until(
            lambda: stream.open_for_s > READ_TIMEOUT_S + 2 or not stream.is_open,
            timeout_s=2 * READ_TIMEOUT_S,
        )
        assert stream.is_open
        assert stream.text.count(": keep-alive") >= 1
    finally:
        stream.close()
