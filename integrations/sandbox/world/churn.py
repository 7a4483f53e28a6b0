"""A team that doesn't stand still: somebody leaves, returns, is renamed or promoted.

For demonstrations. The order of things is the same in every process.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from random import Random

from integrations.sandbox.world.cast import DEMO_OWNER, TINY_TEAM
from integrations.sandbox.world.organizations import Organization
from integrations.sandbox.world.people import Person
from integrations.sandbox.world.world import World

Heard = Callable[[Organization, Person], None]

_RENAMED_MARK = "-renamed"
_FEWEST = 6  # somebody has to be left to look at


class Churn:
    def __init__(self, world: World, *, on_joined: Heard, on_left: Heard, seed: int = 1) -> None:
        self._people = world.people
        self._world = world
        self._on_joined, self._on_left = on_joined, on_left
        self._random = Random(seed)
        self._away: list[int] = []
        self._steps = itertools.cycle((self.leave, self.come_back, self.rename, self.change_role))

    async def keep_going(self, *, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            self.step()

    def step(self) -> None:
        team = self._world.find_organization(TINY_TEAM)
        if team is not None and len(team.member_ids) > _FEWEST:
            next(self._steps)(team)

    def leave(self, team: Organization) -> None:
        person = self._somebody(team)
        self._on_left(team, person)
        team.remove(person.id)
        self._away.append(person.id)

    def come_back(self, team: Organization) -> None:
        if self._away:
            person = self._people[self._away.pop(0)]
            team.add(person.id)
            self._on_joined(team, person)

    def rename(self, team: Organization) -> None:
        person = self._somebody(team)
        if person.login.endswith(_RENAMED_MARK):
            self._people.change(person, login=person.login.removesuffix(_RENAMED_MARK))
        else:
            self._people.change(person, login=f"{person.login}{_RENAMED_MARK}")

    def change_role(self, team: Organization) -> None:
        person = self._somebody(team)
        promoted = team.role_of(person.id) == "member"
        team.set_role(person.id, role="admin" if promoted else "member")

    def _somebody(self, team: Organization) -> Person:
        everybody = [self._people[person_id] for person_id in team.member_ids]
        return self._random.choice([one for one in everybody if one.login != DEMO_OWNER])
