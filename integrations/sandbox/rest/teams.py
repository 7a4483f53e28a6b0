"""REST endpoints about people who are not simply members: invitations, guests, teams.

https://docs.github.com/rest/orgs/members#list-pending-organization-invitations
https://docs.github.com/rest/orgs/outside-collaborators
https://docs.github.com/rest/teams
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from integrations.sandbox.api.answers import Refusal, not_found
from integrations.sandbox.api.calls import Call
from integrations.sandbox.rest import shapes
from integrations.sandbox.rest.organizations import find_organization, integration_forbidden
from integrations.sandbox.rest.paging import page_of
from integrations.sandbox.state import Sandbox
from integrations.sandbox.world.organizations import Organization
from integrations.sandbox.world.teams import Team

_INVITED_AT = "2026-11-20T09:00:00Z"


def list_invitations(sandbox: Sandbox, call: Call) -> Response:
    organization = find_organization(sandbox, call)
    _require_owner(call, organization)
    listed: list[dict[str, Any]] = []
    for person_id, role in organization.pending.items():
        person = sandbox.world.people[person_id]
        listed.append(_invitation(call, person_id, login=person.login, email=None, role=role))
    for number, (email, role) in enumerate(organization.invited_emails.items()):
        listed.append(_invitation(call, 9_000_000 + number, login=None, email=email, role=role))
    path = f"/api/v3/organizations/{organization.id}/invitations"
    return page_of(call, listed, lambda one: one, path=path)


def _invitation(
    call: Call, number: int, *, login: str | None, email: str | None, role: str
) -> dict[str, Any]:
    return {
        "id": number,
        "login": login,
        "email": email,
        "role": "admin" if role == "admin" else "direct_member",
        "created_at": _INVITED_AT,
        "failed_at": None,
        "inviter": {"login": "demo-owner", "id": 1, "type": "User"},
        "team_count": 0,
        "invitation_teams_url": f"{call.origin}/api/v3/invitations/{number}/teams",
    }


def list_outside_collaborators(sandbox: Sandbox, call: Call) -> Response:
    organization = find_organization(sandbox, call)
    _require_owner(call, organization)
    return page_of(
        call,
        sorted(organization.guests),
        lambda one: shapes.simple_user(sandbox.world.people[one], origin=call.origin),
        path=f"/api/v3/organizations/{organization.id}/outside_collaborators",
    )


def list_teams(sandbox: Sandbox, call: Call) -> Response:
    organization = find_organization(sandbox, call)
    _require_member(call, organization)
    return page_of(
        call,
        organization.teams,
        lambda one: _team(call, organization, one),
        path=f"/api/v3/organizations/{organization.id}/teams",
    )


def list_team_members(sandbox: Sandbox, call: Call) -> Response:
    organization = find_organization(sandbox, call)
    _require_member(call, organization)
    slug = call.path_params["team_slug"]
    team = next((one for one in organization.teams if one.slug == slug), None)
    if team is None:
        raise not_found()
    role = call.query.get("role", "all")
    if role not in ("all", "maintainer", "member"):
        raise Refusal(422, "Validation Failed", errors=[{"field": "role", "code": "invalid"}])
    ids = [
        one
        for one in team.member_ids
        if role == "all" or (one in team.maintainer_ids) == (role == "maintainer")
    ]
    return page_of(
        call,
        ids,
        lambda one: shapes.simple_user(sandbox.world.people[one], origin=call.origin),
        path=f"/api/v3/organizations/{organization.id}/team/{team.id}/members",
    )


def list_members_of_team_by_id(sandbox: Sandbox, call: Call) -> Response:
    """Serve the address that the links of `list_team_members` lead to."""
    organization = find_organization(sandbox, call)
    wanted = call.path_params["team_id"]
    team = next((one for one in organization.teams if one.id == wanted), None)
    if team is None:
        raise not_found()
    call.request.path_params["team_slug"] = team.slug
    return list_team_members(sandbox, call)


def _team(call: Call, organization: Organization, team: Team) -> dict[str, Any]:
    url = f"{call.origin}/api/v3/organizations/{organization.id}/team/{team.id}"
    return {
        "id": team.id,
        "name": team.name,
        "slug": team.slug,
        "description": None,
        "privacy": "closed",
        "permission": "pull",
        "parent": None,
        "url": url,
        "html_url": f"{call.origin}/orgs/{organization.login}/teams/{team.slug}",
        "members_url": f"{url}/members{{/member}}",
    }


def _require_owner(call: Call, organization: Organization) -> None:
    if call.viewer.installation is not None:
        if not call.viewer.sees_concealed(organization):
            raise integration_forbidden("members=read")
        return
    if not call.viewer.sees_concealed(organization):
        raise not_found()
    if not call.viewer.owns(organization):
        raise Refusal(403, "You must be an admin to see this.")


def _require_member(call: Call, organization: Organization) -> None:
    if call.viewer.installation is not None and not call.viewer.sees_concealed(organization):
        raise integration_forbidden("members=read")
    if not call.viewer.sees_concealed(organization):
        raise not_found()
