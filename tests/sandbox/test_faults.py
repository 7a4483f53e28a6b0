"""Each fault of the stand-in GitHub happens, as often as asked, and only where it was asked for."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from tests.sandbox.test_sandbox import graphql, rest
from tests.sandbox_control import SandboxControl, SandboxOrganization


def members(organization: SandboxOrganization, **values: Any) -> dict[str, Any]:
    """Return one page of members; the errors beside it are left aside."""
    found: dict[str, Any] = graphql(organization, **values).json()["data"]["organization"]
    page: dict[str, Any] = found["membersWithRole"]
    return page


def list_members(organization: SandboxOrganization, **headers: str) -> requests.Response:
    return rest(organization, f"/orgs/{organization.login}/members", **headers)


class TestFaultsThatAnswerInstead:
    @pytest.mark.parametrize(
        ("fault", "params", "status", "words"),
        [
            ("bad_credentials", {}, 401, "Bad credentials"),
            ("unauthorized_sporadic", {}, 401, "Requires authentication"),
            ("sso_required", {}, 403, "SAML"),
            ("integration_forbidden", {}, 403, "Resource not accessible by integration"),
            ("oauth_app_restricted", {}, 403, "OAuth App access restrictions"),
            ("not_found", {}, 404, "Not Found"),
            ("primary_rate_limit", {}, 403, "API rate limit exceeded"),
            ("primary_rate_limit_429", {}, 429, "API rate limit exceeded"),
            ("secondary_rate_limit", {}, 403, "secondary rate limit"),
            ("server_error", {"status": 500, "body": "json"}, 500, "Server Error"),
            ("server_error", {"status": 504}, 504, "<html>"),
            ("garbage", {}, 200, "<html>"),
        ],
    )
    def test_rest_is_refused_in_github_s_words(
        self,
        fault: str,
        params: dict[str, Any],
        status: int,
        words: str,
        organization: SandboxOrganization,
    ) -> None:
        organization.fault(fault, **params)
        answer = list_members(organization)
        assert answer.status_code == status
        assert words in answer.text

    @pytest.mark.parametrize(
        ("fault", "kind"),
        [
            ("sso_required", "FORBIDDEN"),
            ("integration_forbidden", "FORBIDDEN"),
            ("oauth_app_restricted", "FORBIDDEN"),
            ("not_found", "NOT_FOUND"),
            ("graphql_rate_limited", "RATE_LIMITED"),
            ("graphql_secondary", None),
            ("something_went_wrong", None),
        ],
    )
    def test_graphql_is_refused_with_status_200(
        self, fault: str, kind: str | None, organization: SandboxOrganization
    ) -> None:
        organization.fault(fault)
        answer = graphql(organization)
        assert answer.status_code == 200
        [error] = answer.json()["errors"]
        assert error.get("type") == kind
        assert not (answer.json()["data"] or {}).get("organization")

    def test_a_saml_refusal_says_so_and_where_to_mend_it(
        self, organization: SandboxOrganization
    ) -> None:
        organization.fault("sso_required", url="https://github.example/sso")
        answer = graphql(organization)
        assert answer.json()["errors"][0]["extensions"] == {"saml_failure": True}
        assert answer.headers["X-GitHub-SSO"] == "required; url=https://github.example/sso"

    @pytest.mark.parametrize("fault", ["primary_rate_limit", "graphql_rate_limited"])
    def test_a_primary_limit_tells_when_it_ends(
        self, fault: str, organization: SandboxOrganization
    ) -> None:
        organization.fault(fault, seconds=500)
        headers = graphql(organization).headers
        assert headers["X-RateLimit-Remaining"] == "0"
        assert 490 < int(headers["X-RateLimit-Reset"]) - time.time() <= 501

    def test_a_graphql_limit_goes_by_either_name(self, organization: SandboxOrganization) -> None:
        organization.fault("graphql_rate_limited", error_type="RATE_LIMIT")
        assert graphql(organization).json()["errors"][0]["type"] == "RATE_LIMIT"

    @pytest.mark.parametrize(("retry_after", "told"), [(7, "7"), (None, None)])
    def test_a_secondary_limit_may_tell_how_long(
        self, retry_after: int | None, told: str | None, organization: SandboxOrganization
    ) -> None:
        organization.fault("secondary_rate_limit", retry_after=retry_after)
        assert list_members(organization).headers.get("Retry-After") == told

    def test_a_server_error_misleads_about_the_wait(
        self, organization: SandboxOrganization
    ) -> None:
        organization.fault("server_error")
        answer = graphql(organization)
        assert answer.status_code == 502
        assert int(answer.headers["X-RateLimit-Reset"]) - time.time() > 3_000

    def test_a_connection_is_dropped_without_an_answer(
        self, organization: SandboxOrganization
    ) -> None:
        organization.fault("drop_connection", times=1)
        with pytest.raises(requests.ConnectionError):
            graphql(organization)
        assert graphql(organization).status_code == 200
        assert [call["status"] for call in organization.requests()] == [0, 200]

    def test_an_organization_is_null_without_an_error(
        self, organization: SandboxOrganization
    ) -> None:
        organization.fault("organization_null")
        assert graphql(organization).json() == {"data": {"organization": None}}


class TestFaultsThatSpoilAnAnswer:
    def test_json_breaks_off(self, organization: SandboxOrganization) -> None:
        organization.fault("truncated_json")
        answer = graphql(organization)
        assert answer.status_code == 200
        with pytest.raises(requests.JSONDecodeError):
            answer.json()

    def test_an_answer_comes_late(self, organization: SandboxOrganization) -> None:
        organization.fault("slow", seconds=0.2)
        answer = graphql(organization)
        assert answer.elapsed.total_seconds() >= 0.2
        assert answer.json()["data"]["organization"]

    def test_some_organizations_are_left_out(self, organization: SandboxOrganization) -> None:
        organization.fault("sso_partial_results", organizations="1,2")
        sso = list_members(organization).headers["X-GitHub-SSO"]
        assert sso == "partial-results; organizations=1,2"

    def test_limits_are_off(self, organization: SandboxOrganization) -> None:
        organization.fault("no_ratelimit_headers")
        answer = graphql(organization)
        assert not [name for name in answer.headers if name.lower().startswith("x-ratelimit")]
        assert answer.json()["data"]["rateLimit"] is None

    def test_the_owner_is_taken_for_a_stranger(self, organization: SandboxOrganization) -> None:
        organization.fault("public_only")
        page = members(organization)
        assert 0 < page["totalCount"] < 240
        assert {edge["role"] for edge in page["edges"]} == {None}
        own = rest(organization, f"/user/memberships/orgs/{organization.login}")
        assert own.status_code == 404

    def test_the_login_belongs_to_another_organization(
        self, organization: SandboxOrganization
    ) -> None:
        organization.fault("organization_id_changed", by=5)
        found = graphql(organization).json()["data"]["organization"]
        assert found["databaseId"] == organization.id + 5
        shown = rest(organization, f"/orgs/{organization.login}").json()
        assert shown["id"] == organization.id + 5


class TestFaultsOfAPage:
    def test_an_edge_is_null(self, organization: SandboxOrganization) -> None:
        organization.fault("null_edge", index=2)
        edges = members(organization)["edges"]
        assert [place for place, edge in enumerate(edges) if edge is None] == [2]

    def test_a_node_is_null(self, organization: SandboxOrganization) -> None:
        organization.fault("null_node")
        edges = members(organization)["edges"]
        assert [place for place, edge in enumerate(edges) if edge["node"] is None] == [0]

    def test_an_id_is_null(self, organization: SandboxOrganization) -> None:
        organization.fault("null_database_id")
        nodes = [edge["node"] for edge in members(organization)["edges"]]
        assert [node["databaseId"] is None for node in nodes].count(True) == 1
        assert all(node["login"] for node in nodes)

    def test_a_node_is_forbidden_and_the_error_names_its_place(
        self, organization: SandboxOrganization
    ) -> None:
        organization.fault("forbidden_node", index=3)
        answer = graphql(organization).json()
        [error] = answer["errors"]
        assert error["type"] == "FORBIDDEN"
        assert error["path"] == ["organization", "membersWithRole", "edges", 3, "node"]
        assert answer["data"]["organization"]["membersWithRole"]["edges"][3]["node"] is None

    @pytest.mark.parametrize("fault", ["too_big_502", "resource_limits_exceeded"])
    def test_only_a_large_page_is_too_large(
        self, fault: str, organization: SandboxOrganization
    ) -> None:
        organization.fault(fault, above=50)
        small = graphql(organization, first=50)
        assert "errors" not in small.json()
        large = graphql(organization, first=51)
        assert large.status_code == 502 or large.json()["errors"]

    def test_resources_run_out_half_way(self, organization: SandboxOrganization) -> None:
        organization.fault("resource_limits_exceeded")
        answer = graphql(organization).json()
        [error] = answer["errors"]
        assert error["type"] == "RESOURCE_LIMITS_EXCEEDED"
        edges = answer["data"]["organization"]["membersWithRole"]["edges"]
        assert [edge is not None for edge in edges] == [True] * 50 + [False] * 50

    def test_a_cursor_gets_stuck_from_the_second_page(
        self, organization: SandboxOrganization
    ) -> None:
        organization.fault("cursor_stuck")
        first = members(organization)["pageInfo"]["endCursor"]
        again = members(organization, after=first)["pageInfo"]
        assert again == {"hasNextPage": True, "endCursor": first}

    def test_a_cursor_is_null(self, organization: SandboxOrganization) -> None:
        organization.fault("cursor_null")
        assert members(organization)["pageInfo"] == {"hasNextPage": True, "endCursor": None}

    @pytest.mark.parametrize("advance", [True, False])
    def test_a_page_is_empty_though_more_follow(
        self, advance: bool, organization: SandboxOrganization
    ) -> None:
        start = members(organization)["pageInfo"]["endCursor"]
        organization.fault("empty_page", advance=advance)
        page = members(organization, after=start)
        assert page["edges"] == []
        assert page["pageInfo"]["hasNextPage"]
        assert (page["pageInfo"]["endCursor"] != start) is advance

    def test_somebody_comes_twice(self, organization: SandboxOrganization) -> None:
        before = members(organization)
        organization.fault("duplicate_member")
        page = members(organization, after=before["pageInfo"]["endCursor"])
        assert page["edges"][0] == before["edges"][-1]
        alone = members(organization)
        assert alone["edges"][0] == alone["edges"][-1]

    def test_a_person_is_left_out_and_counted_or_not(
        self, organization: SandboxOrganization
    ) -> None:
        whole = members(organization)
        organization.fault("missing_member", index=1, times=1)
        organization.fault("missing_member", index=1, counted=True, after=1, times=1)
        first, second = members(organization), members(organization)
        assert first["edges"] == second["edges"] == [whole["edges"][0], *whole["edges"][2:]]
        assert second["totalCount"] == first["totalCount"] + 1 == whole["totalCount"]


class TestScope:
    def test_it_lets_the_first_calls_pass(self, organization: SandboxOrganization) -> None:
        organization.fault("server_error", after=2, times=1)
        statuses = [graphql(organization).status_code for _ in range(4)]
        assert statuses == [200, 200, 502, 200]

    def test_it_happens_to_one_kind_of_call(self, organization: SandboxOrganization) -> None:
        organization.fault("server_error", kind="rest")
        assert graphql(organization).status_code == 200
        assert list_members(organization).status_code == 502

    def test_it_happens_below_one_path(self, organization: SandboxOrganization) -> None:
        organization.fault("server_error", path=f"/api/v3/orgs/{organization.login}/members")
        assert rest(organization, f"/orgs/{organization.login}").status_code == 200
        assert list_members(organization).status_code == 502

    def test_it_happens_to_one_token(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        other = sandbox.token(organization.owner)
        sandbox.ask("POST", "faults", {"fault": "bad_credentials", "token": other})
        assert rest(organization, "/user", token=other).status_code == 401
        assert rest(organization, "/user").status_code == 200

    def test_it_matches_the_organization_in_any_case(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        facts = {"fault": "not_found", "organization": organization.login.upper()}
        sandbox.ask("POST", "faults", facts)
        assert list_members(organization).status_code == 404

    def test_a_fault_of_a_page_waits_for_a_page(self, organization: SandboxOrganization) -> None:
        organization.fault("null_edge", times=1)
        graphql(organization, query="query($login: String!) { organization(login: $login) { id } }")
        assert members(organization)["edges"][0] is None

    @pytest.mark.parametrize(
        "facts",
        [
            {},
            {"organization": "acme", "unheard_of": 1},
            {"organization": "acme", "times": "many"},
            {"organization": "acme", "times": 0},
            {"organization": "acme", "after": -1},
            {"organization": "acme", "kind": "soap"},
            {"organization": "acme", "seconds": "long"},
        ],
    )
    def test_nonsense_is_refused(self, facts: dict[str, Any], sandbox: SandboxControl) -> None:
        with pytest.raises(AssertionError, match="422"):
            sandbox.ask("POST", "faults", {"fault": "slow", **facts})
