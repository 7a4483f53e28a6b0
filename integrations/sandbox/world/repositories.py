"""The repositories of an organisation and who can reach them, worked out from its seed.

Knows organisations, but not who is asking.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from integrations.sandbox.world.chance import mix
from integrations.sandbox.world.organizations import Organization

# From weak to strong; a stronger one includes the weaker ones.
# https://docs.github.com/organizations/managing-user-access-to-your-organizations-repositories/managing-repository-roles/repository-roles-for-an-organization
PERMISSIONS = ("pull", "triage", "push", "maintain", "admin")
ROLE_NAMES = {"pull": "read", "push": "write"}

# The sandbox's repositories stop in time here, so that a page looks the same on every day.
LAST_PUSH_AT = datetime(2026, 11, 20, 9, tzinfo=UTC)
# Repository ids say which organisation they belong to: REPOSITORIES_MAX for each.
# With organisations numbered from 1,000,001 they still fit 32 bits.
REPOSITORIES_MAX = 1_000
_COLLABORATORS_MAX = 40
_PARTS = ("api", "app", "billing", "console", "data", "docs", "edge", "infra", "mobile", "search")
_SUFFIXES = ("", "-service", "-web", "-tools", "-client", "-jobs", "-legacy")
_LANGUAGES = ("Python", "TypeScript", "Go", "Ruby", "Rust", "HTML", "C++", "Jupyter Notebook", None)


@dataclass(frozen=True, slots=True)
class Repository:
    id: int
    organization: Organization
    name: str
    description: str | None
    private: bool
    archived: bool
    language: str | None
    pushed_at: datetime
    created_at: datetime

    @property
    def full_name(self) -> str:
        return f"{self.organization.login}/{self.name}"


def repositories_of(organization: Organization) -> list[Repository]:
    return [repository_of(organization, index) for index in range(organization.repository_count)]


def repository_of(organization: Organization, index: int) -> Repository:
    number = mix(organization.seed, index, 7)
    name = f"{_PARTS[index % len(_PARTS)]}{_SUFFIXES[index // len(_PARTS) % len(_SUFFIXES)]}"
    if index >= len(_PARTS) * len(_SUFFIXES):
        name = f"{name}-{index}"
    pushed_at = LAST_PUSH_AT - timedelta(minutes=number % 600_000)
    return Repository(
        id=organization.id * REPOSITORIES_MAX + index,
        organization=organization,
        name=name,
        description=None if number % 5 == 0 else f"Everything about {name} — kept by the team 🛠",
        private=number // 5 % 2 == 0,
        archived=number // 10 % 9 == 0,
        language=_LANGUAGES[number // 90 % len(_LANGUAGES)],
        pushed_at=pushed_at,
        created_at=pushed_at - timedelta(days=number // 810 % 900),
    )


def find_repository(organization: Organization, name: str) -> Repository | None:
    wanted = name.lower()
    return next((one for one in repositories_of(organization) if one.name == wanted), None)


def collaborators_of(repository: Repository) -> dict[int, str]:
    """Return who can reach the repository and how: every owner, and a few members."""
    reach = dict.fromkeys(sorted(repository.organization.owner_ids), "admin")
    for person_id, permission in _few_members(repository):
        reach.setdefault(person_id, permission)
    return dict(sorted(reach.items()))


def _few_members(repository: Repository) -> Iterator[tuple[int, str]]:
    ids = repository.organization.member_ids
    if not ids:
        return
    number = mix(repository.id, repository.organization.seed)
    count = min(len(ids), 3 + number % (_COLLABORATORS_MAX - 3))
    stride = max(1, len(ids) // count)
    for step in range(count):
        person_id = ids[(number + step * stride) % len(ids)]
        yield person_id, PERMISSIONS[mix(number, person_id) % len(PERMISSIONS)]
