"""Which error each of GitHub's refusals becomes, by REST and by GraphQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from integrations.github.errors import (
    BadCredentials,
    Forbidden,
    GitHubError,
    Gone,
    IntegrationForbidden,
    Invalid,
    MissingScopes,
    NotFound,
    OAuthAppRestricted,
    PageTooLarge,
    RateLimited,
    SamlRequired,
    Unavailable,
    UnexpectedAnswer,
)
from integrations.github.http import GitHubClient
from tests.github.scripted import HTML, IN_AN_HOUR, REQUEST_ID, ScriptedGitHub


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "message", "expected"),
        [
            (401, "Bad credentials", BadCredentials),
            (401, "Requires authentication", Unavailable),
            (403, "Must have admin rights to Repository.", Forbidden),
            (403, "Resource not accessible by integration", IntegrationForbidden),
            (403, "Resource not accessible by personal access token", IntegrationForbidden),
            (403, "`acme` has enabled OAuth App access restrictions", OAuthAppRestricted),
            (403, "Resource protected by organization SAML enforcement.", SamlRequired),
            (403, "You have exceeded a secondary rate limit.", RateLimited),
            (403, "You have triggered an abuse detection mechanism.", RateLimited),
            (403, "Maximum number of login attempts exceeded.", RateLimited),
            (403, "You need at least read:org scope to list them.", MissingScopes),
            (429, "Too many requests", RateLimited),
            (404, "Not Found", NotFound),
            (410, "Gone", Gone),
            (451, "Repository access blocked", Gone),
            (400, "Problems parsing JSON", Invalid),
            (422, "Validation Failed", Invalid),
            (409, "Conflict", Invalid),
            (408, "Request Timeout", Unavailable),
            (500, "Server Error", Unavailable),
            (502, "Server Error", Unavailable),
            (503, "Service unavailable", Unavailable),
            (504, "Gateway timeout", Unavailable),
            (304, "", UnexpectedAnswer),
        ],
    )
    def test_each_becomes_its_error(
        self,
        github: ScriptedGitHub,
        client: GitHubClient,
        status: int,
        message: str,
        expected: type[GitHubError],
    ) -> None:
        github.answers(b"" if status == 304 else {"message": message}, status=status)
        with pytest.raises(expected) as caught:
            client.get("/orgs/acme")
        assert type(caught.value) is expected
        assert (caught.value.status, caught.value.request_id) == (status, REQUEST_ID)
        assert message in str(caught.value)

    @pytest.mark.parametrize("status", [401, 403, 404, 500, 502])
    @pytest.mark.parametrize("content", [HTML, b"[]", b'{"message": 1}'])
    def test_a_body_of_another_kind_changes_nothing(
        self, github: ScriptedGitHub, client: GitHubClient, status: int, content: bytes
    ) -> None:
        expected = {401: Unavailable, 403: Forbidden, 404: NotFound}
        github.answers(content, status=status)
        with pytest.raises(expected.get(status, Unavailable)):
            client.get("/orgs/acme")

    def test_single_sign_on_comes_with_its_address(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        url = "https://github.com/orgs/acme/sso?authorization_request=AAA"
        github.answers({}, status=403, headers={"X-GitHub-SSO": f"required; url={url}"})
        with pytest.raises(SamlRequired) as caught:
            client.get("/orgs/acme/members")
        assert caught.value.url == url

    @pytest.mark.parametrize("told", ["required; url=javascript:alert(1)", "required"])
    def test_an_address_that_is_none_is_left_out(
        self, github: ScriptedGitHub, client: GitHubClient, told: str
    ) -> None:
        github.answers({}, status=403, headers={"X-GitHub-SSO": told})
        with pytest.raises(SamlRequired) as caught:
            client.get("/orgs/acme/members")
        assert caught.value.url == ""

    def test_a_missing_permission_comes_with_those_that_would_do(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        github.answers(
            {"message": "Resource not accessible by integration"},
            status=403,
            headers={"X-Accepted-GitHub-Permissions": "members=read"},
        )
        with pytest.raises(IntegrationForbidden) as caught:
            client.get("/orgs/acme/members")
        assert caught.value.accepted_permissions == "members=read"

    @pytest.mark.parametrize(
        ("granted", "accepted", "required"),
        [
            ("", "read:org, admin:org", ("admin:org", "read:org")),
            ("repo", "read:org", ("read:org",)),
        ],
    )
    def test_missing_scopes_come_with_those_that_would_do(
        self,
        github: ScriptedGitHub,
        client: GitHubClient,
        granted: str,
        accepted: str,
        required: tuple[str, ...],
    ) -> None:
        headers = {"X-OAuth-Scopes": granted, "X-Accepted-OAuth-Scopes": accepted}
        github.answers({"message": "Forbidden"}, status=403, headers=headers)
        with pytest.raises(MissingScopes) as caught:
            client.get("/user/orgs")
        assert caught.value.required == required

    @pytest.mark.parametrize(
        "headers",
        [
            {"X-OAuth-Scopes": "read:org", "X-Accepted-OAuth-Scopes": "admin:org, read:org"},
            {"X-OAuth-Scopes": "repo", "X-Accepted-OAuth-Scopes": ""},
            {"X-Accepted-OAuth-Scopes": "read:org"},
        ],
    )
    def test_scopes_that_suffice_are_not_missing(
        self, github: ScriptedGitHub, client: GitHubClient, headers: dict[str, str]
    ) -> None:
        github.answers({"message": "Forbidden"}, status=403, headers=headers)
        with pytest.raises(Forbidden):
            client.get("/user/orgs")


class TestRateLimits:
    @pytest.mark.parametrize("status", [403, 429])
    def test_a_used_up_budget_names_its_reset(
        self, github: ScriptedGitHub, client: GitHubClient, status: int
    ) -> None:
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": IN_AN_HOUR}
        github.answers({"message": "API rate limit exceeded"}, status=status, headers=headers)
        with pytest.raises(RateLimited) as caught:
            client.get("/user")
        assert caught.value.retry_at == datetime.fromtimestamp(int(IN_AN_HOUR) + 1, UTC)
        assert not caught.value.secondary

    @pytest.mark.parametrize("status", [403, 429])
    def test_retry_after_counts_from_now(
        self, github: ScriptedGitHub, client: GitHubClient, status: int
    ) -> None:
        github.answers({}, status=status, headers={"Retry-After": "90"})
        before = datetime.now(UTC)
        with pytest.raises(RateLimited) as caught:
            client.get("/user")
        assert caught.value.retry_at is not None
        waited = caught.value.retry_at - timedelta(seconds=90)
        assert before <= waited <= datetime.now(UTC)
        assert caught.value.secondary

    def test_a_secondary_limit_without_a_figure_leaves_it_to_the_caller(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        headers = {"X-RateLimit-Remaining": "4000", "X-RateLimit-Reset": IN_AN_HOUR}
        message = "You have exceeded a secondary rate limit. Please wait a few minutes."
        github.answers({"message": message}, status=403, headers=headers)
        with pytest.raises(RateLimited) as caught:
            client.get("/user")
        assert (caught.value.retry_at, caught.value.secondary) == (None, True)

    @pytest.mark.parametrize("status", [500, 502, 503])
    def test_a_fault_is_no_limit_whatever_its_headers_say(
        self, github: ScriptedGitHub, client: GitHubClient, status: int
    ) -> None:
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": IN_AN_HOUR}
        github.answers(HTML, status=status, headers=headers)
        with pytest.raises(Unavailable) as caught:
            client.get("/user")
        assert not hasattr(caught.value, "retry_at")

    def test_the_last_answer_of_a_budget_is_an_answer(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": IN_AN_HOUR}
        github.answers({"id": 1}, headers=headers)
        assert client.get("/user").body == {"id": 1}

    def test_single_sign_on_stays_what_it_is_with_a_used_up_budget(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        headers = {"X-RateLimit-Remaining": "0", "X-GitHub-SSO": "required; url=https://a.example"}
        github.answers({}, status=403, headers=headers)
        with pytest.raises(SamlRequired):
            client.get("/orgs/acme/members")


class TestGraphQL:
    @pytest.mark.parametrize("status", [502, 504])
    def test_a_timeout_of_the_gateway_asks_for_a_smaller_page(
        self, github: ScriptedGitHub, client: GitHubClient, status: int
    ) -> None:
        github.answers(HTML, status=status, headers={"X-RateLimit-Reset": IN_AN_HOUR})
        with pytest.raises(PageTooLarge):
            client.graphql("{ viewer }", {})

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            ({"type": "RATE_LIMITED", "message": "API rate limit exceeded"}, RateLimited),
            ({"type": "RATE_LIMIT", "message": "API rate limit exceeded"}, RateLimited),
            ({"message": "You have exceeded a secondary rate limit."}, RateLimited),
            ({"type": "RESOURCE_LIMITS_EXCEEDED", "message": "Exceeded."}, PageTooLarge),
            ({"message": "Something went wrong while executing your query."}, Unavailable),
            ({"message": "timedout"}, Unavailable),
            ({"type": "INTERNAL", "message": "?"}, Unavailable),
            ({"type": "NOT_FOUND", "path": ["organization"], "message": "?"}, NotFound),
            ({"type": "FORBIDDEN", "path": ["organization"], "message": "?"}, Forbidden),
            (
                {"type": "FORBIDDEN", "message": "Resource not accessible by integration"},
                IntegrationForbidden,
            ),
            (
                {"type": "FORBIDDEN", "message": "OAuth App access restrictions"},
                OAuthAppRestricted,
            ),
            (
                {"type": "FORBIDDEN", "message": "?", "extensions": {"saml_failure": True}},
                SamlRequired,
            ),
            ({"message": "No field", "extensions": {"code": "undefinedField"}}, Invalid),
            ({"type": "EXCESSIVE_PAGINATION", "message": "Too many"}, Invalid),
            ({"message": "Who knows?"}, UnexpectedAnswer),
        ],
    )
    @pytest.mark.parametrize("data", [None, {"organization": None}])
    def test_errors_with_status_200_become_ours(
        self,
        github: ScriptedGitHub,
        client: GitHubClient,
        data: object,
        error: dict[str, object],
        expected: type[GitHubError],
    ) -> None:
        github.answers({"data": data, "errors": [error]})
        with pytest.raises(expected) as caught:
            client.graphql("{ viewer }", {})
        assert type(caught.value) is expected
        assert (caught.value.status, caught.value.request_id) == (200, REQUEST_ID)

    def test_missing_scopes_are_named(self, github: ScriptedGitHub, client: GitHubClient) -> None:
        message = (
            "Your token has not been granted the required scopes to execute this query. The "
            "'email' field requires one of the following scopes: ['user:email', 'read:user'], but "
            "your token has only been granted the: ['read:org'] scopes."
        )
        error = {"type": "INSUFFICIENT_SCOPES", "message": message}
        github.answers({"data": None, "errors": [error]})
        with pytest.raises(MissingScopes) as caught:
            client.graphql("{ viewer }", {})
        assert caught.value.required == ("user:email", "read:user")

    def test_a_used_up_budget_names_its_reset(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": IN_AN_HOUR}
        error = {"type": "RATE_LIMITED", "message": "API rate limit exceeded"}
        github.answers({"data": None, "errors": [error]}, headers=headers)
        with pytest.raises(RateLimited) as caught:
            client.graphql("{ viewer }", {})
        assert caught.value.retry_at == datetime.fromtimestamp(int(IN_AN_HOUR) + 1, UTC)

    def test_a_limit_counts_more_than_what_came_before_it(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        errors = [{"type": "FORBIDDEN", "message": "?"}, {"type": "RATE_LIMITED", "message": "?"}]
        github.answers({"data": None, "errors": errors})
        with pytest.raises(RateLimited):
            client.graphql("{ viewer }", {})

    def test_errors_about_parts_come_with_the_rest(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        path = ["organization", "membersWithRole", "edges", 0, "node"]
        error = {"type": "FORBIDDEN", "path": path, "message": "no", "extensions": {}}
        github.answers({"data": {"organization": {"login": "acme"}}, "errors": [error]})
        answer = client.graphql("{ viewer }", {})
        assert answer.data == {"organization": {"login": "acme"}}
        assert [(one.kind, one.path) for one in answer.errors] == [("FORBIDDEN", tuple(path))]

    @pytest.mark.parametrize("body", [[], {}, {"data": []}, {"errors": {}}, {"errors": [1]}, 1])
    def test_another_shape_is_unexpected(
        self, github: ScriptedGitHub, client: GitHubClient, body: object
    ) -> None:
        github.answers(body)
        with pytest.raises(UnexpectedAnswer):
            client.graphql("{ viewer }", {})
