"""The names and e-mails of people whom a webhook named: it tells no more than their login."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from django.db import transaction

from integrations.constants import WEBHOOK_DETAILS_MAX
from integrations.github import rest
from integrations.github.errors import GitHubError
from integrations.models import CredentialUnreadable, GitHubIntegration, TeamMember
from integrations.services import transitions
from integrations.services.connections import SyncRefused
from integrations.services.github_access import client_of

if TYPE_CHECKING:
    from collections.abc import Collection

logger = structlog.get_logger(__name__)


def fill_in(integration_id: int, github_ids: Collection[int]) -> None:
    """Read a few people in full; the next full read fills in whoever is left.

    They are on the page already, so that whatever goes wrong here costs nothing.
    """
    if not 0 < len(github_ids) <= WEBHOOK_DETAILS_MAX:
        return
    integration = GitHubIntegration.objects.select_related("credential").get(pk=integration_id)
    try:
        client = client_of(integration)
        people = [rest.user_by_id(client, github_id) for github_id in github_ids]
    except (GitHubError, SyncRefused, CredentialUnreadable) as exc:
        logger.info("details of people not read", reason=exc.reason)
        return
    with transaction.atomic():
        for person in people:
            # Still only heard of: a full read knows better.
            rows = TeamMember.objects.filter(
                team_id=integration.team_id, github_id=person.github_id, is_partial=True
            )
            facts = {"name": person.name, "avatar_url": person.avatar_url}
            if integration.credential is not None and integration.credential.reads_email:
                facts["email"] = person.email
            rows.update(**facts)
        transitions.roster_changed(integration)
