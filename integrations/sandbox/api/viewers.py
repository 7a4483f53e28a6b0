"""Who is asking, and what of an organisation that lets them see.

Knows the world and scopes; knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from integrations.sandbox.apps.app import Installation
from integrations.sandbox.world.organizations import Organization
from integrations.sandbox.world.people import Person
from integrations.sandbox.world.repositories import (
    PERMISSIONS,
    Repository,
    collaborators_of,
)


@dataclass(frozen=True, slots=True)
class Viewer:
    person: Person | None = None
    # With those that others bring along.
    scopes: frozenset[str] = frozenset()
    # A fault: GitHub takes this person for a member of nothing.
    is_outsider: bool = False
    # The GitHub App on one account, instead of a person.
    installation: Installation | None = None
    # What a person's token of the App reaches: organisations that it is installed on.
    reachable_ids: frozenset[int] | None = None

    def belongs_to(self, organization: Organization) -> bool:
        if self.installation is not None:
            return not self.is_outsider and self.installation.account_id == organization.id
        if self.person is None or self.is_outsider:
            return False
        return organization.has(self.person.id)

    def owns(self, organization: Organization) -> bool:
        return (
            self.person is not None
            and self.belongs_to(organization)
            and organization.role_of(self.person.id) == "admin"
        )

    def sees_concealed(self, organization: Organization) -> bool:
        """Members who may read organisations see everybody; all others only public members."""
        if self.installation is not None and not self.installation.reads_members:
            return False
        return self.belongs_to(organization) and "read:org" in self.scopes

    def reaches(self, organization: Organization) -> bool:
        """Say whether the token may tell of a membership there at all."""
        return self.reachable_ids is None or organization.id in self.reachable_ids

    def member_ids_of(self, organization: Organization) -> Sequence[int]:
        if self.sees_concealed(organization):
            return organization.member_ids
        return organization.public_ids()

    def sees(self, repository: Repository) -> bool:
        if not repository.private:
            return True
        # The base permission of every organisation here is "read".
        return "repo" in self.scopes and self.belongs_to(repository.organization)

    def permission_on(self, repository: Repository) -> str:
        if self.person is None or not self.belongs_to(repository.organization):
            return "pull"
        return collaborators_of(repository).get(self.person.id, "pull")

    def may_list_collaborators(self, repository: Repository) -> bool:
        """Whoever may push, with scopes for repositories and organisations.

        https://docs.github.com/rest/collaborators/collaborators#list-repository-collaborators
        """
        may_push = PERMISSIONS.index(self.permission_on(repository)) >= PERMISSIONS.index("push")
        return may_push and {"repo", "read:org"} <= self.scopes
