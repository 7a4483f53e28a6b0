"""Who else belongs to an organisation: the invited, outside collaborators, teams, own addresses.

https://docs.github.com/rest/orgs and https://docs.github.com/rest/teams
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from integrations.github.addresses import segment
from integrations.github.errors import NotFound
from integrations.github.http import GitHubClient
from integrations.github.reading import (
    EMAIL_LENGTH,
    JSON,
    LOGIN_LENGTH,
    NAME_LENGTH,
    as_list,
    as_object,
    read_email,
    read_flag,
    read_id,
    read_instant,
    read_list,
    read_object,
    read_optional_id,
    read_required_text,
    read_text,
    read_url,
)

SLUG_LENGTH: Final = 255
ROLE_LENGTH: Final = 40

VERIFIED_EMAILS: Final = """\
query VerifiedEmails($organization: String!, $first: Int!, $after: String) {
  organization(login: $organization) {
    membersWithRole(first: $first, after: $after) {
      pageInfo { hasNextPage endCursor }
      nodes { databaseId organizationVerifiedDomainEmails(login: $organization) }
    }
  }
}
"""


@dataclass(frozen=True)
class Invitation:
    """Somebody invited who has not answered yet; by login, or by e-mail alone."""

    id: int
    login: str
    email: str
    role: str
    invited_at: datetime | None
    inviter: str


@dataclass(frozen=True)
class SimpleUser:
    id: int
    login: str
    avatar_url: str


@dataclass(frozen=True)
class OrganizationTeam:
    id: int
    name: str
    slug: str


def invitations(client: GitHubClient, organization: str) -> list[Invitation]:
    """List the invitations that wait for an answer. Raises GitHubError.

    https://docs.github.com/rest/orgs/members#list-pending-organization-invitations
    """
    path = f"/orgs/{segment(organization)}/invitations"
    return [_read_invitation(item) for item in _items(client, path)]


def outside_collaborators(client: GitHubClient, organization: str) -> list[SimpleUser]:
    """List who reaches a repository of the organisation and is no member. Raises GitHubError.

    https://docs.github.com/rest/orgs/outside-collaborators
    """
    path = f"/orgs/{segment(organization)}/outside_collaborators"
    return [_read_user(item) for item in _items(client, path)]


def teams(client: GitHubClient, organization: str) -> list[OrganizationTeam]:
    """List the teams that the connection may see. Raises GitHubError.

    https://docs.github.com/rest/teams/teams#list-teams
    """
    path = f"/orgs/{segment(organization)}/teams"
    return [_read_team(item) for item in _items(client, path)]


def team_member_ids(client: GitHubClient, organization: str, team_slug: str) -> list[int]:
    """List who is in a team, by id; members of its child teams count. Raises GitHubError.

    https://docs.github.com/rest/teams/members#list-team-members
    """
    path = f"/orgs/{segment(organization)}/teams/{segment(team_slug)}/members"
    return [_read_user(item).id for item in _items(client, path)]


def verified_emails(client: GitHubClient, organization: str) -> Iterator[tuple[int, list[str]]]:
    """Walk the members with their addresses of the organisation's verified domains.

    One point a page of a hundred. Raises GitHubError.
    """
    after: str | None = None
    while True:
        answer = client.graphql(
            VERIFIED_EMAILS, {"organization": organization, "first": 100, "after": after}
        )
        if answer.data.get("organization") is None:
            raise NotFound("no such organisation, or none that this token may see", status=200)
        connection = read_object(read_object(answer.data, "organization"), "membersWithRole")
        for node in read_list(connection, "nodes"):
            if node is not None:
                yield from _read_verified(node)
        page = read_object(connection, "pageInfo")
        following = read_text(page, "endCursor")
        if not read_flag(page, "hasNextPage") or following in ("", after):
            return
        after = following


def _items(client: GitHubClient, path: str) -> Iterator[JSON]:
    for answer in client.pages(path):
        yield from as_list(answer.body)


def _read_verified(node: JSON) -> Iterator[tuple[int, list[str]]]:
    record = as_object(node)
    github_id = read_optional_id(record, "databaseId")
    listed = as_list(record.get("organizationVerifiedDomainEmails") or [])
    emails = [one for one in listed if isinstance(one, str) and len(one) <= EMAIL_LENGTH]
    if github_id is not None and emails:
        yield github_id, emails


def _read_invitation(item: JSON) -> Invitation:
    record = as_object(item)
    inviter = record.get("inviter")
    return Invitation(
        id=read_id(record, "id"),
        login=read_text(record, "login", length=LOGIN_LENGTH),
        email=read_email(record, "email"),
        role=read_text(record, "role", length=ROLE_LENGTH),
        invited_at=read_instant(record, "created_at"),
        inviter=read_text(inviter, "login", length=LOGIN_LENGTH)
        if isinstance(inviter, dict)
        else "",
    )


def _read_user(item: JSON) -> SimpleUser:
    record = as_object(item)
    return SimpleUser(
        id=read_id(record, "id"),
        login=read_required_text(record, "login", length=LOGIN_LENGTH),
        avatar_url=read_url(record, "avatar_url"),
    )


def _read_team(item: JSON) -> OrganizationTeam:
    record = as_object(item)
    return OrganizationTeam(
        id=read_id(record, "id"),
        name=read_required_text(record, "name", length=NAME_LENGTH),
        slug=read_required_text(record, "slug", length=SLUG_LENGTH),
    )
