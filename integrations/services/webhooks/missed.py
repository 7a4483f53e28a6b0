"""What the full reads had to correct although webhooks should have told of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db.models import Exists, OuterRef

from integrations.constants import SYNC_STATUS_COMPLETE, MemberChangeKind
from integrations.models import MemberChange, SyncRun, WebhookDelivery

if TYPE_CHECKING:
    from datetime import datetime

    from integrations.models import GitHubIntegration

# Only these have a webhook; a new role, name or login has none.
TOLD_BY_WEBHOOKS: Final = (
    MemberChangeKind.JOINED,
    MemberChangeKind.RETURNED,
    MemberChangeKind.LEFT,
)
# A delivery so long before or after a change may be what told, or should have told, of it.
NEAR: Final = timedelta(days=1)


def hears_webhooks(integration: GitHubIntegration) -> bool:
    """Say whether GitHub tells this server of the organisation's members as they come and go."""
    credential = integration.credential
    return (
        bool(settings.GITHUB_WEBHOOK_SECRETS)
        and credential is not None
        and credential.is_app
        and "organization" in credential.events
    )


def missed_count(integration: GitHubIntegration, *, since: datetime) -> int:
    """Count the changes that a run found and no delivery told of.

    Not those of the first read after connecting, which is what webhooks start from.
    """
    credential = integration.credential
    if credential is None or not hears_webhooks(integration):
        return 0
    complete = SyncRun.objects.of_members(integration).filter(
        status=SYNC_STATUS_COMPLETE, created_at__gte=credential.connected_at
    )
    first_id = complete.order_by("pk").values_list("pk", flat=True).first()
    if first_id is None:
        return 0
    told = WebhookDelivery.objects.filter(
        inbox__account_id=integration.organization_id or 0,
        subject_id=OuterRef("github_id"),
        event="organization",
        received_at__gte=OuterRef("at") - NEAR,
        received_at__lte=OuterRef("at") + NEAR,
    )
    changes = MemberChange.objects.filter(
        team=integration.team_id, at__gte=since, kind__in=TOLD_BY_WEBHOOKS, run__gt=first_id
    )
    return changes.filter(~Exists(told)).count()
