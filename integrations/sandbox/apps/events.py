"""Tells the App what happens in the organisations that it is installed on, as GitHub would.

There is no webhook for a changed name, login, e-mail or role.
"""

from __future__ import annotations

from typing import Any

from integrations.sandbox.apps import payloads
from integrations.sandbox.apps.app import App, Installation, Installations
from integrations.sandbox.apps.deliveries import Deliveries, Delivery
from integrations.sandbox.rest import shapes
from integrations.sandbox.world.organizations import Organization
from integrations.sandbox.world.people import Person
from integrations.sandbox.world.world import World

# Sent to every App, whatever events it wants.
# https://docs.github.com/webhooks/webhook-events-and-payloads#installation
_ALWAYS = ("installation", "installation_repositories", "installation_target", "ping")


class Events:
    def __init__(self, world: World, app: App, installations: Installations) -> None:
        self._world = world
        self._installations = installations
        self.app = app
        self.deliveries = Deliveries(app)
        # Where the sandbox is reached, for the addresses in payloads; the first request tells.
        self.origin = "http://127.0.0.1"

    def member_added(self, organization: Organization, person: Person) -> None:
        facts = payloads.membership(organization, person, origin=self.origin)
        self.tell("organization", "member_added", organization, facts)

    def member_removed(self, organization: Organization, person: Person) -> None:
        facts = payloads.membership(organization, person, origin=self.origin)
        self.tell("organization", "member_removed", organization, facts)

    def member_invited(self, organization: Organization, person: Person) -> None:
        facts = payloads.invitation(organization, person, origin=self.origin)
        self.tell("organization", "member_invited", organization, facts)

    def organization_renamed(self, organization: Organization, before: str) -> None:
        changes = {"changes": {"login": {"from": before}}}
        self.tell("organization", "renamed", organization, changes)
        account = shapes.simple_organization(organization, origin=self.origin)
        facts = {"account": account | {"type": "Organization"}, "target_type": "Organization"}
        self.tell("installation_target", "renamed", organization, changes | facts)

    def organization_deleted(self, organization: Organization) -> None:
        self.tell("organization", "deleted", organization, {})

    def installation_changed(
        self, installed: Installation, action: str, *, requester: Person | None = None
    ) -> None:
        whole = payloads.installation(
            installed, app=self.app, world=self._world, origin=self.origin
        )
        payload: dict[str, Any] = {
            "action": action,
            "installation": whole,
            "sender": whole["account"],
            "requester": None,
            "repositories": [],
        }
        if requester is not None:
            payload["requester"] = shapes.simple_user(requester, origin=self.origin)
        self.deliveries.send(
            "installation",
            payload,
            account_id=installed.account_id,
            installation_id=installed.id,
        )

    def authorization_revoked(self, person: Person) -> None:
        sender = shapes.simple_user(person, origin=self.origin)
        payload = {"action": "revoked", "sender": sender}
        self.deliveries.send("github_app_authorization", payload, account_id=person.id)

    def tell(
        self, event: str, action: str | None, organization: Organization, facts: dict[str, Any]
    ) -> Delivery | None:
        """Send an event about an organisation, if the App is installed there and wants it."""
        installed = self._installations.on(organization.id)
        if installed is None or installed.suspended_at is not None:
            return None
        if event not in (*installed.events, *_ALWAYS):
            return None
        return self.send_anything(event, action, organization, installed, facts)

    def send_anything(
        self,
        event: str,
        action: str | None,
        organization: Organization,
        installed: Installation,
        facts: dict[str, Any],
    ) -> Delivery:
        owner_id = min(organization.owner_ids or {organization.member_ids[0]})
        whole = payloads.common(
            organization,
            installed,
            sender=self._world.people[owner_id],
            origin=self.origin,
        )
        named = {"action": action} if action else {}
        return self.deliveries.send(
            event,
            {**named, **whole, **facts},
            account_id=organization.id,
            installation_id=installed.id,
        )
