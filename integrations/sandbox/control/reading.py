"""How the control API reads its requests and words its refusals."""

from __future__ import annotations

import json
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from integrations.sandbox.state import Sandbox
from integrations.sandbox.world.organizations import Organization, Role
from integrations.sandbox.world.people import Person

# Ids fit GraphQL's Int, which has 32 bits.
ID_MAX = 2**31 - 1


async def read_json(request: Request) -> dict[str, Any]:
    try:
        facts: Any = json.loads(await request.body() or b"{}")
    except ValueError as error:
        raise HTTPException(400, "The body is not JSON") from error
    if not isinstance(facts, dict):
        raise HTTPException(400, "The body is not a JSON object")
    return facts


def required(facts: dict[str, Any], name: str) -> Any:
    if facts.get(name) in (None, ""):
        raise HTTPException(422, f"{name} is required")
    return facts[name]


def whole_number(facts: dict[str, Any], name: str, *, least: int, most: int = ID_MAX) -> int:
    """Return the number, refusing what is none or out of bounds before anything is made of it."""
    value = required(facts, name)
    if not isinstance(value, int) or not least <= value <= most:
        raise HTTPException(422, f"{name} is a whole number from {least} to {most}")
    return value


def optional_number(
    facts: dict[str, Any], name: str, *, least: int, most: int = ID_MAX
) -> int | None:
    return whole_number(facts, name, least=least, most=most) if name in facts else None


def read_role(facts: dict[str, Any], *, default: Role) -> Role:
    role: Role = facts.get("role", default)
    if role not in ("admin", "member"):
        raise HTTPException(422, "role is admin or member")
    return role


def find_person(sandbox: Sandbox, login: str) -> Person:
    person = sandbox.world.people.find(login)
    if person is None:
        raise HTTPException(404, f"Nobody is called {login}")
    return person


def find_organization(sandbox: Sandbox, login: str) -> Organization:
    organization = sandbox.world.find_organization(login)
    if organization is None:
        raise HTTPException(404, f"No organisation is called {login}")
    return organization
