"""The stand-in GitHub, held to what GitHub's documentation says."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

if TYPE_CHECKING:
    from tests.sandbox_control import SandboxControl, SandboxOrganization

QUERY = """
query($login: String!, $first: Int!, $after: String) {
  organization(login: $login) {
    databaseId
    membersWithRole(first: $first, after: $after) {
      totalCount
      pageInfo { hasNextPage endCursor }
      edges { role hasTwoFactorEnabled node { databaseId login name email } }
    }
  }
  rateLimit { cost remaining }
}
"""
AGENT = {"User-Agent": "tests"}


@pytest.fixture
def organization(sandbox: SandboxControl) -> SandboxOrganization:
    return sandbox.organization(size=230)


def rest(
    organization: SandboxOrganization, path: str, *, token: str | None = None, **headers: str
) -> requests.Response:
    url = path if path.startswith("http") else f"{organization.control.url}/api/v3{path}"
    sent = {**AGENT, "Authorization": f"Bearer {token or organization.token}", **headers}
    return requests.get(url, headers=sent, timeout=30)


def graphql(
    organization: SandboxOrganization,
    *,
    query: str = QUERY,
    token: str | None = None,
    **values: Any,
) -> requests.Response:
    return requests.post(
        f"{organization.control.url}/api/graphql",
        json={"query": query, "variables": {"login": organization.login, "first": 100} | values},
        headers={**AGENT, "Authorization": f"Bearer {token or organization.token}"},
        timeout=30,
    )


class TestREST:
    def test_link_paging_shows_each_member_once(self, organization: SandboxOrganization) -> None:
        url: str | None = f"/orgs/{organization.login}/members?per_page=100"
        seen, pages = [], 0
        while url:
            page = rest(organization, url)
            seen += [member["id"] for member in page.json()]
            url, pages = page.links.get("next", {}).get("url"), pages + 1
        assert pages == 3
        assert sorted(seen) == sorted(organization.members())

    def test_a_page_holds_thirty_unless_asked_and_a_hundred_at_the_most(
        self, organization: SandboxOrganization
    ) -> None:
        path = f"/orgs/{organization.login}/members"
        assert len(rest(organization, path).json()) == 30
        assert len(rest(organization, f"{path}?per_page=500").json()) == 100

    def test_every_answer_tells_the_limit_and_the_scopes(
        self, organization: SandboxOrganization
    ) -> None:
        headers = rest(organization, "/user").headers
        assert headers["X-RateLimit-Limit"] == "5000"
        assert int(headers["X-RateLimit-Remaining"]) < 5000
        assert headers["X-RateLimit-Resource"] == "core"
        assert "read:org" in headers["X-OAuth-Scopes"]
        assert headers["X-GitHub-Request-Id"]

    def test_a_stranger_sees_public_members_only(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        stranger = sandbox.organization(size=1)
        listed = rest(
            organization, f"/orgs/{organization.login}/members?per_page=100", token=stranger.token
        )
        assert listed.status_code == 200
        assert len(listed.json()) < 100

    def test_logins_match_in_any_case(self, organization: SandboxOrganization) -> None:
        answer = rest(organization, f"/orgs/{organization.login.upper()}")
        assert answer.json()["id"] == organization.id

    def test_a_bad_token_is_refused_in_github_s_words(
        self, organization: SandboxOrganization
    ) -> None:
        answer = rest(organization, "/user", token="ghp_nobody")
        assert answer.status_code == 401
        assert answer.json()["message"] == "Bad credentials"

    def test_an_unknown_version_is_refused(self, organization: SandboxOrganization) -> None:
        answer = rest(organization, "/user", **{"X-GitHub-Api-Version": "1999-01-01"})
        assert answer.status_code == 400

    def test_a_request_without_a_user_agent_is_refused(
        self, organization: SandboxOrganization
    ) -> None:
        answer = rest(organization, "/user", **{"User-Agent": ""})
        assert answer.status_code == 403


class TestGraphQL:
    def test_cursors_show_each_member_once(self, organization: SandboxOrganization) -> None:
        seen: list[int] = []
        after, has_next = None, True
        while has_next:
            found = graphql(organization, after=after).json()["data"]["organization"]
            members = found["membersWithRole"]
            assert members["totalCount"] == 230
            seen += [edge["node"]["databaseId"] for edge in members["edges"]]
            after = members["pageInfo"]["endCursor"]
            has_next = members["pageInfo"]["hasNextPage"]
        assert sorted(seen) == sorted(organization.members())

    def test_a_page_costs_one_point(self, organization: SandboxOrganization) -> None:
        assert graphql(organization).json()["data"]["rateLimit"]["cost"] == 1

    @pytest.mark.parametrize(
        ("query", "values"),
        [
            (QUERY, {"first": 101}),
            (QUERY.replace("totalCount", "totalCount suspendedAt"), {}),
            ("query {", {}),
        ],
    )
    def test_what_the_schema_does_not_allow_is_refused(
        self, query: str, values: dict[str, Any], organization: SandboxOrganization
    ) -> None:
        answer = graphql(organization, query=query, **values).json()
        assert answer["errors"]
        assert not (answer.get("data") or {}).get("organization")

    def test_e_mail_without_its_scope_refuses_the_whole_document(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        token = sandbox.token(organization.owner, "read:org")
        refused = graphql(organization, token=token).json()
        assert refused["errors"][0]["type"] == "INSUFFICIENT_SCOPES"
        without = graphql(organization, token=token, query=QUERY.replace("email", "")).json()
        assert without["data"]["organization"]["databaseId"] == organization.id


class TestOAuth:
    VERIFIER = "v" * 64
    CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode()

    def exchange(self, sandbox: SandboxControl, code: str, verifier: str) -> dict[str, Any]:
        answer = requests.post(
            f"{sandbox.url}/login/oauth/access_token",
            json={
                "client_id": "sandbox-client",
                "client_secret": "sandbox-secret",
                "code": code,
                "redirect_uri": "http://127.0.0.1/back",
                "code_verifier": verifier,
            },
            headers={**AGENT, "Accept": "application/json"},
            timeout=30,
        )
        # Errors come with status 200.
        assert answer.status_code == 200
        return dict(answer.json())

    def code(self, sandbox: SandboxControl, organization: SandboxOrganization) -> str:
        made = sandbox.ask(
            "POST",
            "codes",
            {
                "login": organization.owner,
                "scope": "read:org",
                "redirect_uri": "http://127.0.0.1/back",
                "code_challenge": self.CHALLENGE.rstrip("="),
            },
        )
        return str(made["code"])

    def test_a_code_and_its_verifier_make_a_token_once(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        code = self.code(sandbox, organization)
        granted = self.exchange(sandbox, code, self.VERIFIER)
        assert granted["scope"] == "read:org"
        who = rest(organization, "/user", token=granted["access_token"]).json()
        assert who["login"] == organization.owner
        again = self.exchange(sandbox, code, self.VERIFIER)
        assert again["error"] == "bad_verification_code"

    def test_a_wrong_verifier_makes_none(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        refused = self.exchange(sandbox, self.code(sandbox, organization), "w" * 64)
        assert "error" in refused
        assert "access_token" not in refused

    def test_cancelling_leads_back_with_github_s_error(self, sandbox: SandboxControl) -> None:
        asked = {
            "client_id": "sandbox-client",
            "redirect_uri": "http://127.0.0.1/back",
            "state": "s",
            "scope": "read:org",
        }
        page = requests.get(f"{sandbox.url}/login/oauth/authorize", params=asked, timeout=30)
        assert "Authorize" in page.text
        answer = requests.post(
            f"{sandbox.url}/login/oauth/authorize",
            data={**asked, "login": "demo-owner", "action": "cancel"},
            allow_redirects=False,
            timeout=30,
        )
        back = parse_qs(urlsplit(answer.headers["Location"]).query)
        assert back["error"] == ["access_denied"]
        assert back["state"] == ["s"]


class TestFaults:
    def test_each_known_one_can_be_turned_on_and_off(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        known = sandbox.ask("GET", "faults/known")
        assert len(known) > 25
        for name, facts in known.items():
            assert facts["description"]
            organization.fault(name)
        listed = sandbox.ask("GET", f"faults?organization={organization.login}")
        assert {fault["fault"] for fault in listed} == set(known)
        organization.mend()
        assert graphql(organization).json()["data"]["organization"]

    def test_it_happens_as_often_as_asked_and_to_nobody_else(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        other = sandbox.organization(size=3)
        organization.fault("server_error", status=502, times=1)
        assert graphql(other).status_code == 200
        assert graphql(organization).status_code == 502
        assert graphql(organization).status_code == 200

    def test_an_unknown_one_is_refused(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        with pytest.raises(AssertionError, match="422"):
            organization.fault("made_up")
