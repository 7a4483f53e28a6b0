"""What we ask of REST: the question, the answer read, and lists followed to their end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from integrations.github import rest
from integrations.github.errors import Invalid, NotFound, Unavailable, UnexpectedAnswer
from integrations.github.http import GitHubClient
from integrations.github.members import RemoteMember
from tests.github.scripted import ScriptedGitHub

ALICE = {"id": 1, "login": "alice", "avatar_url": "https://avatars.example/1", "type": "User"}
BOB = {"id": 2, "login": "bob", "avatar_url": "https://avatars.example/2", "type": "User"}
MEMBERSHIP = {
    "state": "active",
    "role": "admin",
    "organization": {
        "id": 7,
        "login": "acme",
        "description": None,
        "avatar_url": "https://avatars.example/7",
    },
}
REPOSITORY = {
    "id": 9,
    "name": "rockets",
    "full_name": "acme/rockets",
    "private": True,
    "archived": False,
    "description": None,
    "html_url": "https://github.com/acme/rockets",
    "language": None,
    "default_branch": "main",
    "pushed_at": "2026-11-23T12:00:00Z",
}


def next_link(github: ScriptedGitHub, path: str) -> dict[str, str]:
    return {"Link": f'<{github.api_url}{path}>; rel="next"'}


class TestViewer:
    def test_it_tells_who_and_what_was_granted(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        github.answers(ALICE | {"name": "Alice"}, headers={"X-OAuth-Scopes": "read:org"})
        assert rest.viewer(client) == rest.Viewer(
            id=1,
            login="alice",
            name="Alice",
            avatar_url="https://avatars.example/1",
            scopes=frozenset({"read:org"}),
        )
        assert github.asked[0].path == "/api/v3/user"


class TestUserById:
    def test_it_asks_by_the_durable_id(self, github: ScriptedGitHub, client: GitHubClient) -> None:
        github.answers(ALICE | {"name": "Alice", "email": "alice@example.org"})
        assert rest.user_by_id(client, 1) == RemoteMember(
            github_id=1,
            github_username="alice",
            name="Alice",
            email="alice@example.org",
            avatar_url="https://avatars.example/1",
        )
        assert github.asked[0].path == "/api/v3/user/1"


class TestActiveMemberships:
    def test_it_follows_the_list_to_its_end(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        hidden = {"X-GitHub-SSO": "partial-results; organizations=11,12"}
        github.answers([MEMBERSHIP], headers=next_link(github, "/user/m?page=2") | hidden)
        organization = MEMBERSHIP["organization"] | {"id": 8}  # type: ignore[operator]
        github.answers([MEMBERSHIP | {"organization": organization}], headers=hidden)
        listed = rest.active_memberships(client)
        assert [one.organization_id for one in listed.memberships] == [7, 8]
        assert listed.hidden_organization_ids == (11, 12)
        assert github.asked[0].path == "/api/v3/user/memberships/orgs"
        assert github.asked[0].query == {"state": "active", "per_page": "100"}

    def test_an_invitation_is_no_membership(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        github.answers([MEMBERSHIP | {"state": "pending"}])
        assert rest.active_memberships(client) == rest.MembershipList((), ())

    def test_a_list_that_leads_back_ends(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        for _ in range(5):
            github.answers([MEMBERSHIP], headers=next_link(github, "/again"))
        with pytest.raises(UnexpectedAnswer):
            rest.active_memberships(client)
        assert len(github.asked) == 2


class TestOwnMembership:
    def test_it_tells_organization_role_and_state(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        github.answers(MEMBERSHIP | {"state": "pending"})
        assert rest.own_membership(client, "acme") == rest.OrganizationMembership(
            organization_id=7,
            login="acme",
            description="",
            avatar_url="https://avatars.example/7",
            role="admin",
            state="pending",
        )
        assert github.asked[0].path == "/api/v3/user/memberships/orgs/acme"

    def test_a_stranger_is_not_found(self, github: ScriptedGitHub, client: GitHubClient) -> None:
        github.answers({"message": "Not Found"}, status=404)
        with pytest.raises(NotFound):
            rest.own_membership(client, "acme")

    @pytest.mark.parametrize("login", ["", ".", ".."])
    def test_a_name_that_leads_elsewhere_is_not_asked(
        self, github: ScriptedGitHub, client: GitHubClient, login: str
    ) -> None:
        with pytest.raises(Invalid):
            rest.own_membership(client, login)
        assert github.asked == []

    def test_a_name_stays_one_segment(self, github: ScriptedGitHub, client: GitHubClient) -> None:
        github.answers(MEMBERSHIP)
        rest.own_membership(client, "../user?x#y")
        assert github.asked[0].path == "/api/v3/user/memberships/orgs/..%2Fuser%3Fx%23y"


class TestOrganization:
    def test_it_is_read(self, github: ScriptedGitHub, client: GitHubClient) -> None:
        github.answers(MEMBERSHIP["organization"] | {"name": "Acme, Inc."})  # type: ignore[operator]
        assert rest.organization(client, "acme") == rest.Organization(
            id=7,
            login="acme",
            name="Acme, Inc.",
            description="",
            avatar_url="https://avatars.example/7",
        )


class TestMemberState:
    def test_it_is_githubs_word(self, github: ScriptedGitHub, client: GitHubClient) -> None:
        github.answers({"state": "pending", "role": "member"})
        assert rest.member_state(client, "acme", "bob") == "pending"
        assert github.asked[0].path == "/api/v3/orgs/acme/memberships/bob"

    def test_a_stranger_has_none(self, github: ScriptedGitHub, client: GitHubClient) -> None:
        github.answers({"message": "Not Found"}, status=404)
        assert rest.member_state(client, "acme", "charlie") is None

    def test_a_fault_is_not_taken_for_a_stranger(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        github.answers({}, status=500)
        with pytest.raises(Unavailable):
            rest.member_state(client, "acme", "bob")


class TestMembers:
    def test_it_walks_owners_then_others_then_owners_again(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        github.answers([ALICE])
        github.answers([BOB], headers=next_link(github, "/organizations/7/members?page=2"))
        github.answers([BOB | {"id": 3, "login": "carol"}])
        github.answers([ALICE])
        pages = list(rest.members(client, "acme", per_page=1))
        people = [(one.github_username, one.role) for page in pages for one in page.members]
        assert people == [
            ("alice", "admin"),
            ("bob", "member"),
            ("carol", "member"),
            ("alice", "admin"),
        ]
        assert [asked.query.get("role") for asked in github.asked] == [
            "admin",
            "member",
            None,
            "admin",
        ]
        assert github.asked[0].query["per_page"] == "1"

    def test_who_is_promoted_in_between_is_not_lost(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        for listed in ([ALICE], [], [ALICE, BOB]):
            github.answers(listed)
        roles = {
            one.github_username: one.role
            for page in rest.members(client, "acme")
            for one in page.members
        }
        assert roles == {"alice": "admin", "bob": "admin"}

    def test_it_goes_on_at_a_cursor(self, github: ScriptedGitHub, client: GitHubClient) -> None:
        github.answers([ALICE], headers=next_link(github, "/organizations/7/members?page=2"))
        github.answers([BOB])
        cursor = rest.member_page(client, "acme").next_cursor
        page = rest.member_page(client, "acme", cursor=cursor)
        assert [one.role for one in page.members] == ["admin"]
        assert github.asked[1].path == "/api/v3/organizations/7/members"

    def test_no_page_but_the_last_is_empty(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        for _ in range(3):
            github.answers([])
        assert rest.member_page(client, "acme") == rest.RestMemberPage((), 0, "")
        assert len(github.asked) == 3

    def test_null_people_are_counted(self, github: ScriptedGitHub, client: GitHubClient) -> None:
        github.answers([ALICE, None])
        page = rest.member_page(client, "acme")
        assert (len(page.members), page.skipped_count) == (1, 1)

    def test_a_list_that_does_not_move_on_ends(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        for _ in range(5):
            github.answers([ALICE], headers=next_link(github, "/again"))
        with pytest.raises(UnexpectedAnswer):
            list(rest.members(client, "acme"))

    def test_a_cursor_of_another_list_is_refused(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        with pytest.raises(Invalid):
            rest.member_page(client, "acme", cursor="Y3Vyc29y")
        assert github.asked == []

    def test_a_cursor_of_another_server_is_refused(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        with pytest.raises(UnexpectedAnswer):
            rest.member_page(client, "acme", cursor="admin:https://api.github.com/orgs/acme")
        assert github.asked == []


class TestRepositories:
    def test_it_walks_the_pages(self, github: ScriptedGitHub, client: GitHubClient) -> None:
        github.answers([REPOSITORY], headers=next_link(github, "/organizations/7/repos?page=2"))
        github.answers([REPOSITORY | {"id": 10, "pushed_at": None}])
        first, second = rest.organization_repositories(client, "acme")
        assert first == (
            rest.Repository(
                id=9,
                name="rockets",
                full_name="acme/rockets",
                private=True,
                archived=False,
                description="",
                html_url="https://github.com/acme/rockets",
                language="",
                default_branch="main",
                pushed_at=datetime(2026, 11, 23, 12, tzinfo=UTC),
            ),
        )
        assert second[0].pushed_at is None
        assert github.asked[0].query == {"per_page": "100", "sort": "full_name"}

    def test_one_is_found_by_its_id(self, github: ScriptedGitHub, client: GitHubClient) -> None:
        github.answers(REPOSITORY)
        assert rest.repository(client, 9).full_name == "acme/rockets"
        assert github.asked[0].path == "/api/v3/repositories/9"


class TestCollaborators:
    @pytest.mark.parametrize(
        ("told", "permission"),
        [
            ({"role_name": "maintain"}, "maintain"),
            ({"role_name": "auditor", "permissions": {"pull": True}}, "auditor"),
            ({"permissions": {"admin": False, "push": True, "pull": True}}, "write"),
            ({"permissions": {"pull": True}}, "read"),
            ({"permissions": {}}, ""),
        ],
    )
    def test_each_has_a_permission(
        self,
        github: ScriptedGitHub,
        client: GitHubClient,
        told: dict[str, Any],
        permission: str,
    ) -> None:
        github.answers([ALICE | told])
        ((person,),) = rest.collaborators(client, "acme/rockets")
        assert person == rest.Collaborator(
            id=1, login="alice", avatar_url="https://avatars.example/1", permission=permission
        )
        assert github.asked[0].path == "/api/v3/repos/acme/rockets/collaborators"

    @pytest.mark.parametrize("permissions", [None, [], "admin"])
    def test_permissions_of_another_shape_are_unexpected(
        self, github: ScriptedGitHub, client: GitHubClient, permissions: object
    ) -> None:
        github.answers([ALICE | {"role_name": None, "permissions": permissions}])
        with pytest.raises(UnexpectedAnswer):
            list(rest.collaborators(client, "acme/rockets"))

    @pytest.mark.parametrize("full_name", ["", "acme", "acme/", "../user"])
    def test_half_a_name_is_not_asked(
        self, github: ScriptedGitHub, client: GitHubClient, full_name: str
    ) -> None:
        with pytest.raises(Invalid):
            list(rest.collaborators(client, full_name))
        assert github.asked == []


ASKS: list[Callable[[GitHubClient], object]] = [
    rest.viewer,
    rest.active_memberships,
    lambda client: rest.user_by_id(client, 1),
    lambda client: rest.own_membership(client, "acme"),
    lambda client: rest.organization(client, "acme"),
    lambda client: rest.member_state(client, "acme", "bob"),
    lambda client: rest.member_page(client, "acme"),
    lambda client: list(rest.organization_repositories(client, "acme")),
    lambda client: rest.repository(client, 9),
    lambda client: list(rest.collaborators(client, "acme/rockets")),
]


class TestOtherShapes:
    @pytest.mark.parametrize("ask", ASKS)
    @pytest.mark.parametrize(
        "body",
        [
            None,
            1,
            "text",
            {"id": "1"},
            {"id": 1, "login": 2},
            {"state": 1},
            {"organization": []},
            [1],
            [{}],
            [[]],
            [{"id": 1}],
            [REPOSITORY | {"private": None}, ALICE | {"id": True}],
        ],
    )
    def test_they_are_unexpected(
        self,
        github: ScriptedGitHub,
        client: GitHubClient,
        ask: Callable[[GitHubClient], object],
        body: object,
    ) -> None:
        github.answers(body)
        with pytest.raises(UnexpectedAnswer):
            ask(client)
