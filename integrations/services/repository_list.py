"""The organisation's repositories, as rows to choose from."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog
from django.utils import timezone

from integrations.github import rest
from integrations.models import TrackedRepository
from integrations.services.github_access import NoLongerWatched, client_of, while_watched

if TYPE_CHECKING:
    from integrations.github.rest import Repository
    from integrations.models import GitHubIntegration

logger = structlog.get_logger(__name__)

FRESH_FOR: Final = timedelta(minutes=10)
LISTED_FIELDS: Final = [
    "name",
    "full_name",
    "description",
    "html_url",
    "language",
    "default_branch",
    "is_private",
    "is_archived",
    "pushed_at",
]


def refresh_if_stale(integration: GitHubIntegration) -> None:
    """List the repositories at GitHub unless that was done in the last ten minutes.

    One request for each hundred. Raises what `client_of` raises, and GitHubError; what was listed
    before stays, also when the team turned to another organisation meanwhile.
    """
    listed_at = integration.repositories_listed_at
    if listed_at is not None and listed_at > timezone.now() - FRESH_FOR:
        return
    seen: set[int] = set()
    client = client_of(integration)
    try:
        for page in rest.organization_repositories(client, integration.organization_login):
            # The list moves while it is read: one repository may come twice.
            by_id = {repository.id: repository for repository in page}
            seen.update(by_id)
            with while_watched(integration):
                TrackedRepository.objects.bulk_create(
                    [as_row(integration, repository) for repository in by_id.values()],
                    update_conflicts=True,
                    unique_fields=["integration", "github_id"],
                    update_fields=LISTED_FIELDS,
                )
        with while_watched(integration):
            integration.repositories.filter(is_tracked=False).exclude(github_id__in=seen).delete()
            integration.repositories_listed_at = timezone.now()
            integration.save(update_fields=["repositories_listed_at"])
    except NoLongerWatched as exc:
        logger.info("repositories not listed", reason=exc.reason)


def as_row(integration: GitHubIntegration, repository: Repository) -> TrackedRepository:
    return TrackedRepository(
        integration=integration,
        github_id=repository.id,
        name=repository.name,
        full_name=repository.full_name,
        description=repository.description,
        html_url=repository.html_url,
        language=repository.language,
        default_branch=repository.default_branch,
        is_private=repository.private,
        is_archived=repository.archived,
        pushed_at=repository.pushed_at,
    )
