"""The client and the stand-in GitHub, each written from GitHub's documentation, side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from integrations.github import oauth, rest
from integrations.github.errors import (
    BadCredentials,
    Forbidden,
    GitHubError,
    IntegrationForbidden,
    MissingScopes,
    NotFound,
    OAuthAppRestricted,
    OAuthError,
    PageTooLarge,
    RateLimited,
    SamlRequired,
    Unavailable,
    UnexpectedAnswer,
)
from integrations.github.graphql import MemberPage, member_page
from integrations.github.http import GitHubClient
from integrations.github.members import RemoteMember
from tests.sandbox_control import SandboxControl, SandboxOrganization

OWNER_TOKEN = "ghp_sandbox_owner"
CALLBACK = "http://127.0.0.1/github/callback/"
APP = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}


def client_of(sandbox: SandboxControl, token: str = OWNER_TOKEN) -> GitHubClient:
    return GitHubClient(token=token, api_url=f"{sandbox.url}/api/v3")


def walk(client: GitHubClient, organization: str, *, with_email: bool = True) -> list[MemberPage]:
    pages: list[MemberPage] = []
    while not pages or pages[-1].has_next:
        after = pages[-1].end_cursor if pages else None
        page = member_page(client, organization=organization, after=after, with_email=with_email)
        pages.append(page)
    return pages


def rest_walk(client: GitHubClient, organization: str) -> dict[int, RemoteMember]:
    return {
        member.github_id: member
        for page in rest.members(client, organization, per_page=50)
        for member in page.members
    }


@pytest.fixture
def tiny(sandbox: SandboxControl) -> SandboxOrganization:
    return sandbox.organization(size=12)


@pytest.fixture
def client(sandbox: SandboxControl, tiny: SandboxOrganization) -> GitHubClient:
    return client_of(sandbox, tiny.token)


class TestWalk:
    @pytest.fixture
    def truth(self, sandbox: SandboxControl) -> dict[int, dict[str, Any]]:
        listed = sandbox.ask("GET", "organizations/acme/members")
        return {person["id"]: person for person in listed}

    def test_graphql_finds_everybody_as_they_are(
        self, sandbox: SandboxControl, truth: dict[int, dict[str, Any]]
    ) -> None:
        pages = walk(client_of(sandbox), "acme")
        assert [len(page.members) for page in pages] == [100, 100, 40]
        assert {page.total_count for page in pages} == {240}
        assert sum(page.points for page in pages) == 3
        people = {one.github_id: one for page in pages for one in page.members}
        assert people.keys() == truth.keys()
        for github_id, person in people.items():
            told = truth[github_id]
            assert person == RemoteMember(
                github_id=github_id,
                github_username=told["login"],
                name=told["name"] or "",
                email=told["email"],
                avatar_url=person.avatar_url,
                role=told["role"],
                two_factor_enabled=told["two_factor"],
            )

    def test_rest_finds_the_same_people_in_the_same_roles(self, sandbox: SandboxControl) -> None:
        client = client_of(sandbox)
        known_by_rest = {
            one.github_id: replace(one, name="", email="", two_factor_enabled=None)
            for page in walk(client, "acme")
            for one in page.members
        }
        assert rest_walk(client, "acme") == known_by_rest

    def test_a_token_without_an_email_scope_asks_for_less(self, sandbox: SandboxControl) -> None:
        client = client_of(sandbox, "ghp_sandbox_noemail")
        with pytest.raises(MissingScopes) as caught:
            walk(client, "acme")
        assert caught.value.required == ("user:email", "read:user")
        emails = {
            one.email for page in walk(client, "acme", with_email=False) for one in page.members
        }
        assert emails == {""}

    def test_a_member_is_not_told_who_uses_two_factors(self, sandbox: SandboxControl) -> None:
        (first, *_) = walk(client_of(sandbox, "ghp_sandbox_member"), "acme")
        assert {one.two_factor_enabled for one in first.members} == {None}


class TestPeopleAndPlaces:
    def test_the_viewer_is_known_with_scopes(self, sandbox: SandboxControl) -> None:
        viewer = rest.viewer(client_of(sandbox))
        assert viewer.login == "demo-owner"
        assert viewer.scopes == frozenset({"read:org", "user:email", "repo"})
        assert rest.user_by_id(client_of(sandbox), viewer.id).github_username == "demo-owner"

    def test_memberships_hold_the_organization(
        self, client: GitHubClient, tiny: SandboxOrganization
    ) -> None:
        own = rest.own_membership(client, tiny.login)
        assert (own.organization_id, own.role, own.state) == (tiny.id, "admin", "active")
        assert rest.active_memberships(client).memberships == (own,)
        assert rest.organization(client, tiny.login).id == tiny.id

    def test_hidden_organizations_are_told(
        self, client: GitHubClient, sandbox: SandboxControl, tiny: SandboxOrganization
    ) -> None:
        fault = {"fault": "sso_partial_results", "token": tiny.token, "organizations": "11,12"}
        sandbox.ask("POST", "faults", fault)
        assert rest.active_memberships(client).hidden_organization_ids == (11, 12)

    def test_a_token_without_scopes_is_told_what_it_lacks(self, sandbox: SandboxControl) -> None:
        with pytest.raises(MissingScopes) as caught:
            rest.active_memberships(client_of(sandbox, "ghp_sandbox_none"))
        assert caught.value.required == ("read:org",)

    def test_a_state_is_active_pending_or_none(
        self, client: GitHubClient, sandbox: SandboxControl, tiny: SandboxOrganization
    ) -> None:
        invited = tiny.add(state="pending")
        assert rest.member_state(client, tiny.login, tiny.owner) == "active"
        assert rest.member_state(client, tiny.login, invited["login"]) == "pending"
        assert rest.member_state(client, tiny.login, "somebody-else") is None

    def test_repositories_and_who_reaches_them_are_read(self, sandbox: SandboxControl) -> None:
        client = client_of(sandbox)
        listed = [one for page in rest.organization_repositories(client, "globex") for one in page]
        assert len({one.id for one in listed}) == 300
        assert rest.repository(client, listed[0].id) == listed[0]
        people = [one for page in rest.collaborators(client, listed[0].full_name) for one in page]
        assert "demo-owner" in {one.login for one in people}
        assert all(one.permission for one in people)


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "params", "expected"),
        [
            ("bad_credentials", {}, BadCredentials),
            ("unauthorized_sporadic", {}, Unavailable),
            ("sso_required", {}, SamlRequired),
            ("integration_forbidden", {}, IntegrationForbidden),
            ("oauth_app_restricted", {}, OAuthAppRestricted),
            ("not_found", {}, NotFound),
            ("primary_rate_limit", {}, RateLimited),
            ("primary_rate_limit_429", {}, RateLimited),
            ("secondary_rate_limit", {}, RateLimited),
            ("secondary_rate_limit", {"status": 429, "retry_after": 5}, RateLimited),
            ("server_error", {"status": 500}, Unavailable),
            ("server_error", {"status": 503, "body": "json"}, Unavailable),
            ("garbage", {}, UnexpectedAnswer),
            ("truncated_json", {}, UnexpectedAnswer),
            ("drop_connection", {}, Unavailable),
        ],
    )
    def test_both_ways_of_asking_see_the_same(
        self,
        client: GitHubClient,
        tiny: SandboxOrganization,
        fault: str,
        params: dict[str, Any],
        expected: type[GitHubError],
    ) -> None:
        tiny.fault(fault, times=2, **params)
        with pytest.raises(expected) as by_rest:
            rest.member_page(client, tiny.login)
        with pytest.raises(expected) as by_graphql:
            walk(client, tiny.login)
        assert type(by_rest.value) is type(by_graphql.value) is expected
        assert tiny.token not in f"{by_rest.value} {by_graphql.value}"
        assert rest_walk(client, tiny.login).keys() == tiny.members().keys()

    @pytest.mark.parametrize(
        ("fault", "params", "expected"),
        [
            ("graphql_rate_limited", {}, RateLimited),
            ("graphql_rate_limited", {"error_type": "RATE_LIMIT"}, RateLimited),
            ("graphql_secondary", {}, RateLimited),
            ("graphql_secondary", {"status": 403, "retry_after": 5}, RateLimited),
            ("something_went_wrong", {}, Unavailable),
            ("server_error", {"status": 502}, PageTooLarge),
            ("too_big_502", {}, PageTooLarge),
            ("resource_limits_exceeded", {}, PageTooLarge),
            ("organization_null", {}, NotFound),
        ],
    )
    def test_graphql_has_some_of_its_own(
        self,
        client: GitHubClient,
        tiny: SandboxOrganization,
        fault: str,
        params: dict[str, Any],
        expected: type[GitHubError],
    ) -> None:
        tiny.fault(fault, times=1, **params)
        with pytest.raises(expected) as caught:
            walk(client, tiny.login)
        assert type(caught.value) is expected

    @pytest.mark.parametrize(
        "fault", ["null_edge", "null_node", "null_database_id", "forbidden_node"]
    )
    def test_holes_in_a_page_are_counted(
        self, client: GitHubClient, tiny: SandboxOrganization, fault: str
    ) -> None:
        tiny.fault(fault, times=1, index=3)
        (page,) = walk(client, tiny.login)
        assert (len(page.members), page.skipped_count) == (page.total_count - 1, 1)

    def test_a_smaller_page_goes_through(
        self, client: GitHubClient, tiny: SandboxOrganization
    ) -> None:
        tiny.fault("too_big_502", above=5)
        page = member_page(client, organization=tiny.login, after=None, first=5, with_email=True)
        assert (len(page.members), page.has_next) == (5, True)

    def test_a_limit_names_its_end(self, client: GitHubClient, tiny: SandboxOrganization) -> None:
        tiny.fault("primary_rate_limit", times=1, seconds=600)
        with pytest.raises(RateLimited) as caught:
            rest.member_page(client, tiny.login)
        assert caught.value.retry_at is not None
        assert not caught.value.secondary

    def test_single_sign_on_names_its_address(
        self, client: GitHubClient, tiny: SandboxOrganization
    ) -> None:
        tiny.fault("sso_required", times=1, url="https://github.example/orgs/acme/sso?a=b")
        with pytest.raises(SamlRequired) as caught:
            rest.own_membership(client, tiny.login)
        assert caught.value.url == "https://github.example/orgs/acme/sso?a=b"

    def test_limits_that_are_off_are_no_limits(
        self, client: GitHubClient, tiny: SandboxOrganization
    ) -> None:
        tiny.fault("no_ratelimit_headers")
        assert [page.points for page in walk(client, tiny.login)] == [0]
        assert client.get(f"/orgs/{tiny.login}").budget is None

    def test_a_renamed_organizations_id_is_told(
        self, client: GitHubClient, tiny: SandboxOrganization
    ) -> None:
        tiny.fault("organization_id_changed", by=5)
        assert [page.organization_id for page in walk(client, tiny.login)] == [tiny.id + 5]

    def test_a_revoked_token_is_refused(
        self, client: GitHubClient, sandbox: SandboxControl, tiny: SandboxOrganization
    ) -> None:
        sandbox.revoke(tiny.token)
        with pytest.raises(BadCredentials):
            walk(client, tiny.login)

    def test_collaborators_are_for_those_who_may_push(self, sandbox: SandboxControl) -> None:
        client = client_of(sandbox, "ghp_sandbox_member")
        (page, *_) = rest.organization_repositories(client, "acme")
        refused = 0
        for repository in page:
            try:
                list(rest.collaborators(client, repository.full_name))
            except Forbidden:
                refused += 1
        assert refused > 0


class TestOAuth:
    @pytest.fixture
    def verifier(self) -> str:
        return oauth.new_verifier()

    @pytest.fixture
    def code(self, sandbox: SandboxControl, verifier: str) -> str:
        """Consent as a person would, in the browser."""
        url = oauth.authorize_url(
            github_url=sandbox.url,
            client_id=APP["client_id"],
            redirect_uri=CALLBACK,
            state="state",
            code_challenge=oauth.challenge_of(verifier),
            scopes=("read:org", "user:email"),
        )
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        consent = asked | {"action": "authorize", "login": "demo-member", "scope": "read:org"}
        page = f"{sandbox.url}/login/oauth/authorize"
        with requests.post(page, data=consent, timeout=30, allow_redirects=False) as answer:
            back = parse_qs(urlsplit(answer.headers["Location"]).query)
        assert back["state"] == ["state"]
        return back["code"][0]

    def exchange(self, sandbox: SandboxControl, code: str, verifier: str) -> oauth.TokenGrant:
        return oauth.exchange_code(
            github_url=sandbox.url,
            **APP,
            code=code,
            redirect_uri=CALLBACK,
            code_verifier=verifier,
        )

    def test_a_code_becomes_a_token_that_can_be_given_back(
        self, sandbox: SandboxControl, code: str, verifier: str
    ) -> None:
        grant = self.exchange(sandbox, code, verifier)
        assert grant.scopes == frozenset({"read:org"})
        client = client_of(sandbox, grant.access_token)
        assert rest.viewer(client).login == "demo-member"
        for _ in range(2):
            oauth.revoke_token(api_url=client.api_url, **APP, access_token=grant.access_token)
        with pytest.raises(BadCredentials):
            rest.viewer(client)

    def test_a_code_is_good_once(self, sandbox: SandboxControl, code: str, verifier: str) -> None:
        self.exchange(sandbox, code, verifier)
        with pytest.raises(OAuthError) as caught:
            self.exchange(sandbox, code, verifier)
        assert caught.value.code == "bad_verification_code"

    def test_a_code_without_its_proof_is_no_use(self, sandbox: SandboxControl, code: str) -> None:
        with pytest.raises(OAuthError) as caught:
            self.exchange(sandbox, code, oauth.new_verifier())
        assert caught.value.code == "bad_verification_code"

    def test_a_wrong_secret_is_told_apart(
        self, sandbox: SandboxControl, code: str, verifier: str
    ) -> None:
        wrong = {"client_id": APP["client_id"], "client_secret": "wrong"}
        with pytest.raises(OAuthError) as caught:
            oauth.exchange_code(
                github_url=sandbox.url,
                **wrong,
                code=code,
                redirect_uri=CALLBACK,
                code_verifier=verifier,
            )
        assert caught.value.code == "incorrect_client_credentials"
        with pytest.raises(OAuthError):
            oauth.revoke_token(api_url=f"{sandbox.url}/api/v3", **wrong, access_token=OWNER_TOKEN)
