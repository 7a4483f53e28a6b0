"""Thousands of connected teams for a measurement of queues, written in bulk.

Several teams read the same organisation, each with a key of its own: what is measured is the
queues, and making as many organisations in the sandbox would take longer than the measurement.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from django.utils import timezone

from integrations.constants import ConnectionKind
from integrations.models import GitHubIntegration, IntegrationCredential, Team
from integrations.models.credentials import encrypt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tests.sandbox_control import SandboxOrganization

_numbers = itertools.count(1)


def connected_teams(
    organizations: Sequence[SandboxOrganization],
    count: int,
    *,
    next_sync_at: datetime | None = None,
    github_user_id: int | None = None,
) -> list[GitHubIntegration]:
    """Make so many teams, the organisations dealt out among them.

    Each is connected as somebody else, but for those of one `github_user_id`.
    """
    first = next(_numbers) * 1_000_000
    teams = Team.objects.bulk_create(
        [Team(name=f"Team {first + n}", slug=f"queue-{first + n}") for n in range(count)],
        batch_size=2_000,
    )
    tokens = [encrypt(one.token) for one in organizations]
    now = timezone.now()
    credentials = IntegrationCredential.objects.bulk_create(
        [
            IntegrationCredential(
                team=team,
                kind=ConnectionKind.TOKEN,
                encrypted_access_token=tokens[n % len(tokens)],
                scopes="read:org repo user:email",
                github_user_id=github_user_id or first + n,
                github_username=organizations[n % len(tokens)].owner,
                connected_at=now,
            )
            for n, team in enumerate(teams)
        ],
        batch_size=2_000,
    )
    return GitHubIntegration.objects.bulk_create(
        [
            GitHubIntegration(
                team=team,
                credential=credential,
                organization_id=organizations[n % len(tokens)].id,
                organization_login=organizations[n % len(tokens)].login,
                schedule_enabled=next_sync_at is not None,
                next_sync_at=next_sync_at,
            )
            for n, (team, credential) in enumerate(zip(teams, credentials, strict=True))
        ],
        batch_size=2_000,
    )
