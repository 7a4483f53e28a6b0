"""REST endpoints about people: /user, /users/{login}, /user/{id}, and where they belong."""

from __future__ import annotations

from starlette.responses import Response

from integrations.sandbox.api.answers import GitHubJSON, Refusal, not_found
from integrations.sandbox.api.calls import Call
from integrations.sandbox.api.limits import RESOURCES
from integrations.sandbox.rest import shapes
from integrations.sandbox.rest.paging import page_of
from integrations.sandbox.state import Sandbox
from integrations.sandbox.world.organizations import Organization, Role
from integrations.sandbox.world.people import Person


def authenticated_person(call: Call) -> Person:
    if call.viewer.installation is not None:
        raise Refusal(403, "Resource not accessible by integration")
    if call.viewer.person is None:
        raise Refusal(401, "Requires authentication")
    return call.viewer.person


def show_authenticated_user(sandbox: Sandbox, call: Call) -> Response:
    return GitHubJSON(shapes.full_user(authenticated_person(call), origin=call.origin))


def show_user(sandbox: Sandbox, call: Call) -> Response:
    person = sandbox.world.people.find(call.path_params["login"])
    if person is None:
        raise not_found()
    return GitHubJSON(shapes.full_user(person, origin=call.origin))


def show_user_by_id(sandbox: Sandbox, call: Call) -> Response:
    person = sandbox.world.people.get(call.path_params["user_id"])
    if person is None:
        raise not_found()
    return GitHubJSON(shapes.full_user(person, origin=call.origin))


def list_own_organizations(sandbox: Sandbox, call: Call) -> Response:
    person = authenticated_person(call)
    if not call.viewer.scopes & {"read:org", "user"}:
        raise Refusal(
            403, "You need at least read:org scope or user scope to list your organizations."
        )
    organizations = [] if call.viewer.is_outsider else sandbox.world.organizations_of(person.id)
    return page_of(
        call, organizations, lambda one: shapes.simple_organization(one, origin=call.origin)
    )


def list_own_memberships(sandbox: Sandbox, call: Call) -> Response:
    person = _person_who_reads_organizations(call)
    wanted = call.query.get("state")
    if wanted not in (None, "active", "pending"):
        raise Refusal(422, "Validation Failed", errors=[{"field": "state", "code": "invalid"}])
    found = [
        (organization, affiliation)
        for organization in sandbox.world.organizations()
        if (affiliation := affiliation_of(organization, person.id)) is not None
        and wanted in (None, affiliation[0])
        and not call.viewer.is_outsider
        and call.viewer.reaches(organization)
    ]
    return page_of(
        call,
        found,
        lambda one: shapes.membership(
            one[0], person=person, state=one[1][0], role=one[1][1], origin=call.origin
        ),
    )


def show_own_membership(sandbox: Sandbox, call: Call) -> Response:
    person = _person_who_reads_organizations(call)
    organization = sandbox.world.find_organization(call.path_params["organization"])
    if organization is None or call.viewer.is_outsider or not call.viewer.reaches(organization):
        raise not_found()
    affiliation = affiliation_of(organization, person.id)
    if affiliation is None:
        raise not_found()
    state, role = affiliation
    return GitHubJSON(
        shapes.membership(organization, person=person, state=state, role=role, origin=call.origin)
    )


def affiliation_of(organization: Organization, person_id: int) -> tuple[str, Role] | None:
    """Return state and role of somebody's membership, None for a stranger."""
    if organization.has(person_id):
        return "active", organization.role_of(person_id)
    if person_id in organization.pending:
        return "pending", organization.pending[person_id]
    return None


def show_rate_limit(sandbox: Sandbox, call: Call) -> Response:
    person = call.viewer.person
    resources = {}
    for resource in RESOURCES:
        bucket = call.bucket
        if person is not None:
            key = f"person {person.id}"
            bucket = sandbox.limits.bucket(key, resource, with_token=True)
        if bucket is not None:
            resources[resource] = {
                "limit": bucket.limit,
                "used": bucket.used,
                "remaining": bucket.remaining,
                "reset": bucket.reset_at,
            }
    return GitHubJSON({"resources": resources, "rate": resources["core"]})


def _person_who_reads_organizations(call: Call) -> Person:
    person = authenticated_person(call)
    if "read:org" not in call.viewer.scopes:
        raise Refusal(403, "You need at least read:org scope to list your memberships.")
    return person
