"""Sync one repository: its metadata, and the people with access as far as we may see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from integrations.github import rest
from integrations.github.errors import Forbidden, NotFound, SamlRequired
from integrations.models import RepositoryAccess, TrackedRepository
from integrations.services import leases, transitions
from integrations.services.github_access import client_of
from integrations.services.repository_list import LISTED_FIELDS, as_row

if TYPE_CHECKING:
    from collections.abc import Callable

    from integrations.github.http import GitHubClient
    from integrations.github.rest import Collaborator
    from integrations.services.leases import Lease


def sync_repository(lease: Lease, *, should_stop: Callable[[], bool]) -> bool:
    """Read one repository and write it down; return True, since one slice is enough.

    Raises LeaseLost, SyncRefused, CredentialUnreadable and GitHubError.
    """
    tracked = lease.run.repository
    assert tracked is not None  # held by a check constraint
    client = client_of(lease.run.integration)
    remote = rest.repository(client, tracked.github_id)
    people = _people(lease, client, remote.full_name)
    row = as_row(lease.run.integration, remote)
    with transaction.atomic():
        TrackedRepository.objects.filter(pk=tracked.pk).update(
            **{name: getattr(row, name) for name in LISTED_FIELDS}
        )
        if people is not None:
            _replace_people(tracked, people)
        result = {} if people is None else {"people": len(people)}
        transitions.complete(lease, result=result)
    return True


def _people(lease: Lease, client: GitHubClient, full_name: str) -> dict[int, Collaborator] | None:
    """Return who can reach the repository, by id; None when the connection may not see it."""
    people = {}
    try:
        for page in rest.collaborators(client, full_name):
            people.update({person.id: person for person in page})
            leases.renew(lease)
    except SamlRequired:
        raise
    except (Forbidden, NotFound):
        # Listing collaborators needs push access, which many who may read the repository lack:
        # https://docs.github.com/rest/collaborators/collaborators#list-repository-collaborators
        return None
    return people


def _replace_people(repository: TrackedRepository, people: dict[int, Collaborator]) -> None:
    repository.people.exclude(github_id__in=people).delete()
    RepositoryAccess.objects.bulk_create(
        [
            RepositoryAccess(
                repository=repository,
                github_id=person.id,
                github_username=person.login,
                avatar_url=person.avatar_url,
                permission=person.permission,
            )
            for person in people.values()
        ],
        update_conflicts=True,
        unique_fields=["repository", "github_id"],
        update_fields=["github_username", "avatar_url", "permission"],
    )
