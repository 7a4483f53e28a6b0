"""The people and organisations that are there from the start, the same in every process.

`demo-owner` owns all of them but `no-access`; `demo-member` is an ordinary member of `acme`.
"""

from __future__ import annotations

from typing import Any

from integrations.sandbox.world.chance import seed_of
from integrations.sandbox.world.names import long_name
from integrations.sandbox.world.people import Person
from integrations.sandbox.world.teams import made_teams
from integrations.sandbox.world.world import World

DEMO_OWNER = "demo-owner"
DEMO_MEMBER = "demo-member"
TINY_TEAM = "tiny-team"

# Small enough to be read whole on one screen, so each of them is a case of its own.
_TINY_TEAM_PEOPLE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("amelie", {"name": "Amélie Dupré", "email": "amelie@example.com"}),
    ("Sakura", {"name": "田中 さくら", "email": ""}),
    ("mohammed-ali", {"name": "محمد العلي", "email": "Mohammed.Ali@Example.COM"}),
    ("noa-cohen", {"name": "נועה כהן", "two_factor": False}),
    ("kim-rocket", {"name": "Kim 🚀", "email": "hello@example.org"}),
    ("bold", {"name": "<b>Bold</b>", "email": "hello@example.org"}),
    ("nameless", {"name": None, "two_factor": False}),
    ("the-long-one", {"name": long_name(3)}),
    ("grace-hopper", {"name": "Grace Hopper", "email": "grace@example.com"}),
    ("linus-okafor", {"name": "Linus Okafor"}),
    ("vera-rossi", {"name": "Vera Rossi", "email": "123+vera-rossi@users.noreply.github.com"}),
)


def make_world() -> World:
    world = World()
    owner = world.people.add(DEMO_OWNER, name="Olivia Owner", email="olivia@example.com")
    member = world.people.add(DEMO_MEMBER, name="Max Member", email="")
    stranger = world.people.add("somebody-else", name="Somebody Else")
    _add_tiny_team(world, owner)
    acme = world.add_organization("acme", size=239, owner=owner, repository_count=18)
    acme.add(member.id)
    world.add_organization("globex", size=5_000, owner=owner, repository_count=300)
    world.add_organization("initech", size=50_000, owner=owner, repository_count=40)
    world.add_organization("private-club", size=30, owner=owner, concealed=True)
    world.add_organization("no-access", size=25, owner=stranger)
    return world


def _add_tiny_team(world: World, owner: Person) -> None:
    team = world.add_organization(
        TINY_TEAM, size=1, owner=owner, repository_count=4, seed=seed_of(TINY_TEAM)
    )
    for login, facts in _TINY_TEAM_PEOPLE:
        team.add(world.people.add(login, **facts).id)
    team.set_role(team.member_ids[1], role="admin")
    # Everybody else who can belong to an organisation.
    team.teams = made_teams(team)
    team.invited_emails["ines.invited@example.com"] = "member"
    team.guests.add(world.people.add("gus-guest", name="Gus Guest").id)
