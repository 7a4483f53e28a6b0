"""Who sees what of the stand-in GitHub: shapes, scopes, concealed members, pages and limits."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.sandbox.test_sandbox import AGENT, graphql, rest
from tests.sandbox_control import SandboxControl, SandboxOrganization


@pytest.fixture
def member(sandbox: SandboxControl, organization: SandboxOrganization) -> str:
    """The token of an ordinary member of the organisation."""
    return sandbox.token(organization.add(login=f"member-of-{organization.login}")["login"])


@pytest.fixture
def stranger(sandbox: SandboxControl) -> str:
    return sandbox.organization(size=1).token


class TestPeople:
    def test_the_owner_of_the_token_is_told(self, organization: SandboxOrganization) -> None:
        user = rest(organization, "/user").json()
        assert user["login"] == organization.owner
        assert user["type"] == "User"
        assert user["email"] is None
        assert rest(organization, f"/user/{user['id']}").json() == user
        assert rest(organization, f"/users/{organization.owner.upper()}").json() == user

    def test_an_avatar_is_a_picture(self, organization: SandboxOrganization) -> None:
        picture = requests.get(rest(organization, "/user").json()["avatar_url"], timeout=30)
        assert picture.headers["Content-Type"] == "image/svg+xml"
        assert picture.text.startswith("<svg")

    @pytest.mark.parametrize("path", ["/users/nobody-at-all", "/user/1", "/orgs/nothing", "/nope"])
    def test_what_is_not_there_is_404(self, path: str, organization: SandboxOrganization) -> None:
        answer = rest(organization, path)
        assert answer.status_code == 404
        assert answer.json()["message"] == "Not Found"

    def test_a_trailing_slash_is_404(self, organization: SandboxOrganization) -> None:
        assert rest(organization, f"/orgs/{organization.login}/").status_code == 404

    def test_without_a_token_public_things_only(self, organization: SandboxOrganization) -> None:
        api = f"{organization.control.url}/api/v3"
        public = requests.get(f"{api}/orgs/{organization.login}", headers=AGENT, timeout=30)
        assert public.status_code == 200
        assert public.headers["X-RateLimit-Limit"] == "60"
        private = requests.get(f"{api}/user", headers=AGENT, timeout=30)
        assert private.status_code == 401


class TestMemberships:
    def test_own_ones_tell_state_and_role(
        self, organization: SandboxOrganization, member: str
    ) -> None:
        [own] = rest(organization, "/user/memberships/orgs?state=active").json()
        assert (own["state"], own["role"]) == ("active", "admin")
        assert own["organization"]["id"] == organization.id
        [theirs] = rest(organization, "/user/memberships/orgs", token=member).json()
        assert theirs["role"] == "member"
        [listed] = rest(organization, "/user/orgs").json()
        assert listed["login"] == organization.login

    def test_an_invited_person_is_pending_and_in_no_list(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        invited = organization.add(login=f"invited-{organization.login}", state="pending")
        token = sandbox.token(invited["login"])
        path = "/user/memberships/orgs"
        assert rest(organization, f"{path}?state=active", token=token).json() == []
        [pending] = rest(organization, f"{path}?state=pending", token=token).json()
        assert pending["state"] == "pending"
        assert invited["id"] not in organization.members()

    def test_a_stranger_has_none(self, organization: SandboxOrganization, stranger: str) -> None:
        path = f"/user/memberships/orgs/{organization.login}"
        assert rest(organization, path, token=stranger).status_code == 404

    @pytest.mark.parametrize("path", ["/user/orgs", "/user/memberships/orgs"])
    def test_they_need_a_scope(
        self, path: str, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        token = sandbox.token(organization.owner, "repo")
        assert rest(organization, path, token=token).status_code == 403

    def test_others_are_for_members(
        self, organization: SandboxOrganization, member: str, stranger: str
    ) -> None:
        path = f"/orgs/{organization.login}/memberships/{organization.owner}"
        assert rest(organization, path, token=member).json()["role"] == "admin"
        refused = rest(organization, path, token=stranger)
        assert refused.status_code == 403
        assert "You must be a member" in refused.json()["message"]

    def test_a_check_sends_strangers_to_the_public_list(
        self, organization: SandboxOrganization, stranger: str
    ) -> None:
        path = f"/orgs/{organization.login}/members"
        assert rest(organization, f"{path}/{organization.owner}").status_code == 204
        assert rest(organization, f"{path}/demo-member").status_code == 404
        sent_on = rest(organization, f"{path}/{organization.owner}", token=stranger)
        assert [step.status_code for step in sent_on.history] == [302]


class TestMembers:
    def test_roles_part_the_list(self, organization: SandboxOrganization) -> None:
        path = f"/orgs/{organization.login}/members?per_page=100"
        owners = rest(organization, f"{path}&role=admin").json()
        truth = organization.members().values()
        assert {one["id"] for one in owners} == {
            one["id"] for one in truth if one["role"] == "admin"
        }
        assert rest(organization, f"{path}&role=king").status_code == 422

    def test_two_factor_is_for_owners(self, organization: SandboxOrganization, member: str) -> None:
        path = f"/orgs/{organization.login}/members?filter=2fa_disabled&per_page=100"
        truth = organization.members().values()
        assert {one["id"] for one in rest(organization, path).json()} == {
            one["id"] for one in truth if not one["two_factor"]
        }
        assert rest(organization, path, token=member).status_code == 422
        page = graphql(organization, token=member).json()["data"]["organization"]
        factors = {edge["hasTwoFactorEnabled"] for edge in page["membersWithRole"]["edges"]}
        assert factors == {None}

    def test_concealed_members_are_hidden_from_strangers(
        self, sandbox: SandboxControl, stranger: str
    ) -> None:
        club = sandbox.organization(size=20, concealed=True)
        path = f"/orgs/{club.login}/members"
        assert rest(club, path, token=stranger).json() == []
        assert len(rest(club, path).json()) == 20
        found = graphql(club, token=stranger).json()["data"]["organization"]
        assert found["membersWithRole"]["totalCount"] == 0

    def test_a_link_names_every_page_by_the_organization_s_id(
        self, organization: SandboxOrganization
    ) -> None:
        page = rest(organization, f"/orgs/{organization.login}/members?per_page=50&page=3")
        assert set(page.links) == {"prev", "next", "last", "first"}
        assert f"/organizations/{organization.id}/members" in page.links["next"]["url"]
        assert "page=5" in page.links["last"]["url"]

    def test_one_page_has_no_link(self, sandbox: SandboxControl) -> None:
        small = sandbox.organization(size=3)
        assert "Link" not in rest(small, f"/orgs/{small.login}/members").headers

    def test_a_page_goes_on_where_it_was_while_people_come_and_go(
        self, organization: SandboxOrganization
    ) -> None:
        first = graphql(organization).json()["data"]["organization"]["membersWithRole"]
        read = [edge["node"] for edge in first["edges"]]
        organization.remove(read[50]["login"])
        second = graphql(organization, after=first["pageInfo"]["endCursor"]).json()["data"]
        rest_of_them = second["organization"]["membersWithRole"]["edges"]
        following = sorted(organization.members())[99:199]
        assert [edge["node"]["databaseId"] for edge in rest_of_them] == following


class TestRepositories:
    def test_private_ones_need_the_scope_and_the_membership(
        self, sandbox: SandboxControl, stranger: str
    ) -> None:
        owner = sandbox.organization(size=5, repositories=40)
        path = f"/orgs/{owner.login}/repos?per_page=100"
        everything = rest(owner, path).json()
        assert len(everything) == 40
        public = {one["id"] for one in everything if not one["private"]}
        assert 0 < len(public) < 40
        without_scope = sandbox.token(owner.owner, "read:org")
        for token in (stranger, without_scope):
            assert {one["id"] for one in rest(owner, path, token=token).json()} == public

    def test_they_sort_as_asked(self, sandbox: SandboxControl) -> None:
        owner = sandbox.organization(size=5, repositories=40)
        path = f"/orgs/{owner.login}/repos?per_page=100"
        pushed = [one["pushed_at"] for one in rest(owner, f"{path}&sort=pushed").json()]
        assert pushed == sorted(pushed, reverse=True)
        names = [one["full_name"] for one in rest(owner, f"{path}&sort=full_name").json()]
        assert names == sorted(names)

    def test_one_is_found_by_name_and_by_id(self, organization: SandboxOrganization) -> None:
        [repository, *_] = rest(organization, f"/orgs/{organization.login}/repos").json()
        assert rest(organization, f"/repos/{repository['full_name']}").json() == repository
        assert rest(organization, f"/repositories/{repository['id']}").json() == repository
        assert repository["permissions"]["admin"]

    def test_collaborators_have_permissions_and_a_role(
        self, organization: SandboxOrganization, stranger: str
    ) -> None:
        repositories = rest(organization, f"/orgs/{organization.login}/repos").json()
        path = f"/repos/{repositories[0]['full_name']}/collaborators"
        found = rest(organization, f"{path}?per_page=100").json()
        owner = next(one for one in found if one["login"] == organization.owner)
        assert owner["role_name"] == "admin"
        assert owner["permissions"]["pull"]
        assert {one["id"] for one in found} <= set(organization.members())
        assert rest(organization, path, token=stranger).status_code in (403, 404)


class TestLimits:
    def test_asking_for_the_limit_costs_nothing(self, organization: SandboxOrganization) -> None:
        first = rest(organization, "/rate_limit").json()["resources"]["core"]["used"]
        assert rest(organization, "/rate_limit").json()["resources"]["core"]["used"] == first
        rest(organization, "/user")
        assert rest(organization, "/rate_limit").json()["resources"]["core"]["used"] == first + 1

    def test_the_two_buckets_are_apart(self, organization: SandboxOrganization) -> None:
        graphql(organization)
        resources = rest(organization, "/rate_limit").json()["resources"]
        assert resources["graphql"]["used"] == 1
        assert resources["core"]["used"] == 0

    def test_an_answer_already_known_is_304_and_free(
        self, organization: SandboxOrganization
    ) -> None:
        first = rest(organization, "/user")
        again = rest(organization, "/user", **{"If-None-Match": first.headers["ETag"]})
        assert again.status_code == 304
        assert again.headers["X-RateLimit-Used"] == first.headers["X-RateLimit-Used"]


class TestGraphQLRefusals:
    @pytest.mark.parametrize(
        ("arguments", "kind"),
        [
            ("first: 101", "EXCESSIVE_PAGINATION"),
            ("last: 101", "EXCESSIVE_PAGINATION"),
            ("first: 0", "INVALID_PAGINATION"),
            ('after: "x"', "MISSING_PAGINATION_BOUNDARIES"),
            ('first: 1, after: "x"', "INVALID_CURSOR_ARGUMENTS"),
        ],
    )
    def test_a_page_that_cannot_be_is_refused(
        self, arguments: str, kind: str, organization: SandboxOrganization
    ) -> None:
        query = (
            f"query($login: String!) {{ organization(login: $login) {{ "
            f"membersWithRole({arguments}) {{ totalCount }} }} }}"
        )
        answer = graphql(organization, query=query).json()
        assert answer["data"] == {"organization": None}
        assert [error["type"] for error in answer["errors"]] == [kind]

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("{ viewer { suspendedAt } }", "undefinedField"),
            ("{ organization { id } }", "missingRequiredArguments"),
            ('{ user(login: "a", id: 1) { id } }', "argumentNotAccepted"),
        ],
    )
    def test_a_query_that_does_not_fit_is_refused_as_a_whole(
        self, query: str, code: str, organization: SandboxOrganization
    ) -> None:
        answer = graphql(organization, query=query).json()
        assert "data" not in answer
        assert answer["errors"][0]["extensions"]["code"] == code

    @pytest.mark.parametrize("kind", ["organization", "user"])
    def test_an_unknown_login_is_null_with_an_error(
        self, kind: str, organization: SandboxOrganization
    ) -> None:
        answer = graphql(organization, query=f'{{ {kind}(login: "nobody-at-all") {{ id }} }}')
        assert answer.json()["data"] == {kind: None}
        assert answer.json()["errors"][0]["type"] == "NOT_FOUND"

    @pytest.mark.parametrize("body", ["not json", "[]", "{}", '{"query": "{}", "variables": 1}'])
    def test_a_body_that_is_no_question_is_400(
        self, body: str, organization: SandboxOrganization
    ) -> None:
        headers = {**AGENT, "Authorization": f"Bearer {organization.token}"}
        url = f"{organization.control.url}/api/graphql"
        assert requests.post(url, data=body, headers=headers, timeout=30).status_code == 400

    def test_members_need_their_scope(
        self, sandbox: SandboxControl, organization: SandboxOrganization
    ) -> None:
        answer = graphql(organization, token=sandbox.token(organization.owner, "user:email"))
        errors: list[dict[str, Any]] = answer.json()["errors"]
        assert {error["type"] for error in errors} == {"INSUFFICIENT_SCOPES"}
