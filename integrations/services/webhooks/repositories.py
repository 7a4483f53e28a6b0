"""What webhooks say of an organisation's repositories, written to one team's list of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.utils import timezone

from integrations.github import rest, webhooks
from integrations.github.reading import read_id, read_object
from integrations.services.repository_list import LISTED_FIELDS, as_row

if TYPE_CHECKING:
    from integrations.github.webhooks import Payload
    from integrations.models import GitHubIntegration, WebhookDelivery

USED_ACTIONS: Final = frozenset(
    {
        "archived",
        "created",
        "deleted",
        "edited",
        "privatized",
        "publicized",
        "renamed",
        "transferred",
        "unarchived",
    }
)


def apply(integration: GitHubIntegration, delivery: WebhookDelivery, payload: Payload) -> bool:
    """Write one event about a repository; say whether anything changed. In a transaction."""
    record = webhooks.require(payload, "repository")
    repository = rest.read_repository(record)
    row = integration.repositories.select_for_update().filter(github_id=repository.id).first()
    if row is not None and row.heard_at and row.heard_at >= delivery.happened_at:
        return False
    is_elsewhere = read_id(read_object(record, "owner"), "id") != integration.organization_id
    if payload.action == "deleted" or is_elsewhere:
        if row is None:
            return False
        if not row.is_tracked:
            row.delete()
            return True
        # Tracked: it stays on the page, which says so.
        row.gone_at = row.gone_at or timezone.now()
    else:
        # Only these two bring a repository in; of others a late one would bring back a deleted one.
        if row is None and payload.action not in ("created", "transferred"):
            return False
        fresh = as_row(integration, repository)
        row = row or fresh
        for name in LISTED_FIELDS:
            setattr(row, name, getattr(fresh, name))
        row.gone_at = None
    row.heard_at = delivery.happened_at
    row.save()
    return True
