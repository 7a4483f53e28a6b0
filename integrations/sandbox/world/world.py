"""The whole made-up world: people, and the organisations they are in.

Knows nothing of HTTP, tokens or who is asking.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from integrations.sandbox.world.chance import seed_of
from integrations.sandbox.world.organizations import Organization
from integrations.sandbox.world.people import People, Person
from integrations.sandbox.world.repositories import (
    REPOSITORIES_MAX,
    Repository,
    find_repository,
    repository_of,
)
from integrations.sandbox.world.teams import made_teams

FIRST_ORGANIZATION_ID = 1_000_001
_OWNERS_MAX = 20
_MEMBERS_PER_OWNER = 60


class OrganizationExistsError(ValueError):
    """An organisation has this login or this id already."""


class World:
    def __init__(self) -> None:
        self.people = People()
        self._organizations: dict[int, Organization] = {}
        self._id_of_login: dict[str, int] = {}

    def add_organization(
        self,
        login: str,
        *,
        size: int,
        owner: Person,
        seed: int | None = None,
        organization_id: int | None = None,
        repository_count: int = 5,
        name: str | None = None,
        concealed: bool = False,
    ) -> Organization:
        """Make an organisation of `size` members, the owner among them."""
        organization = Organization(
            id=organization_id or self._free_id(),
            login=login,
            name=name or login.replace("-", " ").title(),
            seed=seed_of(login) if seed is None else seed,
            repository_count=min(repository_count, REPOSITORIES_MAX),
            concealed=concealed,
        )
        self._index(organization)
        others = self.people.add_block(size - 1, seed=organization.seed)
        organization.add_block(others)
        organization.add(owner.id, role="admin")
        owner_count = min(_OWNERS_MAX, size // _MEMBERS_PER_OWNER)
        organization.owner_ids.update(others[:: _MEMBERS_PER_OWNER // 2][:owner_count])
        organization.teams = made_teams(organization)
        return organization

    def organizations(self) -> Iterator[Organization]:
        yield from self._organizations.values()

    def organizations_of(self, person_id: int) -> list[Organization]:
        return [one for one in self._organizations.values() if one.has(person_id)]

    def find_organization(self, login: str) -> Organization | None:
        organization_id = self._id_of_login.get(login.lower())
        return None if organization_id is None else self._organizations[organization_id]

    def organization_by_id(self, organization_id: int) -> Organization | None:
        return self._organizations.get(organization_id)

    def change_organization(
        self, organization: Organization, *, login: str | None = None, new_id: int | None = None
    ) -> None:
        """Rename the organisation, or let another one (`new_id`) have its login and its people."""
        wanted_login, wanted_id = login or organization.login, new_id or organization.id
        others_login = self._id_of_login.get(wanted_login.lower(), organization.id)
        others_id = self._organizations.get(wanted_id, organization)
        if others_login != organization.id or others_id is not organization:
            raise OrganizationExistsError(wanted_login)
        del self._organizations[organization.id], self._id_of_login[organization.login.lower()]
        organization.login, organization.id = wanted_login, wanted_id
        self._index(organization)

    def delete_organization(self, organization: Organization) -> None:
        del self._organizations[organization.id], self._id_of_login[organization.login.lower()]

    def find_repository(self, owner: str, name: str) -> Repository | None:
        organization = self.find_organization(owner)
        return None if organization is None else find_repository(organization, name)

    def repository_by_id(self, repository_id: int) -> Repository | None:
        organization_id, index = divmod(repository_id, REPOSITORIES_MAX)
        organization = self._organizations.get(organization_id)
        if organization is None or index >= organization.repository_count:
            return None
        return repository_of(organization, index)

    def _free_id(self) -> int:
        return next(one for one in count(FIRST_ORGANIZATION_ID) if one not in self._organizations)

    def _index(self, organization: Organization) -> None:
        if self.find_organization(organization.login) or organization.id in self._organizations:
            raise OrganizationExistsError(organization.login)
        self._organizations[organization.id] = organization
        self._id_of_login[organization.login.lower()] = organization.id
