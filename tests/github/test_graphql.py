"""One page of members through GraphQL, whole and with holes in it."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.github.errors import (
    MissingScopes,
    NotFound,
    PageTooLarge,
    SamlRequired,
    UnexpectedAnswer,
)
from integrations.github.graphql import MemberPage, member_page
from integrations.github.http import GitHubClient
from integrations.github.members import RemoteMember
from tests.github.scripted import ScriptedGitHub

ALICE = {
    "role": "ADMIN",
    "hasTwoFactorEnabled": True,
    "node": {
        "databaseId": 1,
        "login": "alice",
        "name": "Alice",
        "email": "alice@example.org",
        "avatarUrl": "https://avatars.example/1",
    },
}
BOB = {
    "role": "MEMBER",
    "hasTwoFactorEnabled": None,
    "node": {
        "databaseId": 2,
        "login": "bob",
        "name": None,
        "email": "",
        "avatarUrl": "https://avatars.example/2",
    },
}


def answer(edges: list[Any], /, **changes: Any) -> dict[str, Any]:
    connection = {
        "totalCount": len(edges),
        "pageInfo": {"hasNextPage": False, "endCursor": "Y3Vyc29y"},
        "edges": edges,
    }
    organization = {"databaseId": 7, "login": "acme", "membersWithRole": connection | changes}
    return {"data": {"organization": organization, "rateLimit": {"cost": 1}}}


def read(client: GitHubClient, **changes: Any) -> MemberPage:
    asked: dict[str, Any] = {"organization": "acme", "after": None, "with_email": True} | changes
    return member_page(client, **asked)


class TestQuestion:
    def test_it_asks_for_a_page_after_a_cursor(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        github.answers(answer([]))
        read(client, after="abc", first=50)
        expected = {"organization": "acme", "after": "abc", "first": 50}
        assert github.asked[0].body["variables"] == expected

    def test_it_asks_for_a_hundred_unless_told(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        github.answers(answer([]))
        read(client)
        assert github.asked[0].body["variables"]["first"] == 100

    def test_it_asks_for_emails_only_when_told(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        for with_email in (True, False):
            github.answers(answer([]))
            read(client, with_email=with_email)
        first, second = (asked.body["query"].split() for asked in github.asked)
        assert "email" in first
        assert [word for word in first if word != "email"] == second


class TestPage:
    def test_it_holds_the_people_and_the_way_on(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        page_info = {"hasNextPage": True, "endCursor": "bmV4dA=="}
        github.answers(answer([ALICE, BOB], pageInfo=page_info, totalCount=240))
        assert read(client) == MemberPage(
            organization_id=7,
            organization_login="acme",
            total_count=240,
            members=(
                RemoteMember(
                    github_id=1,
                    github_username="alice",
                    name="Alice",
                    email="alice@example.org",
                    avatar_url="https://avatars.example/1",
                    role="admin",
                    two_factor_enabled=True,
                ),
                RemoteMember(
                    github_id=2,
                    github_username="bob",
                    avatar_url="https://avatars.example/2",
                    role="member",
                ),
            ),
            skipped_count=0,
            end_cursor="bmV4dA==",
            has_next=True,
            points=1,
        )

    def test_a_role_it_does_not_know_is_none(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        github.answers(answer([ALICE | {"role": None}, BOB | {"role": "OVERLORD"}]))
        assert [member.role for member in read(client).members] == [None, None]

    def test_it_costs_nothing_where_limits_are_off(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        body = answer([ALICE])
        body["data"]["rateLimit"] = None
        github.answers(body)
        assert read(client).points == 0

    def test_a_hidden_organization_id_is_none(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        body = answer([ALICE])
        body["data"]["organization"]["databaseId"] = None
        github.answers(body)
        assert read(client).organization_id is None

    def test_an_empty_end_cursor_is_none(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        github.answers(answer([], pageInfo={"hasNextPage": True, "endCursor": None}))
        assert read(client).end_cursor is None

    def test_texts_are_made_fit_for_a_database(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        node = {"login": "x" * 150, "name": "A\0" * 300, "email": "e" * 300, "avatarUrl": "data:,"}
        github.answers(answer([ALICE | {"node": ALICE["node"] | node}]))  # type: ignore[operator]
        (member,) = read(client).members
        assert member == RemoteMember(
            github_id=1,
            github_username="x" * 100,
            name="A" * 255,
            role="admin",
            two_factor_enabled=True,
        )


class TestHoles:
    @pytest.mark.parametrize(
        "hole",
        [
            None,
            {"role": "MEMBER", "hasTwoFactorEnabled": None, "node": None},
            {"role": "MEMBER", "node": {"databaseId": None, "login": "ghost"}},
        ],
    )
    def test_they_are_counted_and_the_rest_is_read(
        self, github: ScriptedGitHub, client: GitHubClient, hole: object
    ) -> None:
        github.answers(answer([ALICE, hole, BOB]))
        page = read(client)
        assert [member.github_username for member in page.members] == ["alice", "bob"]
        assert page.skipped_count == 1

    def test_a_forbidden_person_is_one(self, github: ScriptedGitHub, client: GitHubClient) -> None:
        path = ["organization", "membersWithRole", "edges", 1, "node"]
        body = answer([ALICE, BOB | {"node": None}])
        body["errors"] = [{"type": "FORBIDDEN", "path": path, "message": "no"}]
        github.answers(body)
        page = read(client)
        assert (len(page.members), page.skipped_count) == (1, 1)
        assert page.errors[0].kind == "FORBIDDEN"

    def test_a_page_cut_short_by_limits_is_no_page(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        body = answer([ALICE, None, None])
        body["errors"] = [{"type": "RESOURCE_LIMITS_EXCEEDED", "message": "exceeded"}]
        github.answers(body)
        with pytest.raises(PageTooLarge):
            read(client)


class TestRefusal:
    @pytest.mark.parametrize("data", [{"organization": None}, {}])
    def test_no_organization_is_not_found(
        self, github: ScriptedGitHub, client: GitHubClient, data: object
    ) -> None:
        github.answers({"data": data})
        with pytest.raises(NotFound):
            read(client)

    def test_single_sign_on_is_told_with_its_address(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        error = {
            "type": "FORBIDDEN",
            "path": ["organization"],
            "extensions": {"saml_failure": True},
            "message": "Resource protected by organization SAML enforcement.",
        }
        github.answers(
            {"data": {"organization": None}, "errors": [error]},
            headers={"X-GitHub-SSO": "required; url=https://github.com/orgs/acme/sso"},
        )
        with pytest.raises(SamlRequired) as caught:
            read(client)
        assert caught.value.url == "https://github.com/orgs/acme/sso"

    def test_a_missing_email_scope_is_told(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        github.answers({"data": None, "errors": [{"type": "INSUFFICIENT_SCOPES", "message": ""}]})
        with pytest.raises(MissingScopes) as caught:
            read(client)
        assert caught.value.required == ()

    @pytest.mark.parametrize(
        "changes",
        [
            {"edges": None},
            {"edges": {}},
            {"edges": [1]},
            {"edges": [{"node": []}]},
            {"edges": [{"node": {"databaseId": "1", "login": "alice"}}]},
            {"edges": [{"node": {"databaseId": 1, "login": ""}}]},
            {"edges": [ALICE | {"hasTwoFactorEnabled": "yes"}]},
            {"totalCount": None},
            {"totalCount": "3"},
            {"pageInfo": None},
            {"pageInfo": {"hasNextPage": None}},
            {"pageInfo": {"hasNextPage": True, "endCursor": 3}},
        ],
    )
    def test_another_shape_is_unexpected(
        self, github: ScriptedGitHub, client: GitHubClient, changes: dict[str, Any]
    ) -> None:
        github.answers(answer([], **changes))
        with pytest.raises(UnexpectedAnswer):
            read(client)
