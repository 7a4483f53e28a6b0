"""Control API: teams, guests, invitations by e-mail, and verified addresses."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from integrations.sandbox.control.reading import (
    find_organization,
    find_person,
    read_json,
    read_role,
    required,
)
from integrations.sandbox.rest import shapes
from integrations.sandbox.state import Sandbox
from integrations.sandbox.world.organizations import Organization
from integrations.sandbox.world.teams import Team, new_team


class Teams:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        one = "/_sandbox/organizations/{organization}"
        return [
            Route(f"{one}/guests", self.add_guest, methods=["POST"]),
            Route(f"{one}/invitations", self.invite, methods=["POST"]),
            Route(f"{one}/verified_emails", self.verify, methods=["PUT"]),
            Route(f"{one}/teams", self.add_team, methods=["POST"]),
            Route(f"{one}/teams/{{slug}}", self.remove_team, methods=["DELETE"]),
            Route(f"{one}/teams/{{slug}}/members/{{login}}", self.join, methods=["PUT"]),
            Route(f"{one}/teams/{{slug}}/members/{{login}}", self.leave, methods=["DELETE"]),
        ]

    async def add_guest(self, request: Request) -> Response:
        """Make somebody an outside collaborator."""
        facts = await read_json(request)
        guest = find_person(self._sandbox, required(facts, "login"))
        self._named(request).guests.add(guest.id)
        return Response(status_code=204)

    async def invite(self, request: Request) -> Response:
        facts = await read_json(request)
        role = read_role(facts, default="member")
        self._named(request).invited_emails[required(facts, "email")] = role
        return Response(status_code=204)

    async def verify(self, request: Request) -> Response:
        """Set whose addresses of the organisation's own domains are known: login to addresses."""
        for login, emails in (await read_json(request)).items():
            person = find_person(self._sandbox, login)
            self._named(request).verified_emails[person.id] = list(emails)
        return Response(status_code=204)

    async def add_team(self, request: Request) -> Response:
        organization, facts = self._named(request), await read_json(request)
        ids = [find_person(self._sandbox, login).id for login in facts.get("members", ())]
        number = 1 + max((one.id % 100 for one in organization.teams), default=-1)
        made = new_team(organization, required(facts, "name"), ids, number=number)
        organization.teams.append(made)
        return JSONResponse({"id": made.id, "slug": made.slug}, status_code=201)

    async def remove_team(self, request: Request) -> Response:
        organization = self._named(request)
        organization.teams.remove(self._team(request, organization))
        return Response(status_code=204)

    async def join(self, request: Request) -> Response:
        return self._move(request, "added")

    async def leave(self, request: Request) -> Response:
        return self._move(request, "removed")

    def _move(self, request: Request, action: str) -> Response:
        organization = self._named(request)
        team = self._team(request, organization)
        person = find_person(self._sandbox, request.path_params["login"])
        if action == "added":
            team.member_ids = sorted({*team.member_ids, person.id})
        elif person.id in team.member_ids:
            team.member_ids.remove(person.id)
        events = self._sandbox.events
        facts = {
            "scope": "team",
            "member": shapes.simple_user(person, origin=events.origin),
            "team": {"id": team.id, "name": team.name, "slug": team.slug},
        }
        events.tell("membership", action, organization, facts)
        return Response(status_code=204)

    def _named(self, request: Request) -> Organization:
        return find_organization(self._sandbox, request.path_params["organization"])

    def _team(self, request: Request, organization: Organization) -> Team:
        slug = request.path_params["slug"]
        for team in organization.teams:
            if team.slug == slug:
                return team
        raise HTTPException(404, f"no team {slug}")
