"""GitHub's side of the state machine: people who come, go, swap names, and a token that dies.

Changes the sandbox over HTTP and keeps a copy of the truth, so that invariants cost no request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.sandbox_control import SandboxControl, SandboxOrganization

# A name that two people can want, one after the other.
SHARED_NAMES = 4


@dataclass
class LivingOrganization:
    """One organisation of the sandbox and everybody who was ever in it, by id."""

    organization: SandboxOrganization
    people: dict[int, dict[str, Any]]
    inside: set[int] = field(init=False)
    owner_id: int = field(init=False)
    # Whoever was out of it once: only those may ever be taken for departed.
    were_out: set[int] = field(default_factory=set)
    token: str = field(init=False)
    token_works: bool = True

    def __post_init__(self) -> None:
        self.inside = set(self.people)
        self.token = self.organization.token
        self.owner_id = next(
            one for one, facts in self.people.items() if facts["login"] == self.organization.owner
        )

    @classmethod
    def found(cls, sandbox: SandboxControl, *, size: int, seed: int) -> LivingOrganization:
        organization = sandbox.organization(size=size, seed=seed)
        return cls(organization, organization.members())

    @property
    def others(self) -> list[int]:
        """Everybody inside but the token's owner, in GitHub's order."""
        return sorted(self.inside - {self.owner_id})

    @property
    def outside(self) -> list[int]:
        return sorted(self.people.keys() - self.inside - {self.owner_id})

    def join(self, *, role: str) -> None:
        self._know(self.organization.add(role=role))

    def come_back(self, person: int) -> None:
        self._know(self.organization.add(login=self.people[person]["login"]))

    def leave(self, persons: Iterable[int]) -> None:
        for person in persons:
            self.organization.remove(self.people[person]["login"])
            self.inside.discard(person)
            self.were_out.add(person)

    def change(self, person: int, **facts: Any) -> None:
        self._know(self.organization.change(self.people[person]["login"], **facts))

    def rename(self, person: int, *, number: int) -> None:
        """Take one of a few names, if nobody has it now; somebody else may have had it before."""
        wanted = f"{self.organization.login}-name-{number % SHARED_NAMES}"
        if wanted not in {facts["login"] for facts in self.people.values()}:
            self.change(person, login=wanted)

    def swap_names(self, one: int, other: int) -> None:
        names = self.people[one]["login"], self.people[other]["login"]
        self.change(one, login=f"{self.organization.login}-aside")
        self.change(other, login=names[0])
        self.change(one, login=names[1])

    def revoke_token(self) -> None:
        if self.token_works:
            self.organization.control.revoke(self.token)
        self.token_works = False

    def new_token(self) -> str:
        self.token = self.organization.control.token(self.organization.owner)
        self.token_works = True
        return self.token

    def mend(self) -> None:
        """Take every fault back, and the owner in again."""
        self.organization.mend()
        if self.owner_id not in self.inside:
            owner = self.people[self.owner_id]
            self._know(self.organization.add(login=owner["login"], role="admin"))

    def _know(self, facts: dict[str, Any]) -> None:
        self.people[facts["id"]] = facts
        self.inside.add(facts["id"])
