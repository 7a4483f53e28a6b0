"""What we ask of GitHub's REST API: people, organisations, repositories, and the list of members.

https://docs.github.com/rest
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from integrations.github.addresses import segment
from integrations.github.errors import Invalid, NotFound, UnexpectedAnswer
from integrations.github.http import PAGE_SIZE, GitHubClient
from integrations.github.members import RemoteMember, Role, read_rest_user
from integrations.github.reading import (
    JSON,
    LOGIN_LENGTH,
    NAME_LENGTH,
    JSONObject,
    as_list,
    as_object,
    read_flag,
    read_id,
    read_instant,
    read_object,
    read_required_text,
    read_text,
    read_url,
)

REPOSITORY_NAME_LENGTH: Final = 100
FULL_NAME_LENGTH: Final = 201
LANGUAGE_LENGTH: Final = 100
PERMISSION_LENGTH: Final = 100

# The legs of the walk over an organisation's members, see `member_page`.
_OWNERS: Final = "admin"
_OTHERS: Final = "member"
_OWNERS_AGAIN: Final = "promoted"
_ROLE_OF_LEG: Final[dict[str, Role]] = {
    _OWNERS: "admin",
    _OTHERS: "member",
    _OWNERS_AGAIN: "admin",
}
_LEG_AFTER: Final = {_OWNERS: _OTHERS, _OTHERS: _OWNERS_AGAIN}

# Strongest first, from the permission's key to the role's name.
_PERMISSIONS: Final = {
    "admin": "admin",
    "maintain": "maintain",
    "push": "write",
    "triage": "triage",
    "pull": "read",
}


@dataclass(frozen=True)
class Viewer:
    """Whose token it is, and what it was granted; no scopes are told of fine-grained tokens."""

    id: int
    login: str
    name: str
    avatar_url: str
    scopes: frozenset[str] | None


@dataclass(frozen=True)
class OrganizationMembership:
    """A membership of the token's owner; `state` is "active" or "pending"."""

    organization_id: int
    login: str
    description: str
    avatar_url: str
    role: str
    state: str = "active"


@dataclass(frozen=True)
class MembershipList:
    """Memberships, and the organisations left out until the person signs in to them (SAML)."""

    memberships: tuple[OrganizationMembership, ...]
    hidden_organization_ids: tuple[int, ...]


@dataclass(frozen=True)
class Organization:
    id: int
    login: str
    name: str
    description: str
    avatar_url: str


@dataclass(frozen=True)
class RestMemberPage:
    """One page of the list of members; `next_cursor` is empty at its end."""

    members: tuple[RemoteMember, ...]
    skipped_count: int
    next_cursor: str


@dataclass(frozen=True)
class Repository:
    id: int
    name: str
    full_name: str
    private: bool
    archived: bool
    description: str
    html_url: str
    language: str
    default_branch: str
    pushed_at: datetime | None


@dataclass(frozen=True)
class Collaborator:
    id: int
    login: str
    avatar_url: str
    permission: str


def viewer(client: GitHubClient) -> Viewer:
    answer = client.get("/user")
    record = as_object(answer.body)
    return Viewer(
        id=read_id(record, "id"),
        login=read_required_text(record, "login", length=LOGIN_LENGTH),
        name=read_text(record, "name", length=NAME_LENGTH),
        avatar_url=read_url(record, "avatar_url"),
        scopes=answer.scopes,
    )


def user_by_id(client: GitHubClient, user_id: int) -> RemoteMember:
    """Return a person whatever their login is by now."""
    return read_rest_user(as_object(client.get(f"/user/{user_id}").body))


def active_memberships(client: GitHubClient) -> MembershipList:
    """List the organisations that the token's owner is an active member of."""
    memberships: list[OrganizationMembership] = []
    hidden: set[int] = set()
    for answer in client.pages("/user/memberships/orgs", state="active"):
        hidden.update(answer.sso_hidden_organization_ids)
        memberships.extend(_read_membership(item) for item in as_list(answer.body))
    return MembershipList(
        memberships=tuple(one for one in memberships if one.state == "active"),
        hidden_organization_ids=tuple(sorted(hidden)),
    )


def own_membership(client: GitHubClient, organization: str) -> OrganizationMembership:
    """Return the owner's membership, pending too. Raises NotFound for a stranger."""
    return _read_membership(client.get(f"/user/memberships/orgs/{segment(organization)}").body)


def organization(client: GitHubClient, login: str) -> Organization:
    record = as_object(client.get(f"/orgs/{segment(login)}").body)
    return Organization(
        id=read_id(record, "id"),
        login=read_required_text(record, "login", length=LOGIN_LENGTH),
        name=read_text(record, "name", length=NAME_LENGTH),
        description=read_text(record, "description"),
        avatar_url=read_url(record, "avatar_url"),
    )


def member_state(client: GitHubClient, organization: str, login: str) -> str | None:
    """Return "active" or "pending", None for somebody who is no member (or hidden from us)."""
    try:
        answer = client.get(f"/orgs/{segment(organization)}/memberships/{segment(login)}")
    except NotFound:
        return None
    return read_required_text(as_object(answer.body), "state")


def members(
    client: GitHubClient, organization: str, *, cursor: str = "", per_page: int = PAGE_SIZE
) -> Iterator[RestMemberPage]:
    """Walk the list of members from a cursor to its end; as for `member_page`."""
    while True:
        page = member_page(client, organization, cursor=cursor, per_page=per_page)
        yield page
        if not page.next_cursor:
            return
        if page.next_cursor == cursor:
            raise UnexpectedAnswer("the next page of members is this one again")
        cursor = page.next_cursor


def member_page(
    client: GitHubClient, organization: str, *, cursor: str = "", per_page: int = PAGE_SIZE
) -> RestMemberPage:
    """Read the page of members at a cursor, which is opaque; empty is the beginning.

    REST tells a role only by filtering for it, so the walk has three legs: owners, the others, and
    the owners again. Without the third, who is promoted between the first two is on neither list.
    Somebody may come twice; the later time is the truer one.
    """
    leg, _, url = (cursor or f"{_OWNERS}:").partition(":")
    if leg not in _ROLE_OF_LEG:
        raise Invalid("no cursor of this list")
    role = _ROLE_OF_LEG[leg]
    path = f"/orgs/{segment(organization)}/members"
    answer = client.get_url(url) if url else client.get(path, role=role, per_page=per_page)
    items = as_list(answer.body)
    following = _LEG_AFTER.get(leg)
    if answer.next_url:
        next_cursor = f"{leg}:{answer.next_url}"
    elif following:
        next_cursor = f"{following}:"
        if not items:
            return member_page(client, organization, cursor=next_cursor, per_page=per_page)
    else:
        next_cursor = ""
    people = [as_object(item) for item in items if item is not None]
    return RestMemberPage(
        members=tuple(read_rest_user(one, role=role) for one in people),
        skipped_count=len(items) - len(people),
        next_cursor=next_cursor,
    )


def organization_repositories(
    client: GitHubClient, organization: str
) -> Iterator[tuple[Repository, ...]]:
    """Walk the repositories that the token may see, a page at a time."""
    # By name: the order stays the same while somebody pushes, so that no page skips one.
    for answer in client.pages(f"/orgs/{segment(organization)}/repos", sort="full_name"):
        yield tuple(read_repository(item) for item in as_list(answer.body))


def repository(client: GitHubClient, repository_id: int) -> Repository:
    """Return a repository whatever its name is by now, and whoever owns it."""
    return read_repository(client.get(f"/repositories/{repository_id}").body)


def collaborators(client: GitHubClient, full_name: str) -> Iterator[tuple[Collaborator, ...]]:
    """Walk the people who can reach a repository; GitHub shows them to who may push."""
    owner, _, name = full_name.partition("/")
    path = f"/repos/{segment(owner)}/{segment(name)}/collaborators"
    for answer in client.pages(path):
        yield tuple(_read_collaborator(item) for item in as_list(answer.body))


def _read_membership(item: JSON) -> OrganizationMembership:
    record = as_object(item)
    about = read_object(record, "organization")
    return OrganizationMembership(
        organization_id=read_id(about, "id"),
        login=read_required_text(about, "login", length=LOGIN_LENGTH),
        description=read_text(about, "description"),
        avatar_url=read_url(about, "avatar_url"),
        role=read_required_text(record, "role"),
        state=read_required_text(record, "state"),
    )


def read_repository(item: JSON) -> Repository:
    record = as_object(item)
    return Repository(
        id=read_id(record, "id"),
        name=read_required_text(record, "name", length=REPOSITORY_NAME_LENGTH),
        full_name=read_required_text(record, "full_name", length=FULL_NAME_LENGTH),
        private=read_flag(record, "private"),
        archived=read_flag(record, "archived"),
        description=read_text(record, "description"),
        html_url=read_url(record, "html_url"),
        language=read_text(record, "language", length=LANGUAGE_LENGTH),
        default_branch=read_text(record, "default_branch", length=NAME_LENGTH),
        pushed_at=read_instant(record, "pushed_at"),
    )


def _read_collaborator(item: JSON) -> Collaborator:
    record = as_object(item)
    return Collaborator(
        id=read_id(record, "id"),
        login=read_required_text(record, "login", length=LOGIN_LENGTH),
        avatar_url=read_url(record, "avatar_url"),
        permission=_permission(record),
    )


def _permission(record: JSONObject) -> str:
    """Return the role's name, or on servers that don't send it the strongest permission."""
    role_name = read_text(record, "role_name", length=PERMISSION_LENGTH)
    if role_name:
        return role_name
    granted = read_object(record, "permissions")
    return next((word for key, word in _PERMISSIONS.items() if granted.get(key) is True), "")
