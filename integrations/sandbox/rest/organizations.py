"""REST endpoints about an organisation and who is in it."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import RedirectResponse, Response

from integrations.sandbox.api.answers import GitHubJSON, Refusal, no_content, not_found
from integrations.sandbox.api.calls import Call
from integrations.sandbox.rest import shapes
from integrations.sandbox.rest.paging import page_of
from integrations.sandbox.rest.people import affiliation_of, authenticated_person
from integrations.sandbox.state import Sandbox
from integrations.sandbox.world.organizations import Organization
from integrations.sandbox.world.people import Person

_ROLES = ("all", "admin", "member")
_FILTERS = ("all", "2fa_disabled", "2fa_insecure")


def find_organization(sandbox: Sandbox, call: Call) -> Organization:
    """Return the organisation that the address names, by login or by id, or refuse with 404."""
    named = call.path_params.get("organization")
    if named is not None:
        organization = sandbox.world.find_organization(named)
    else:
        organization = sandbox.world.organization_by_id(call.path_params["organization_id"])
    if organization is None:
        raise not_found()
    return organization


def show_organization(sandbox: Sandbox, call: Call) -> Response:
    organization = find_organization(sandbox, call)
    facts = shapes.full_organization(organization, viewer=call.viewer, origin=call.origin)
    changed = call.fault("organization_id_changed")
    if changed is not None:
        facts["id"] += changed.params["by"]
    return GitHubJSON(facts)


def list_members(sandbox: Sandbox, call: Call) -> Response:
    organization = find_organization(sandbox, call)
    role, two_factor = call.query.get("role", "all"), call.query.get("filter", "all")
    if role not in _ROLES or two_factor not in _FILTERS:
        raise Refusal(422, "Validation Failed", errors=[{"resource": "User", "code": "invalid"}])
    ids = _with_role(call.viewer.member_ids_of(organization), organization, role=role)
    if two_factor != "all":
        if not call.viewer.owns(organization):
            raise Refusal(422, "Only owners can use this filter.")
        ids = [one for one in ids if not sandbox.world.people[one].two_factor]
    return _people_page(sandbox, call, ids, path=f"{organization.id}/members")


def list_public_members(sandbox: Sandbox, call: Call) -> Response:
    organization = find_organization(sandbox, call)
    ids = organization.public_ids()
    return _people_page(sandbox, call, ids, path=f"{organization.id}/public_members")


def check_member(sandbox: Sandbox, call: Call) -> Response:
    """204 for a member, 404 for none, 302 to the public list when a stranger asks."""
    organization = find_organization(sandbox, call)
    person = _named_person(sandbox, call)
    if not call.viewer.sees_concealed(organization):
        path = f"/api/v3/orgs/{organization.login}/public_members/{person.login}"
        return RedirectResponse(f"{call.origin}{path}", status_code=302)
    if not organization.has(person.id):
        raise not_found()
    return no_content()


def check_public_member(sandbox: Sandbox, call: Call) -> Response:
    organization = find_organization(sandbox, call)
    person = _named_person(sandbox, call)
    if not organization.has(person.id) or not organization.is_public(person.id):
        raise not_found()
    return no_content()


def show_membership(sandbox: Sandbox, call: Call) -> Response:
    organization = find_organization(sandbox, call)
    if call.viewer.installation is None:
        authenticated_person(call)
    elif not call.viewer.installation.reads_members:
        raise integration_forbidden("members=read")
    login = call.path_params["username"]
    if not call.viewer.sees_concealed(organization):
        raise Refusal(
            403,
            f"You must be a member of {organization.login} to see membership information for "
            f"{login}.",
        )
    person = _named_person(sandbox, call)
    affiliation = affiliation_of(organization, person.id)
    if affiliation is None:
        raise not_found()
    state, role = affiliation
    return GitHubJSON(
        shapes.membership(organization, person=person, state=state, role=role, origin=call.origin)
    )


def integration_forbidden(permission: str) -> Refusal:
    """Return how GitHub says that an App lacks a permission, and which one would do."""
    return Refusal(
        403,
        "Resource not accessible by integration",
        headers={"X-Accepted-GitHub-Permissions": permission},
    )


def _with_role(ids: Sequence[int], organization: Organization, *, role: str) -> Sequence[int]:
    if role == "all":
        return ids
    return [person_id for person_id in ids if organization.role_of(person_id) == role]


def _people_page(sandbox: Sandbox, call: Call, ids: Sequence[int], *, path: str) -> Response:
    # GitHub's links name the organisation by its id, so they must be followed, not rebuilt.
    return page_of(
        call,
        ids,
        lambda one: shapes.simple_user(sandbox.world.people[one], origin=call.origin),
        path=f"/api/v3/organizations/{path}",
    )


def _named_person(sandbox: Sandbox, call: Call) -> Person:
    person = sandbox.world.people.find(call.path_params["username"])
    if person is None:
        raise not_found()
    return person
