"""History told again: the rows of changes, folded in order, must end at the roster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from integrations.constants import MemberChangeKind
from integrations.models import MemberChange

if TYPE_CHECKING:
    from integrations.models import Team, TeamMember

ENTERS = {MemberChangeKind.JOINED, MemberChangeKind.RETURNED, MemberChangeKind.SWITCHED_ON}
LEAVES = {MemberChangeKind.LEFT, MemberChangeKind.SWITCHED_OFF}
# An admin's part in it: nobody comes or goes by these.
NOTES = {MemberChangeKind.HELD, MemberChangeKind.KEPT}
# What a change tells of; an avatar is no news about a person.
TOLD = ("github_username", "name", "email", "role", "two_factor_enabled")


@dataclass
class Told:
    """A person as the changes so far tell of them."""

    login: str
    is_active: bool = True
    facts: dict[str, Any] = field(default_factory=dict)

    def hear(self, change: MemberChange) -> None:
        assert change.kind != MemberChangeKind.JOINED, f"{change} joined twice"
        if change.kind in ENTERS:
            assert not self.is_active, f"{change}, who was there"
            self.is_active = True
        elif change.kind in LEAVES:
            assert self.is_active, f"{change}, who was not there"
            self.is_active = False
        elif change.kind in NOTES:
            assert self.is_active, f"{change}, who was not there"
        else:
            assert change.fields, f"{change}: nothing"
        for name, (before, after) in change.fields.items():
            # The row of a change links to the one before it; a joined person's facts are not told.
            assert self.facts.get(name, before) == before, f"{change}: {name} was not {before}"
            self.facts[name] = after
        if "github_username" in change.fields:
            self.login = change.fields["github_username"][1]
        assert change.github_username == self.login, f"{change}, known as {self.login}"


def told_of(team: Team) -> dict[int, Told]:
    """Return everybody whom the team's history tells of, by GitHub's id."""
    people: dict[int, Told] = {}
    for change in MemberChange.objects.filter(team=team).order_by("pk"):
        if change.github_id in people:
            people[change.github_id].hear(change)
        else:
            assert change.kind == MemberChangeKind.JOINED, f"{change} before they joined"
            people[change.github_id] = Told(
                change.github_username, facts={"github_username": change.github_username}
            )
    return people


def check_history(team: Team) -> None:
    """Check that the history, told from its beginning, ends at the roster as it is."""
    people = told_of(team)
    rows = {row.github_id: row for row in team.members.all()}
    assert people.keys() == rows.keys()
    for github_id, told in people.items():
        _check_person(told, rows[github_id])


def _check_person(told: Told, row: TeamMember) -> None:
    assert told.login == row.github_username
    assert told.is_active == row.is_active, f"{row} is active: {row.is_active}"
    for name in TOLD:
        present = getattr(row, name)
        assert told.facts.get(name, present) == present, f"{row}: {name} is {present}"
