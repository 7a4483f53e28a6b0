"""OAuth's refusals, what an app can do with its tokens, and the stand-in GitHub's own controls."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.processes import Process, SandboxProcess, wait_until
from tests.sandbox.test_sandbox import AGENT, graphql, rest
from tests.sandbox_control import SandboxControl, SandboxOrganization

BACK = "http://127.0.0.1/back"
APP = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}


def authorize(sandbox: SandboxControl, **changes: str) -> requests.Response:
    asked = {"client_id": APP["client_id"], "redirect_uri": BACK, "state": "s", "scope": "read:org"}
    url = f"{sandbox.url}/login/oauth/authorize"
    return requests.get(url, params=asked | changes, allow_redirects=False, timeout=30)


def decide(sandbox: SandboxControl, *scopes: str, **changes: str) -> str:
    """Press Authorize with these boxes ticked, and return the code."""
    form = {"client_id": APP["client_id"], "redirect_uri": BACK, "state": "s"} | changes
    answer = requests.post(
        f"{sandbox.url}/login/oauth/authorize",
        data={**form, "action": "authorize", "scope": scopes},
        allow_redirects=False,
        timeout=30,
    )
    assert answer.status_code == 302
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert query["state"] == ["s"]
    return query["code"][0]


def exchange(sandbox: SandboxControl, **facts: str) -> dict[str, Any]:
    answer = requests.post(
        f"{sandbox.url}/login/oauth/access_token",
        data={**APP, **facts},
        headers={"Accept": "application/json"},
        timeout=30,
    )
    assert answer.status_code == 200
    return dict(answer.json())


def application(sandbox: SandboxControl, method: str, what: str, token: str) -> requests.Response:
    return requests.request(
        method,
        f"{sandbox.url}/api/v3/applications/{APP['client_id']}/{what}",
        json={"access_token": token},
        auth=(APP["client_id"], APP["client_secret"]),
        timeout=30,
    )


@contextmanager
def running(tmp_path: Path, *options: str) -> Iterator[SandboxControl]:
    """Run a sandbox of one's own with these options."""
    command = ("-m", "integrations.sandbox", "--port", "0", *options)
    process = Process(*command, name="own", log_dir=tmp_path, environment={})
    said_before = len(process.output)
    process.start()
    try:
        process.wait_ready(lambda: process.output[said_before:].endswith("\n"))
        yield SandboxControl(process.output.rpartition(SandboxProcess.READY)[2].split()[0])
    finally:
        process.stop()


class TestAuthorize:
    def test_the_page_names_people_and_scopes(self, sandbox: SandboxControl) -> None:
        page = authorize(sandbox, scope="read:org user:email made:up", login="demo-member").text
        assert 'value="demo-member" selected' in page
        assert 'value="user:email"' in page
        assert "made:up" not in page

    def test_what_comes_from_the_address_is_words_on_the_page(
        self, sandbox: SandboxControl
    ) -> None:
        page = authorize(sandbox, state='"><script>alert(1)</script>').text
        assert "<script>" not in page

    def test_an_unknown_app_is_404(self, sandbox: SandboxControl) -> None:
        assert authorize(sandbox, client_id="nobody").status_code == 404

    @pytest.mark.parametrize("uri", ["https://elsewhere.example/back", "http://127.0.0.1.evil/"])
    def test_it_sends_nobody_elsewhere(self, uri: str, sandbox: SandboxControl) -> None:
        answer = authorize(sandbox, redirect_uri=uri)
        assert answer.status_code == 400
        assert "Location" not in answer.headers

    def test_only_s256_is_taken(self, sandbox: SandboxControl) -> None:
        answer = authorize(sandbox, code_challenge="x", code_challenge_method="plain")
        back = parse_qs(urlsplit(answer.headers["Location"]).query)
        assert back["error"] == ["invalid_request"]


class TestExchange:
    def test_fewer_scopes_can_be_granted_than_were_asked_for(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        code = decide(sandbox, "read:org", login=organization.owner)
        granted = exchange(sandbox, code=code, redirect_uri=BACK)
        assert granted["scope"] == "read:org"
        headers = rest(organization, "/user", token=granted["access_token"]).headers
        assert headers["X-OAuth-Scopes"] == "read:org"

    def test_it_answers_in_a_form_unless_json_is_asked_for(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        code = decide(sandbox, "read:org", login=organization.owner)
        answer = requests.post(
            f"{sandbox.url}/login/oauth/access_token", data={**APP, "code": code}, timeout=30
        )
        assert parse_qs(answer.text)["token_type"] == ["bearer"]

    @pytest.mark.parametrize(
        ("facts", "error"),
        [
            ({"client_secret": "wrong"}, "incorrect_client_credentials"),
            ({"code": "unknown"}, "bad_verification_code"),
            ({"redirect_uri": "http://127.0.0.1/other"}, "redirect_uri_mismatch"),
        ],
    )
    def test_a_refusal_names_its_reason(
        self,
        facts: dict[str, str],
        error: str,
        sandbox: SandboxControl,
        organization: SandboxOrganization,
    ) -> None:
        code = decide(sandbox, "read:org", login=organization.owner)
        assert exchange(sandbox, **{"code": code, **facts})["error"] == error

    @pytest.mark.parametrize(("age_s", "is_good"), [(590, True), (610, False)])
    def test_a_code_is_good_for_ten_minutes(
        self, age_s: int, is_good: bool, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        facts = {"login": organization.owner, "redirect_uri": BACK, "age_seconds": age_s}
        code = sandbox.ask("POST", "codes", facts)["code"]
        assert ("access_token" in exchange(sandbox, code=code)) is is_good


class TestRefresh:
    def test_a_pair_is_replaced_once_and_the_old_one_ends(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        def is_good(token: str) -> bool:
            headers = {"Authorization": f"Bearer {token}"}
            answer = requests.get(f"{sandbox.url}/api/v3/user", headers=headers, timeout=30)
            return answer.status_code == 200

        pair = sandbox.pair(organization.owner)
        asked = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
        assert is_good(pair["token"])
        fresh = exchange(sandbox, **asked)
        assert fresh["refresh_token"] != pair["refresh_token"]
        assert fresh["expires_in"] == 8 * 3600
        assert is_good(fresh["access_token"])
        assert not is_good(pair["token"])
        assert exchange(sandbox, **asked)["error"] == "bad_refresh_token"
        assert not is_good(sandbox.pair(organization.owner, expires_in_s=0)["token"])


class TestApplications:
    def token(self, sandbox: SandboxControl, organization: SandboxOrganization) -> str:
        code = decide(sandbox, "read:org", login=organization.owner)
        return str(exchange(sandbox, code=code)["access_token"])

    def test_a_token_is_checked_and_deleted(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        token = self.token(sandbox, organization)
        checked = application(sandbox, "POST", "token", token).json()
        assert checked["user"]["login"] == organization.owner
        assert application(sandbox, "DELETE", "token", token).status_code == 204
        assert application(sandbox, "POST", "token", token).status_code == 404
        assert rest(organization, "/user", token=token).status_code == 401

    def test_a_grant_takes_every_token_along_but_not_the_person_s_own(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        tokens = [self.token(sandbox, organization) for _ in range(2)]
        assert application(sandbox, "DELETE", "grant", tokens[0]).status_code == 204
        assert rest(organization, "/user", token=tokens[1]).status_code == 401
        assert rest(organization, "/user").status_code == 200

    def test_the_eleventh_token_of_a_grant_ends_the_first(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        tokens = [self.token(sandbox, organization) for _ in range(11)]
        answers = [rest(organization, "/user", token=token).status_code for token in tokens]
        assert answers == [401] + [200] * 10

    def test_it_needs_the_app_s_secret(self, sandbox: SandboxControl) -> None:
        wrong = base64.b64encode(b"sandbox-client:wrong").decode()
        answer = requests.delete(
            f"{sandbox.url}/api/v3/applications/sandbox-client/token",
            json={"access_token": "gho_x"},
            headers={**AGENT, "Authorization": f"Basic {wrong}"},
            timeout=30,
        )
        assert answer.status_code == 401


class TestControl:
    def test_a_member_joins_changes_and_leaves(self, organization: SandboxOrganization) -> None:
        added = organization.add(name="<b>Nora</b>", email="nora@example.com")
        changed = organization.change(
            added["login"], login=f"Renamed-{organization.login}", role="admin", two_factor=False
        )
        assert changed["id"] == added["id"]
        assert organization.members()[added["id"]] == changed
        organization.remove(changed["login"].lower())
        assert added["id"] not in organization.members()

    def test_a_freed_login_can_be_somebody_else_s(self, organization: SandboxOrganization) -> None:
        before = organization.somebody()
        organization.change(before["login"], login=f"moved-{organization.login}")
        taken = organization.add(login=before["login"])
        assert taken["id"] != before["id"]
        assert before["id"] in organization.members()

    def test_an_organization_is_renamed_and_replaced(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        login = f"new-{organization.login}"
        sandbox.ask("PATCH", f"organizations/{organization.login}", {"login": login})
        assert rest(organization, f"/orgs/{organization.login}").status_code == 404
        assert rest(organization, f"/orgs/{login}").json()["id"] == organization.id
        assert rest(organization, f"/organizations/{organization.id}").json()["login"] == login

    @pytest.mark.parametrize(
        ("facts", "status"),
        [
            ({"login": "ACME", "size": 3}, 409),
            ({"size": 3}, 422),
            ({"login": "made-of-nonsense"}, 422),
            ({"login": "made-of-nonsense", "size": "many"}, 422),
            ({"login": "made-of-nonsense", "size": 0}, 422),
            ({"login": "made-of-nonsense", "size": 2, "id": 2**31}, 422),
        ],
    )
    def test_nonsense_makes_no_organization(
        self, facts: dict[str, Any], status: int, sandbox: SandboxControl
    ) -> None:
        with pytest.raises(AssertionError, match=str(status)):
            sandbox.ask("POST", "organizations", facts)
        logins = [one["login"] for one in sandbox.ask("GET", "organizations")]
        assert "made-of-nonsense" not in logins

    def test_latency_belongs_to_one_organization(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        organization.slow_down(150)
        assert graphql(organization).elapsed.total_seconds() >= 0.15
        assert {call["kind"] for call in organization.requests()} == {"graphql"}

    def test_the_log_counts_and_forgets(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        graphql(organization, first=10)
        rest(organization, f"/orgs/{organization.login}")
        path = f"requests?organization={organization.login}"
        report = sandbox.ask("GET", path)
        assert report["counts"] == {"graphql": 1, "rest": 1}
        assert report["statuses"] == {"200": 2}
        assert report["requests"][0]["page_size"] == 10
        sandbox.ask("DELETE", path)
        assert sandbox.ask("GET", path)["count"] == 0

    def test_the_page_for_people_shows_names_as_words(self, sandbox: SandboxControl) -> None:
        sandbox.organization(size=1).add(name="<b>Bold</b>")
        page = requests.get(f"{sandbox.url}/_sandbox/", timeout=30)
        assert page.status_code == 200
        assert "&lt;b&gt;Bold&lt;/b&gt;" in page.text
        assert "<b>Bold</b>" not in page.text

    def test_the_page_for_people_has_buttons_that_work(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        page = f"{sandbox.url}/_sandbox/page"
        named = {"organization": organization.login}
        requests.post(f"{page}/join", data=named, timeout=30)
        assert len(organization.members()) == 241
        requests.post(f"{page}/leave", data=named, timeout=30)
        assert len(organization.members()) == 240
        requests.post(f"{page}/faults", data={**named, "fault": "not_found"}, timeout=30)
        [fault] = sandbox.ask("GET", f"faults?organization={organization.login}")
        requests.post(f"{page}/faults/remove", data={"id": fault["id"]}, timeout=30)
        assert sandbox.ask("GET", f"faults?organization={organization.login}") == []


class TestWorld:
    def test_the_demo_s_organizations_are_there(self, sandbox: SandboxControl) -> None:
        sizes = {one["login"]: one["size"] for one in sandbox.ask("GET", "organizations")}
        expected = {"tiny-team": 12, "acme": 240, "globex": 5_000, "initech": 50_000}
        assert expected.items() <= sizes.items()
        assert {"private-club", "no-access"} <= set(sizes)

    def test_people_have_every_kind_of_name(self, sandbox: SandboxControl) -> None:
        # One of the world's own, the same in every process: the seed of a fresh one is its login.
        members = sandbox.ask("GET", "organizations/globex/members")
        names = [member["name"] for member in members]
        assert None in names
        assert len(max(filter(None, names), key=len)) == 255
        assert any("\u0590" <= name[0] <= "\u06ff" for name in names if name)
        emails = [member["email"] for member in members if member["email"]]
        assert 0 < len(set(emails)) < len(emails) < len(members) / 2

    def test_everybody_can_be_looked_up_by_login(self, sandbox: SandboxControl) -> None:
        organization = sandbox.organization(size=50)
        for member in organization.members().values():
            found = rest(organization, f"/users/{member['login'].swapcase()}")
            assert found.json()["id"] == member["id"]


class TestProcess:
    def test_it_goes_in_order_when_asked(self, tmp_path: Path) -> None:
        process = SandboxProcess(log_dir=tmp_path)
        process.start()
        assert process.stop() == 0

    def test_every_process_makes_the_same_world(
        self, tmp_path: Path, sandbox: SandboxControl
    ) -> None:
        with running(tmp_path) as own:
            other = own.ask("GET", "organizations/private-club/members")
        assert other == sandbox.ask("GET", "organizations/private-club/members")

    def test_kept_tokens_of_people_who_are_gone_are_forgotten(self, tmp_path: Path) -> None:
        kept = ("--tokens-file", str(tmp_path / "tokens.json"))
        with running(tmp_path, *kept) as sandbox:
            sandbox.ask("POST", "people", {"login": "somebody-new"})
            texts = [sandbox.token("demo-owner"), sandbox.token("somebody-new")]
        with running(tmp_path, *kept) as sandbox:
            statuses = [self.status_of_user(sandbox, text) for text in texts]
            page = requests.get(f"{sandbox.url}/_sandbox/", timeout=30)
        assert statuses == [200, 401]
        assert page.status_code == 200

    def test_the_tiny_team_comes_and_goes(self, tmp_path: Path) -> None:
        with running(tmp_path, "--churn-seconds", "0.02") as sandbox:
            seen: set[str] = set()

            def has_stirred() -> bool:
                team = sandbox.ask("GET", "organizations/tiny-team/members")
                seen.add(f"{len(team)} members")
                seen.update(f"{one['id']} {one['login']} {one['role']}" for one in team)
                # Twelve people and a size at first; then another size, a new login, a new role.
                return len(seen) >= 16

            wait_until(has_stirred, what="somebody leaving, renamed and promoted")

    def test_a_wrong_callback_leads_to_the_registered_one(self, tmp_path: Path) -> None:
        with running(tmp_path, "--callback", "https://app.example/oauth") as sandbox:
            good = authorize(sandbox, redirect_uri="https://app.example/oauth/github")
            wrong = authorize(sandbox, redirect_uri="https://app.example/oauthother")
        assert good.status_code == 200
        assert wrong.headers["Location"].startswith("https://app.example/oauth?")
        assert "error=redirect_uri_mismatch" in wrong.headers["Location"]

    def test_slow_answers_do_not_wait_for_each_other(self, tmp_path: Path) -> None:
        with (
            running(tmp_path, "--latency-ms", "300") as sandbox,
            ThreadPoolExecutor(max_workers=10) as walkers,
        ):
            started_at = time.monotonic()
            answers = [walkers.submit(self.status_of_user, sandbox) for _ in range(10)]
            assert {answer.result() for answer in answers} == {200}
            # One after the other would take 3 s.
            assert 0.3 <= time.monotonic() - started_at < 2

    def status_of_user(self, sandbox: SandboxControl, token: str = "ghp_sandbox_owner") -> int:
        headers = {**AGENT, "Authorization": f"Bearer {token}"}
        return requests.get(f"{sandbox.url}/api/v3/user", headers=headers, timeout=30).status_code
