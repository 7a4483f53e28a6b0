"""REST's JSON for people, organisations and repositories, with GitHub's field names."""

from __future__ import annotations

from typing import Any

from integrations.sandbox.api.viewers import Viewer
from integrations.sandbox.world.organizations import Organization
from integrations.sandbox.world.people import Person, node_id
from integrations.sandbox.world.repositories import PERMISSIONS, ROLE_NAMES, Repository

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_JOINED_AT = "2021-04-01T08:00:00Z"


def simple_user(person: Person, *, origin: str) -> dict[str, Any]:
    url = f"{origin}/api/v3/users/{person.login}"
    return {
        "login": person.login,
        "id": person.id,
        "node_id": node_id("U", person.id),
        "avatar_url": f"{origin}/avatars/{person.id}.svg",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{origin}/{person.login}",
        "organizations_url": f"{url}/orgs",
        "repos_url": f"{url}/repos",
        "type": "User",
        "user_view_type": "public",
        "site_admin": False,
    }


def full_user(person: Person, *, origin: str) -> dict[str, Any]:
    return simple_user(person, origin=origin) | {
        "name": person.name,
        "company": None,
        "blog": "",
        "location": None,
        "email": person.email or None,
        "bio": None,
        "public_repos": 0,
        "followers": 0,
        "following": 0,
        "created_at": _JOINED_AT,
        "updated_at": _JOINED_AT,
    }


def simple_organization(organization: Organization, *, origin: str) -> dict[str, Any]:
    url = f"{origin}/api/v3/orgs/{organization.login}"
    return {
        "login": organization.login,
        "id": organization.id,
        "node_id": node_id("O", organization.id),
        "url": url,
        "repos_url": f"{url}/repos",
        "members_url": f"{url}/members{{/member}}",
        "public_members_url": f"{url}/public_members{{/member}}",
        "avatar_url": f"{origin}/avatars/{organization.id}.svg",
        "description": f"{organization.name}, made up by the sandbox",
    }


def full_organization(organization: Organization, *, viewer: Viewer, origin: str) -> dict[str, Any]:
    facts = simple_organization(organization, origin=origin) | {
        "name": organization.name,
        "html_url": f"{origin}/{organization.login}",
        "type": "Organization",
        "public_repos": organization.repository_count,
        "followers": 0,
        "following": 0,
        "created_at": _JOINED_AT,
        "updated_at": _JOINED_AT,
    }
    if viewer.owns(organization) and "read:org" in viewer.scopes:
        facts["two_factor_requirement_enabled"] = False
        facts["plan"] = {
            "name": "team",
            "filled_seats": len(organization.member_ids),
            "seats": len(organization.member_ids) + 10,
        }
    return facts


def membership(
    organization: Organization, *, person: Person, state: str, role: str, origin: str
) -> dict[str, Any]:
    return {
        "url": f"{origin}/api/v3/orgs/{organization.login}/memberships/{person.login}",
        "state": state,
        "role": role,
        "organization_url": f"{origin}/api/v3/orgs/{organization.login}",
        "user": simple_user(person, origin=origin),
        "organization": simple_organization(organization, origin=origin),
    }


def repository(repository: Repository, *, viewer: Viewer, origin: str) -> dict[str, Any]:
    organization = repository.organization
    url = f"{origin}/api/v3/repos/{repository.full_name}"
    pushed_at = repository.pushed_at.strftime(_TIME_FORMAT)
    return {
        "id": repository.id,
        "node_id": node_id("R", repository.id),
        "name": repository.name,
        "full_name": repository.full_name,
        "private": repository.private,
        "visibility": "private" if repository.private else "public",
        "owner": simple_organization(organization, origin=origin) | {"type": "Organization"},
        "html_url": f"{origin}/{repository.full_name}",
        "description": repository.description,
        "fork": False,
        "url": url,
        "collaborators_url": f"{url}/collaborators{{/collaborator}}",
        "created_at": repository.created_at.strftime(_TIME_FORMAT),
        "updated_at": pushed_at,
        "pushed_at": pushed_at,
        "language": repository.language,
        "archived": repository.archived,
        "disabled": False,
        "default_branch": "main",
        "topics": [],
        "permissions": permissions(viewer.permission_on(repository)),
    }


def collaborator(person: Person, *, permission: str, origin: str) -> dict[str, Any]:
    return simple_user(person, origin=origin) | {
        "permissions": permissions(permission),
        "role_name": ROLE_NAMES.get(permission, permission),
    }


def permissions(strongest: str) -> dict[str, bool]:
    reach = PERMISSIONS.index(strongest)
    return {name: PERMISSIONS.index(name) <= reach for name in reversed(PERMISSIONS)}
