"""Signed deliveries as GitHub sends them, made by hand where a test wants a very special one."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from django.utils import timezone

from integrations import tasks
from integrations.github.webhooks import signature_of
from integrations.models import WebhookInbox

if TYPE_CHECKING:
    from django.test import Client

    from integrations.models import GitHubIntegration

ADDRESS: Final = "/webhooks/github/"
SECRET: Final = "sandbox-webhook-secret"
_UUID_EPOCH: Final = datetime(1582, 10, 15, tzinfo=UTC)


def guid_at(at: datetime) -> str:
    """Make a delivery's GUID of an instant: a version-1 UUID, as GitHub's are."""
    steps = int((at - _UUID_EPOCH).total_seconds() * 10_000_000)
    fields = (
        steps & 0xFFFFFFFF, (steps >> 32) & 0xFFFF, (steps >> 48) & 0x0FFF | 0x1000,
        0x80 | uuid.uuid4().int & 0x3F, uuid.uuid4().int & 0xFF, uuid.uuid4().int & (2**48 - 1),
    )  # fmt: skip
    return str(uuid.UUID(fields=fields))


def post(
    client: Client,
    event: str,
    payload: Any,
    *,
    at: datetime | None = None,
    guid: str = "",
    secret: str = SECRET,
    **headers: str,
) -> Any:
    """Deliver a payload, signed with a secret; headers replace those that GitHub would send."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    sent = {
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": guid or guid_at(at or timezone.now()),
        "X-Hub-Signature-256": signature_of(secret, body),
        "User-Agent": "GitHub-Hookshot/044aadd",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    content_type = sent.pop("Content-Type", "application/json")
    return client.post(ADDRESS, data=body, content_type=content_type, headers=sent)


def person(number: int, login: str = "", **facts: Any) -> dict[str, Any]:
    """Make a simple user as payloads have them."""
    return {
        "id": number,
        "login": login or f"person-{number}",
        "avatar_url": "https://avatars.example.com/u/1",
        "type": "User",
    } | facts


def membership_payload(
    integration: GitHubIntegration, action: str, who: dict[str, Any], *, role: str = "member"
) -> dict[str, Any]:
    """Make the payload of organization.member_added or member_removed."""
    return {
        "action": action,
        "membership": {"state": "active", "role": role, "user": who},
        "organization": organization_of(integration),
        "sender": person(1, "octocat"),
    }


def organization_of(integration: GitHubIntegration) -> dict[str, Any]:
    return {"id": integration.organization_id, "login": integration.organization_login}


def work() -> None:
    """Do what the workers do: apply what waits in every inbox."""
    for inbox in WebhookInbox.objects.order_by("pk"):
        tasks.apply_webhooks_task.fn(inbox.pk)
