"""Everybody with an account: made from their number when asked for, stored only once changed.

Knows nothing of organisations. Logins keep their case and are matched without it, as on GitHub.
"""

from __future__ import annotations

import base64
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from integrations.sandbox.world.chance import mix
from integrations.sandbox.world.names import display_name, given_and_family

FIRST_PERSON_ID = 10_000_000
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Person:
    id: int
    login: str
    name: str | None = None
    email: str = ""  # the public address; GitHub's GraphQL says "" for none, its REST says null
    two_factor: bool = True


class LoginTakenError(ValueError):
    """Somebody has this login already, in whatever case."""


@dataclass(frozen=True, slots=True)
class _Block:
    """A run of consecutive ids whose people are worked out from a seed."""

    ids: range
    seed: int


class People:
    def __init__(self) -> None:
        self._next_id = FIRST_PERSON_ID
        self._blocks: list[_Block] = []
        self._stored: dict[int, Person] = {}
        self._id_of_login: dict[str, int] = {}

    def add(self, login: str, /, **facts: Any) -> Person:
        self._refuse_taken(login)
        person = Person(self._next_id, login, **facts)
        self._next_id += 1
        self._store(person)
        return person

    def add_block(self, size: int, *, seed: int) -> range:
        """Make room for `size` people; nobody is worked out before somebody asks."""
        ids = range(self._next_id, self._next_id + size)
        self._next_id += size
        self._blocks.append(_Block(ids, seed))
        return ids

    def get(self, person_id: int) -> Person | None:
        stored = self._stored.get(person_id)
        if stored is not None:
            return stored
        position = bisect_right(self._blocks, person_id, key=lambda block: block.ids.start) - 1
        if position >= 0 and person_id in self._blocks[position].ids:
            return generated_person(person_id, seed=self._blocks[position].seed)
        return None

    def __getitem__(self, person_id: int) -> Person:
        person = self.get(person_id)
        if person is None:
            raise KeyError(person_id)
        return person

    def find(self, login: str) -> Person | None:
        person_id = self._id_of_login.get(login.lower())
        if person_id is not None:
            return self._stored[person_id]
        person = self.get(_number_in(login))
        # A person who was renamed has left the old login free.
        return person if person is not None and person.login.lower() == login.lower() else None

    def change(self, person: Person, /, **facts: Any) -> Person:
        changed = replace(person, **facts)
        if changed.login.lower() != person.login.lower():
            self._refuse_taken(changed.login)
            self._id_of_login.pop(person.login.lower(), None)
        self._store(changed)
        return changed

    def count(self) -> int:
        """Return how many accounts there have ever been."""
        return self._next_id - FIRST_PERSON_ID

    def stored(self) -> Iterator[Person]:
        """Yield the people who were made or changed by name, newest last."""
        yield from self._stored.values()

    def _store(self, person: Person) -> None:
        self._stored[person.id] = person
        self._id_of_login[person.login.lower()] = person.id

    def _refuse_taken(self, login: str) -> None:
        if self.find(login) is not None:
            raise LoginTakenError(login)


def generated_person(person_id: int, *, seed: int) -> Person:
    number = mix(seed, person_id)
    name = display_name(number)
    login = generated_login(person_id, number=number)
    return Person(
        id=person_id,
        login=login,
        name=name,
        email=_email(number >> 16, login=login),
        two_factor=(number >> 8) % 10 > 0,
    )


def generated_login(person_id: int, *, number: int) -> str:
    """Return a login that ends in the person's id, so that a login leads back to the person."""
    given, family = given_and_family(number)
    login = f"{given}-{family}-{_base36(person_id)}"
    return login if number % 7 == 0 else login.lower()


def node_id(prefix: str, number: int) -> str:
    """Return a node id as GitHub's newer format has them: msgpack of [0, id] in base64."""
    packed = b"\x92\x00\xce" + number.to_bytes(4, "big")
    return f"{prefix}_{base64.urlsafe_b64encode(packed).decode().rstrip('=')}"


def _email(number: int, *, login: str) -> str:
    """Return the public address: mostly none, some shared by several people, some in mixed case."""
    kind = number % 100
    if kind < 8:
        return f"{login}@example.com"
    if kind < 10:
        return f"{login.title()}@Example.COM"
    if kind < 12:
        return "hello@example.org"
    if kind < 14:
        return f"{number % 9_999_999}+{login}@users.noreply.github.com"
    return ""


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits


def _number_in(login: str) -> int:
    suffix = login.rpartition("-")[2]
    return int(suffix, 36) if suffix.isascii() and suffix.isalnum() else 0
