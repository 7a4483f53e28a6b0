"""The answers to the fields of the schema, as plain dicts for graphql-core's default resolver.

Knows the world and who is asking; knows nothing of HTTP.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from integrations.sandbox.api.calls import Call
from integrations.sandbox.faults.shapes import bend
from integrations.sandbox.graph.errors import GitHubGraphQLError
from integrations.sandbox.world.organizations import Organization, Slice
from integrations.sandbox.world.people import Person, node_id
from integrations.sandbox.world.world import World

PAGE_SIZE_MAX = 100
_CURSOR_MARK = "cursor:v2:"


class Query:
    """The root of one query, for one viewer."""

    def __init__(self, world: World, call: Call) -> None:
        self._world = world
        self._call = call
        self._viewer = call.viewer

    def organization(self, _info: Any, *, login: str) -> dict[str, Any]:
        organization = self._world.find_organization(login)
        if organization is None:
            raise GitHubGraphQLError(
                "NOT_FOUND", f"Could not resolve to an Organization with the login of '{login}'."
            )

        def members(_info: Any, **arguments: Any) -> dict[str, Any]:
            return self._members(organization, arguments)

        changed = self._call.fault("organization_id_changed")
        organization_id = organization.id + (changed.params["by"] if changed else 0)
        return {
            "id": node_id("O", organization_id),
            "databaseId": organization_id,
            "login": organization.login,
            "name": organization.name,
            "membersWithRole": members,
            "requiresTwoFactorAuthentication": False if self._viewer.owns(organization) else None,
            "viewerCanAdminister": self._viewer.owns(organization),
            "viewerIsAMember": self._viewer.belongs_to(organization),
            **self._addresses(organization.login, organization_id),
        }

    def user(self, _info: Any, *, login: str) -> dict[str, Any]:
        person = self._world.people.find(login)
        if person is None:
            raise GitHubGraphQLError(
                "NOT_FOUND", f"Could not resolve to a User with the login of '{login}'."
            )
        return self._user(person)

    def viewer(self, _info: Any) -> dict[str, Any] | None:
        person = self._viewer.person
        return None if person is None else self._user(person)

    # GraphQL's name.
    def rateLimit(self, _info: Any, **_: Any) -> dict[str, Any] | None:
        bucket = self._call.bucket
        if bucket is None or self._call.fault("no_ratelimit_headers"):
            return None
        return {
            "cost": 1,
            "limit": bucket.limit,
            "nodeCount": self._call.page_size or 0,
            "remaining": bucket.remaining,
            "resetAt": datetime.fromtimestamp(bucket.reset_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "used": bucket.used,
        }

    def _members(self, organization: Organization, arguments: dict[str, Any]) -> dict[str, Any]:
        installation = self._viewer.installation
        if installation is not None and not self._viewer.sees_concealed(organization):
            raise GitHubGraphQLError("FORBIDDEN", "Resource not accessible by integration")
        ids = self._viewer.member_ids_of(organization)
        part = _slice(ids, arguments)
        edges = [self._edge(organization, person_id) for person_id in part.ids]

        def edge_before() -> dict[str, Any] | None:
            before = Slice.last(ids, 1, before=part.ids[0]).ids if part.ids else ()
            return self._edge(organization, before[0]) if before else None

        page = {
            "totalCount": len(ids),
            "edges": edges,
            "pageInfo": {
                "startCursor": edges[0]["cursor"] if edges else None,
                "endCursor": edges[-1]["cursor"] if edges else None,
                "hasNextPage": part.has_next,
                "hasPreviousPage": part.has_previous,
            },
            # For the faults; no field of the schema asks for them.
            "after": arguments.get("after"),
            "edge_before": edge_before,
        }
        page = bend(page, self._call.faults)
        page["nodes"] = lambda _info: [edge and edge["node"] for edge in page["edges"]]
        return page

    def _edge(self, organization: Organization, person_id: int) -> dict[str, Any]:
        person = self._world.people[person_id]
        belongs = self._viewer.belongs_to(organization)
        return {
            "cursor": _cursor(person_id),
            "role": organization.role_of(person_id).upper() if belongs else None,
            "hasTwoFactorEnabled": (person.two_factor if self._viewer.owns(organization) else None),
            "node": self._user(person),
        }

    def _user(self, person: Person) -> dict[str, Any]:
        viewer = self._viewer.person
        return {
            "id": node_id("U", person.id),
            "databaseId": person.id,
            "login": person.login,
            "name": person.name,
            "email": person.email,
            "isViewer": viewer is not None and viewer.id == person.id,
            "organizationVerifiedDomainEmails": partial(self._verified_emails, person),
            **self._addresses(person.login, person.id),
        }

    def _verified_emails(self, person: Person, _info: Any, *, login: str) -> list[str]:
        """Tell them to who belongs to the organisation, and nothing to others."""
        organization = self._world.find_organization(login)
        if organization is None or not self._viewer.sees_concealed(organization):
            return []
        return organization.verified_emails.get(person.id, [])

    def _addresses(self, login: str, number: int) -> dict[str, Any]:
        origin = self._call.origin
        return {
            "avatarUrl": f"{origin}/avatars/{number}.svg",
            "resourcePath": f"/{login}",
            "url": f"{origin}/{login}",
        }


def _slice(ids: Sequence[int], arguments: dict[str, Any]) -> Slice:
    first, last = arguments.get("first"), arguments.get("last")
    if first is None and last is None:
        raise GitHubGraphQLError(
            "MISSING_PAGINATION_BOUNDARIES",
            "You must provide a `first` or `last` value to properly paginate the "
            "`membersWithRole` connection.",
        )
    if first is None:
        count = _checked_count("last", last)
        return Slice.last(ids, count, before=_id_in(arguments.get("before")))
    count = _checked_count("first", first)
    return Slice.first(ids, count, after=_id_in(arguments.get("after")))


def _checked_count(name: str, count: Any) -> int:
    if count > PAGE_SIZE_MAX:
        raise GitHubGraphQLError(
            "EXCESSIVE_PAGINATION",
            f"Requesting {count} records on the `membersWithRole` connection exceeds the "
            f"`{name}` limit of {PAGE_SIZE_MAX} records.",
        )
    if count < 1:
        raise GitHubGraphQLError(
            "INVALID_PAGINATION",
            f"`{name}` on the `membersWithRole` connection cannot be less than one.",
        )
    return int(count)


def _cursor(person_id: int) -> str:
    return base64.b64encode(f"{_CURSOR_MARK}{person_id}".encode()).decode()


def _id_in(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor, validate=True).decode("ascii")
        return int(text.removeprefix(_CURSOR_MARK))
    except (binascii.Error, ValueError) as error:
        raise GitHubGraphQLError(
            "INVALID_CURSOR_ARGUMENTS", f"`{cursor}` does not appear to be a valid cursor."
        ) from error
