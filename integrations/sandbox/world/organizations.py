"""An organisation and who is in it, as a sorted array of ids: 100,000 members are 800 KB.

Knows people only by their ids.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from integrations.sandbox.world.chance import mix
from integrations.sandbox.world.teams import Team

Role = Literal["admin", "member"]


@dataclass(eq=False)
class Organization:
    id: int
    login: str
    name: str
    seed: int
    repository_count: int
    # All memberships are concealed, so that whoever is outside sees nobody.
    concealed: bool = False
    member_ids: array[int] = field(default_factory=lambda: array("q"))
    owner_ids: set[int] = field(default_factory=set)
    # Outside collaborators: they reach a repository and are no members.
    guests: set[int] = field(default_factory=set)
    # Invited by an e-mail address that belongs to nobody here.
    invited_emails: dict[str, Role] = field(default_factory=dict)
    # Addresses of the organisation's own domains, by person.
    verified_emails: dict[int, list[str]] = field(default_factory=dict)
    teams: list[Team] = field(default_factory=list)
    # Invited and not yet accepted: listed by the memberships endpoints only.
    pending: dict[int, Role] = field(default_factory=dict)

    def add(self, person_id: int, *, role: Role = "member") -> None:
        self.pending.pop(person_id, None)
        if not self.has(person_id):
            self.member_ids.insert(bisect_left(self.member_ids, person_id), person_id)
        self.set_role(person_id, role=role)

    def add_block(self, person_ids: Iterable[int]) -> None:
        self.member_ids = array("q", sorted({*self.member_ids, *person_ids}))

    def remove(self, person_id: int) -> None:
        position = bisect_left(self.member_ids, person_id)
        if self.has(person_id):
            del self.member_ids[position]
        self.owner_ids.discard(person_id)
        self.pending.pop(person_id, None)

    def set_role(self, person_id: int, *, role: Role) -> None:
        if role == "admin":
            self.owner_ids.add(person_id)
        else:
            self.owner_ids.discard(person_id)

    def has(self, person_id: int) -> bool:
        position = bisect_left(self.member_ids, person_id)
        return position < len(self.member_ids) and self.member_ids[position] == person_id

    def role_of(self, person_id: int) -> Role:
        return "admin" if person_id in self.owner_ids else "member"

    def is_public(self, person_id: int) -> bool:
        """Tell whether the person shows the membership to everybody; one in three does."""
        return not self.concealed and mix(self.seed, person_id) % 3 == 0

    def public_ids(self) -> list[int]:
        return [person_id for person_id in self.member_ids if self.is_public(person_id)]


@dataclass(frozen=True, slots=True)
class Slice:
    """One page of a sorted list of ids, cut by id: who joins or leaves elsewhere moves nothing."""

    ids: Sequence[int]
    has_next: bool
    has_previous: bool

    @classmethod
    def first(cls, ids: Sequence[int], count: int, *, after: int | None) -> Slice:
        start = 0 if after is None else bisect_right(ids, after)
        end = start + count
        return cls(ids[start:end], has_next=end < len(ids), has_previous=start > 0)

    @classmethod
    def last(cls, ids: Sequence[int], count: int, *, before: int | None) -> Slice:
        end = len(ids) if before is None else bisect_left(ids, before)
        start = max(0, end - count)
        return cls(ids[start:end], has_next=end < len(ids), has_previous=start > 0)
