"""What webhooks say: the payload of each event, with GitHub's field names.

https://docs.github.com/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from integrations.sandbox.api.viewers import Viewer
from integrations.sandbox.apps.app import App, Installation
from integrations.sandbox.rest import shapes
from integrations.sandbox.world.organizations import Organization
from integrations.sandbox.world.people import Person, node_id
from integrations.sandbox.world.repositories import Repository
from integrations.sandbox.world.world import World

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def moment(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime(_TIME_FORMAT)


def installation(one: Installation, *, app: App, world: World, origin: str) -> dict[str, Any]:
    account = _account(one, world=world, origin=origin)
    return {
        "id": one.id,
        "account": account,
        "app_id": app.id,
        "app_slug": app.slug,
        "target_id": one.account_id,
        "target_type": account["type"],
        "permissions": one.permissions,
        "events": one.events,
        "repository_selection": one.repository_selection,
        "access_tokens_url": f"{origin}/api/v3/app/installations/{one.id}/access_tokens",
        "repositories_url": f"{origin}/api/v3/installation/repositories",
        "html_url": f"{origin}/organizations/{account['login']}/settings/installations/{one.id}",
        "created_at": moment(one.created_at),
        "updated_at": moment(one.suspended_at or one.created_at),
        "suspended_at": None if one.suspended_at is None else moment(one.suspended_at),
        "suspended_by": None,
    }


def _account(one: Installation, *, world: World, origin: str) -> dict[str, Any]:
    organization = world.organization_by_id(one.account_id) if one.is_organization else None
    if organization is not None:
        simple = shapes.simple_organization(organization, origin=origin)
        return simple | {"type": "Organization"}
    return shapes.simple_user(world.people[one.account_id], origin=origin)


def membership(organization: Organization, person: Person, *, origin: str) -> dict[str, Any]:
    whole = shapes.membership(
        organization,
        person=person,
        state="active",
        role=organization.role_of(person.id),
        origin=origin,
    )
    del whole["organization"]
    return {"membership": whole}


def invitation(organization: Organization, person: Person, *, origin: str) -> dict[str, Any]:
    return {
        "invitation": {
            "id": person.id,
            "login": person.login,
            "email": None,
            "role": "direct_member",
            "created_at": moment(datetime.now(UTC).timestamp()),
        },
        "user": shapes.simple_user(person, origin=origin),
    }


def repository(one: Repository, *, origin: str) -> dict[str, Any]:
    return {"repository": shapes.repository(one, viewer=Viewer(), origin=origin)}


def common(
    organization: Organization, installed: Installation, *, sender: Person, origin: str
) -> dict[str, Any]:
    """Return what every delivery about an organisation has."""
    return {
        "organization": shapes.simple_organization(organization, origin=origin),
        "installation": {"id": installed.id, "node_id": node_id("I", installed.id)},
        "sender": shapes.simple_user(sender, origin=origin),
    }
