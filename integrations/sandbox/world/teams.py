"""Teams of an organisation: a few made from its seed, and those that a test makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from integrations.sandbox.world.chance import mix

if TYPE_CHECKING:
    from integrations.sandbox.world.organizations import Organization

_NAMES = ("Platform", "Design & Research", "On call")
_MEMBERS_MAX = 12


@dataclass(eq=False)
class Team:
    id: int
    name: str
    member_ids: list[int] = field(default_factory=list)
    maintainer_ids: set[int] = field(default_factory=set)

    @property
    def slug(self) -> str:
        words = "".join(letter if letter.isalnum() else " " for letter in self.name.lower())
        return "-".join(words.split())


def made_teams(organization: Organization) -> list[Team]:
    """Return the teams that the organisation has from the start; a small one has none."""
    ids = organization.member_ids
    if len(ids) < len(_NAMES) * 2:
        return []
    teams = []
    for number, name in enumerate(_NAMES):
        start = mix(organization.seed, number, 11) % len(ids)
        size = 2 + mix(organization.seed, number, 13) % (_MEMBERS_MAX - 2)
        members = sorted({ids[(start + step * 3) % len(ids)] for step in range(size)})
        teams.append(new_team(organization, name, members, number=number))
        teams[-1].maintainer_ids.add(members[0])
    return teams


def new_team(organization: Organization, name: str, member_ids: list[int], *, number: int) -> Team:
    # Numbered as repositories are, so that a team's id says whose it is.
    return Team(id=organization.id * 100 + number, name=name, member_ids=list(member_ids))
