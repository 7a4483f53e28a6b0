"""REST endpoints about repositories and who can reach them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from integrations.sandbox.api.answers import GitHubJSON, Refusal, not_found
from integrations.sandbox.api.calls import Call
from integrations.sandbox.rest import shapes
from integrations.sandbox.rest.organizations import find_organization
from integrations.sandbox.rest.paging import page_of
from integrations.sandbox.rest.people import authenticated_person
from integrations.sandbox.state import Sandbox
from integrations.sandbox.world.repositories import (
    PERMISSIONS,
    Repository,
    collaborators_of,
    repositories_of,
)

_TYPES = ("all", "public", "private", "forks", "sources", "member")
_SORT_KEYS: dict[str, Callable[[Repository], Any]] = {
    "created": lambda one: one.created_at,
    "updated": lambda one: one.pushed_at,
    "pushed": lambda one: one.pushed_at,
    "full_name": lambda one: one.full_name.lower(),
}


def list_repositories(sandbox: Sandbox, call: Call) -> Response:
    organization = find_organization(sandbox, call)
    wanted = call.query.get("type", "all")
    sort = call.query.get("sort", "created")
    if wanted not in _TYPES or sort not in _SORT_KEYS:
        raise Refusal(422, "Validation Failed", errors=[{"code": "invalid"}])
    # Descending, but for full_name.
    # https://docs.github.com/rest/repos/repos#list-organization-repositories
    direction = call.query.get("direction", "asc" if sort == "full_name" else "desc")
    found = [
        one
        for one in repositories_of(organization)
        if call.viewer.sees(one) and _is_of_type(one, wanted)
    ]
    found.sort(key=_SORT_KEYS[sort], reverse=direction == "desc")
    return page_of(
        call,
        found,
        lambda one: shapes.repository(one, viewer=call.viewer, origin=call.origin),
        path=f"/api/v3/organizations/{organization.id}/repos",
    )


def show_repository(sandbox: Sandbox, call: Call) -> Response:
    found = _find_repository(sandbox, call)
    return GitHubJSON(shapes.repository(found, viewer=call.viewer, origin=call.origin))


def list_collaborators(sandbox: Sandbox, call: Call) -> Response:
    found = _find_repository(sandbox, call)
    authenticated_person(call)
    if not call.viewer.may_list_collaborators(found):
        raise Refusal(403, "Must have push access to view repository collaborators.")
    least = call.query.get("permission", "pull")
    if least not in PERMISSIONS:
        raise Refusal(422, "Validation Failed", errors=[{"field": "permission"}])
    nobody = call.query.get("affiliation") == "outside"
    reach = {} if nobody else collaborators_of(found)
    strong_enough = PERMISSIONS[PERMISSIONS.index(least) :]
    return page_of(
        call,
        [item for item in reach.items() if item[1] in strong_enough],
        lambda item: shapes.collaborator(
            sandbox.world.people[item[0]], permission=item[1], origin=call.origin
        ),
        path=f"/api/v3/repositories/{found.id}/collaborators",
    )


def _find_repository(sandbox: Sandbox, call: Call) -> Repository:
    """Return the repository that the address names; one the viewer may not see isn't there."""
    if "repository_id" in call.path_params:
        found = sandbox.world.repository_by_id(call.path_params["repository_id"])
    else:
        found = sandbox.world.find_repository(
            call.path_params["owner"], call.path_params["repository"]
        )
    if found is None or not call.viewer.sees(found):
        raise not_found()
    return found


def _is_of_type(repository: Repository, wanted: str) -> bool:
    if wanted == "forks":
        return False
    if wanted in ("public", "private"):
        return repository.private == (wanted == "private")
    return True
