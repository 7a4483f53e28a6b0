"""The sandbox's GitHub App: signing in, installations, tokens, and the deliveries it sends."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.sandbox_control import SandboxControl, SandboxOrganization


@pytest.fixture
def club(sandbox: SandboxControl) -> SandboxOrganization:
    return sandbox.organization(size=5)


def signed_in(sandbox: SandboxControl, **claims: Any) -> dict[str, str]:
    """Return the headers of the App's own sign-in."""
    app, now = sandbox.app(), int(time.time())
    facts = {"iss": str(app["id"]), "iat": now - 60, "exp": now + 300} | claims
    token = jwt.encode(facts, app["pem"], algorithm="RS256")
    return {"Authorization": f"Bearer {token}", "User-Agent": "test"}


def ask(
    sandbox: SandboxControl, path: str, headers: dict[str, str], method: str = "GET"
) -> requests.Response:
    return requests.request(method, f"{sandbox.url}/api/v3{path}", headers=headers, timeout=30)


def token_of(sandbox: SandboxControl, installation_id: int) -> dict[str, str]:
    path = f"/app/installations/{installation_id}/access_tokens"
    made = ask(sandbox, path, signed_in(sandbox), "POST")
    assert made.status_code == 201
    return {"Authorization": f"Bearer {made.json()['token']}", "User-Agent": "test"}


class TestSigningIn:
    def test_the_app_is_known_by_its_token(self, sandbox: SandboxControl) -> None:
        answer = ask(sandbox, "/app", signed_in(sandbox))
        assert answer.json()["slug"] == "rollcall-sandbox"

    @pytest.mark.parametrize(
        ("claims", "status", "words"),
        [
            ({"iss": "1"}, 404, "Integration not found"),
            ({"iat": 2**31}, 401, "'Issued at' claim"),
            ({"exp": 1}, 401, "'Expiration time' claim ('exp') must be"),
            ({"exp": 2**31}, 401, "too far in the future"),
        ],
    )
    def test_a_wrong_claim_is_named(
        self, sandbox: SandboxControl, claims: dict[str, Any], status: int, words: str
    ) -> None:
        answer = ask(sandbox, "/app", signed_in(sandbox, **claims))
        assert answer.status_code == status
        assert words in answer.json()["message"]

    @pytest.mark.parametrize("token", ["", "x", "a.b.c", "ghp_sandbox_owner"])
    def test_what_is_no_such_token_is_refused(self, sandbox: SandboxControl, token: str) -> None:
        answer = ask(sandbox, "/app", {"Authorization": f"Bearer {token}", "User-Agent": "test"})
        assert answer.status_code == 401

    def test_another_key_signs_nothing(self, sandbox: SandboxControl) -> None:
        token = jwt.encode({"iss": "4242"}, "another secret of enough letters to be one", "HS256")
        answer = ask(sandbox, "/app", {"Authorization": f"Bearer {token}", "User-Agent": "test"})
        assert answer.status_code == 401


class TestInstallations:
    def test_its_token_sees_everybody_of_its_organisation_alone(
        self, sandbox: SandboxControl, club: SandboxOrganization
    ) -> None:
        hidden = sandbox.organization(size=5, concealed=True)
        headers = token_of(sandbox, club.install())
        listed = ask(sandbox, f"/orgs/{club.login}/members?per_page=100", headers)
        assert {one["id"] for one in listed.json()} == set(club.members())
        assert ask(sandbox, f"/orgs/{hidden.login}/members", headers).json() == []
        assert "X-OAuth-Scopes" not in listed.headers

    def test_without_the_permission_it_sees_public_members_only(
        self, sandbox: SandboxControl
    ) -> None:
        hidden = sandbox.organization(size=5, concealed=True)
        headers = token_of(sandbox, hidden.install(permissions={"metadata": "read"}))
        assert ask(sandbox, f"/orgs/{hidden.login}/members", headers).json() == []
        asked = '{organization(login: "LOGIN") {membersWithRole(first: 1) {totalCount}}}'
        question = {"query": asked.replace("LOGIN", hidden.login)}
        answer = requests.post(
            f"{sandbox.url}/api/graphql", json=question, headers=headers, timeout=30
        )
        assert answer.json()["errors"][0]["type"] == "FORBIDDEN"

    def test_a_suspended_one_is_told_so_and_a_deleted_one_is_gone(
        self, sandbox: SandboxControl, club: SandboxOrganization
    ) -> None:
        installation_id = club.install()
        headers = token_of(sandbox, installation_id)
        club.change_installation(installation_id, suspended=True)
        refused = ask(sandbox, f"/orgs/{club.login}", headers)
        assert (refused.status_code, "suspended" in refused.text) == (403, True)
        club.change_installation(installation_id, suspended=False)
        assert ask(sandbox, f"/orgs/{club.login}", headers).status_code == 200
        club.uninstall(installation_id)
        assert ask(sandbox, f"/orgs/{club.login}", headers).status_code == 401
        path = f"/app/installations/{installation_id}"
        assert ask(sandbox, path, signed_in(sandbox)).status_code == 404


class Received:
    """A server that takes deliveries."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        received = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                received.requests.append((dict(self.headers), self.rfile.read(length)))
                self.send_response(202)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def received(sandbox: SandboxControl) -> Iterator[Received]:
    server = Received()
    sandbox.change_app(webhook_url=server.url)
    yield server
    sandbox.change_app(webhook_url="")
    server.server.shutdown()
    server.server.server_close()


class TestDeliveries:
    def test_who_joins_is_told_signed(
        self, club: SandboxOrganization, received: Received, wait_until: Callable[..., None]
    ) -> None:
        club.install()
        added = club.add()
        wait_until(lambda: len(received.requests) == 2)
        by_event = {
            headers["X-GitHub-Event"]: (headers, body) for headers, body in received.requests
        }
        headers, body = by_event["organization"]
        payload = json.loads(body)
        assert payload["action"] == "member_added"
        assert payload["membership"]["user"]["id"] == added["id"]
        assert payload["organization"]["id"] == club.id
        digest = hmac.new(b"sandbox-webhook-secret", body, hashlib.sha256).hexdigest()
        assert headers["X-Hub-Signature-256"] == f"sha256={digest}"
        assert uuid.UUID(headers["X-GitHub-Delivery"]).version == 1
        assert "installation" in by_event

    def test_it_is_sent_again_under_the_same_id(
        self,
        sandbox: SandboxControl,
        club: SandboxOrganization,
        received: Received,
        wait_until: Callable[..., None],
    ) -> None:
        club.install()
        wait_until(lambda: len(received.requests) == 1)
        listed = ask(sandbox, "/app/hook/deliveries?per_page=5", signed_in(sandbox)).json()
        [mine] = [
            one for one in listed if one["guid"] == received.requests[0][0]["X-GitHub-Delivery"]
        ]
        path = f"/app/hook/deliveries/{mine['id']}/attempts"
        assert ask(sandbox, path, signed_in(sandbox), "POST").status_code == 202
        wait_until(lambda: len(received.requests) == 2)
        first, second = received.requests
        assert first[0]["X-GitHub-Delivery"] == second[0]["X-GitHub-Delivery"]
        assert first[1] == second[1]

    def test_deliveries_come_in_pages(
        self, sandbox: SandboxControl, club: SandboxOrganization
    ) -> None:
        sandbox.change_app(deliveries_paused=True)
        try:
            club.install()
            for _ in range(4):
                club.add()
        finally:
            sandbox.change_app(deliveries_paused=False)
        first = ask(sandbox, "/app/hook/deliveries?per_page=3", signed_in(sandbox))
        following = requests.get(first.links["next"]["url"], headers=signed_in(sandbox), timeout=30)
        ids = [one["id"] for one in [*first.json(), *following.json()]]
        assert ids == sorted(ids, reverse=True)
        assert len(set(ids)) == len(ids)
        assert {one["status_code"] for one in first.json()} == {0}

    def test_nothing_is_told_of_a_suspended_installation_or_an_unwanted_event(
        self, club: SandboxOrganization
    ) -> None:
        installation_id = club.install(events=["repository"])
        club.add()
        assert [one["event"] for one in club.deliveries()] == ["installation"]
        club.change_installation(installation_id, events=["organization"], suspended=True)
        club.add()
        assert {one["event"] for one in club.deliveries()} == {"installation"}
