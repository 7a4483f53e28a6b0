"""The members of an organisation through GraphQL: one point and one request a page.

https://docs.github.com/graphql/reference/objects#organizationmemberconnection
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from integrations.github.errors import NotFound
from integrations.github.http import GitHubClient
from integrations.github.members import ROLES, RemoteMember
from integrations.github.problems import GraphQLProblem
from integrations.github.reading import (
    JSON,
    LOGIN_LENGTH,
    NAME_LENGTH,
    JSONObject,
    as_object,
    read_count,
    read_email,
    read_flag,
    read_list,
    read_object,
    read_optional_flag,
    read_optional_id,
    read_required_text,
    read_text,
    read_url,
)

MEMBERS_WITH_EMAIL: Final = """\
query Members($organization: String!, $first: Int!, $after: String) {
  organization(login: $organization) {
    databaseId
    login
    membersWithRole(first: $first, after: $after) {
      totalCount
      pageInfo { hasNextPage endCursor }
      edges {
        role
        hasTwoFactorEnabled
        node {
          databaseId
          login
          name
          email
          avatarUrl
        }
      }
    }
  }
  rateLimit { cost }
}
"""
# GitHub refuses the whole document, not the field, to a token that may not read e-mail addresses.
MEMBERS_WITHOUT_EMAIL: Final = MEMBERS_WITH_EMAIL.replace("          email\n", "")


@dataclass(frozen=True)
class MemberPage:
    """One page of members, and where the next one begins."""

    # None where GitHub keeps it to itself.
    organization_id: int | None
    organization_login: str
    # Of the whole list, as GitHub counted it for this page.
    total_count: int
    members: tuple[RemoteMember, ...]
    # People who are there but whom GitHub didn't show: nothing may be concluded from their absence.
    skipped_count: int
    end_cursor: str | None
    has_next: bool
    # What the page cost of the hour's points; 0 where limits are off.
    points: int
    errors: tuple[GraphQLProblem, ...] = ()


def member_page(
    client: GitHubClient,
    *,
    organization: str,
    after: str | None,
    first: int = 100,
    with_email: bool,
) -> MemberPage:
    """Read the page that begins after a cursor; None is the first.

    Raises MissingScopes when `with_email` asks for more than was granted, PageTooLarge when
    `first` is too many, and the other GitHubErrors.
    """
    answer = client.graphql(
        MEMBERS_WITH_EMAIL if with_email else MEMBERS_WITHOUT_EMAIL,
        {"organization": organization, "first": first, "after": after},
    )
    if answer.data.get("organization") is None:
        raise NotFound("no such organisation, or none that this token may see", status=200)
    record = read_object(answer.data, "organization")
    connection = read_object(record, "membersWithRole")
    page_info = read_object(connection, "pageInfo")
    edges = read_list(connection, "edges")
    members = tuple(member for edge in edges if (member := _read_edge(edge)) is not None)
    return MemberPage(
        organization_id=read_optional_id(record, "databaseId"),
        organization_login=read_required_text(record, "login", length=LOGIN_LENGTH),
        total_count=read_count(connection, "totalCount"),
        members=members,
        skipped_count=len(edges) - len(members),
        end_cursor=read_text(page_info, "endCursor") or None,
        has_next=read_flag(page_info, "hasNextPage"),
        points=_points(answer.data),
        errors=answer.errors,
    )


def _read_edge(edge: JSON) -> RemoteMember | None:
    """Read one person; None for what GitHub leaves null: the edge, the person, or their id."""
    if edge is None:
        return None
    record = as_object(edge)
    if record.get("node") is None:
        return None
    node = read_object(record, "node")
    github_id = read_optional_id(node, "databaseId")
    if github_id is None:
        return None
    return _read_member(record, node, github_id=github_id)


def _read_member(edge: JSONObject, node: JSONObject, *, github_id: int) -> RemoteMember:
    return RemoteMember(
        github_id=github_id,
        github_username=read_required_text(node, "login", length=LOGIN_LENGTH),
        name=read_text(node, "name", length=NAME_LENGTH),
        email=read_email(node, "email"),
        avatar_url=read_url(node, "avatarUrl"),
        role=ROLES.get(read_text(edge, "role").lower()),
        two_factor_enabled=read_optional_flag(edge, "hasTwoFactorEnabled"),
    )


def _points(data: JSONObject) -> int:
    if data.get("rateLimit") is None:
        return 0
    return read_count(read_object(data, "rateLimit"), "cost")
