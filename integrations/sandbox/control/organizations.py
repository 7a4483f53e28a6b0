"""Control API: make organisations, and change who is in them."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from integrations.sandbox.control.reading import (
    find_organization,
    find_person,
    optional_number,
    read_json,
    read_role,
    required,
    whole_number,
)
from integrations.sandbox.state import Sandbox
from integrations.sandbox.world.cast import DEMO_OWNER
from integrations.sandbox.world.organizations import Organization
from integrations.sandbox.world.people import LoginTakenError, Person
from integrations.sandbox.world.repositories import REPOSITORIES_MAX
from integrations.sandbox.world.world import OrganizationExistsError

# Twice what the largest test asks for; each member is a number of 8 bytes.
MEMBERS_MAX = 200_000
_PERSON_FACTS = ("name", "email", "two_factor")


class Organizations:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        one = "/_sandbox/organizations/{organization}"
        return [
            Route("/_sandbox/organizations", self.list_all, methods=["GET"]),
            Route("/_sandbox/organizations", self.create, methods=["POST"]),
            Route(one, self.change, methods=["POST", "PATCH"]),
            Route(one, self.delete, methods=["DELETE"]),
            Route(f"{one}/members", self.list_members, methods=["GET"]),
            Route(f"{one}/members", self.add_member, methods=["POST"]),
            Route(f"{one}/members/{{login}}", self.change_member, methods=["PATCH"]),
            Route(f"{one}/members/{{login}}", self.remove_member, methods=["DELETE"]),
            Route("/_sandbox/people", self.create_person, methods=["POST"]),
        ]

    async def list_all(self, request: Request) -> Response:
        return JSONResponse([_facts(one) for one in self._sandbox.world.organizations()])

    async def create(self, request: Request) -> Response:
        facts = await read_json(request)
        login = required(facts, "login")
        size = whole_number(facts, "size", least=1, most=MEMBERS_MAX)
        organization_id = optional_number(facts, "id", least=1)
        seed = optional_number(facts, "seed", least=0)
        repository_count = whole_number(
            {"repositories": 5, **facts}, "repositories", least=0, most=REPOSITORIES_MAX
        )
        owner_login = facts.get("owner") or DEMO_OWNER
        people = self._sandbox.world.people
        owner = people.find(owner_login) or people.add(owner_login)
        try:
            organization = self._sandbox.world.add_organization(
                login,
                size=size,
                owner=owner,
                seed=seed,
                organization_id=organization_id,
                repository_count=repository_count,
                name=facts.get("name"),
                concealed=facts.get("concealed", False),
            )
        except OrganizationExistsError as error:
            raise HTTPException(409, f"{login} exists") from error
        return JSONResponse({**_facts(organization), "owner": owner.login}, status_code=201)

    async def change(self, request: Request) -> Response:
        organization = find_organization(self._sandbox, request.path_params["organization"])
        facts = await read_json(request)
        before = organization.login
        try:
            self._sandbox.world.change_organization(
                organization,
                login=facts.get("login"),
                new_id=optional_number(facts, "id", least=1),
            )
        except OrganizationExistsError as error:
            raise HTTPException(409, str(error)) from error
        organization.name = facts.get("name", organization.name)
        organization.concealed = facts.get("concealed", organization.concealed)
        if organization.login != before:
            self._sandbox.events.organization_renamed(organization, before)
        return JSONResponse(_facts(organization))

    async def delete(self, request: Request) -> Response:
        """Delete the organisation: the App is told of it and of its installation's end."""
        organization = find_organization(self._sandbox, request.path_params["organization"])
        self._sandbox.events.organization_deleted(organization)
        installed = self._sandbox.installations.on(organization.id)
        if installed is not None:
            self._sandbox.uninstall(installed)
        self._sandbox.world.delete_organization(organization)
        return Response(status_code=204)

    async def list_members(self, request: Request) -> Response:
        organization = find_organization(self._sandbox, request.path_params["organization"])
        people = self._sandbox.world.people
        return JSONResponse([_member(organization, people[one]) for one in organization.member_ids])

    async def add_member(self, request: Request) -> Response:
        """Let a known login or a new person in; `state` "pending" only invites them."""
        organization = find_organization(self._sandbox, request.path_params["organization"])
        facts = await read_json(request)
        role = read_role(facts, default="member")
        people = self._sandbox.world.people
        login = facts.get("login") or f"newcomer-to-{organization.login}-{people.count()}"
        person = people.find(login) or people.add(login)
        person = people.change(person, **_person_facts(facts))
        if facts.get("state") == "pending":
            organization.pending[person.id] = role
            self._sandbox.events.member_invited(organization, person)
        else:
            is_new = not organization.has(person.id)
            organization.add(person.id, role=role)
            if is_new:
                self._sandbox.events.member_added(organization, person)
        return JSONResponse(_member(organization, person), status_code=201)

    async def change_member(self, request: Request) -> Response:
        organization = find_organization(self._sandbox, request.path_params["organization"])
        person = self._member_named(organization, request.path_params["login"])
        facts = await read_json(request)
        role = read_role(facts, default=organization.role_of(person.id))
        changes = _person_facts(facts)
        if "login" in facts:
            changes["login"] = facts["login"]
        try:
            person = self._sandbox.world.people.change(person, **changes)
        except LoginTakenError as error:
            raise HTTPException(409, f"{error} is taken") from error
        organization.set_role(person.id, role=role)
        return JSONResponse(_member(organization, person))

    async def remove_member(self, request: Request) -> Response:
        organization = find_organization(self._sandbox, request.path_params["organization"])
        person = self._member_named(organization, request.path_params["login"])
        if organization.has(person.id):
            self._sandbox.events.member_removed(organization, person)
        organization.remove(person.id)
        return Response(status_code=204)

    async def create_person(self, request: Request) -> Response:
        facts = await read_json(request)
        try:
            person = self._sandbox.world.people.add(
                required(facts, "login"), **_person_facts(facts)
            )
        except LoginTakenError as error:
            raise HTTPException(409, f"{error} is taken") from error
        return JSONResponse({"id": person.id, "login": person.login}, status_code=201)

    def _member_named(self, organization: Organization, login: str) -> Person:
        person = find_person(self._sandbox, login)
        if not organization.has(person.id) and person.id not in organization.pending:
            raise HTTPException(404, f"{login} is not a member of {organization.login}")
        return person


def _person_facts(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in _PERSON_FACTS if name in facts}


def _facts(organization: Organization) -> dict[str, Any]:
    return {
        "id": organization.id,
        "login": organization.login,
        "name": organization.name,
        "size": len(organization.member_ids),
    }


def _member(organization: Organization, person: Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "login": person.login,
        "name": person.name,
        "email": person.email,
        "role": organization.role_of(person.id),
        "two_factor": person.two_factor,
    }
