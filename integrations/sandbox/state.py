"""Everything one sandbox holds in memory, put together once.

The modules that answer requests get it; none of them keeps a state of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from integrations.sandbox.api.calls import CallLog
from integrations.sandbox.api.limits import Limits
from integrations.sandbox.api.tokens import Tokens
from integrations.sandbox.faults.registry import Faults
from integrations.sandbox.oauth.codes import Codes
from integrations.sandbox.options import Options
from integrations.sandbox.world.cast import DEMO_MEMBER, DEMO_OWNER, make_world
from integrations.sandbox.world.people import Person
from integrations.sandbox.world.world import World

_READY_MADE_TOKENS = (
    ("ghp_sandbox_owner", DEMO_OWNER, ("read:org", "user:email", "repo")),
    ("ghp_sandbox_member", DEMO_MEMBER, ("read:org", "user:email", "repo")),
    ("ghp_sandbox_noemail", DEMO_OWNER, ("read:org",)),
    ("ghp_sandbox_none", DEMO_OWNER, ()),
)


@dataclass
class Sandbox:
    options: Options
    world: World = field(default_factory=make_world)
    tokens: Tokens = field(init=False)
    codes: Codes = field(default_factory=Codes)
    faults: Faults = field(default_factory=Faults)
    calls: CallLog = field(default_factory=CallLog)
    # Milliseconds by organisation, in lower case, instead of the general figure.
    latency_ms: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        file = self.options.tokens_file
        self.tokens = Tokens(Path(file) if file else None)
        # Only the cast is there again after a restart; the token of anybody else leads nowhere.
        for token in list(self.tokens):
            if self.world.people.get(token.person_id) is None:
                self.tokens.revoke(token)
        self.limits = Limits(points_per_hour=self.options.points_per_hour)
        for text, login, scopes in _READY_MADE_TOKENS:
            person = self.world.people.find(login)
            if person is not None:
                self.tokens.add_personal(person.id, scopes=scopes, text=text)

    def latency_of(self, organization: str | None) -> float:
        """Return how many milliseconds an answer about this organisation takes."""
        return self.latency_ms.get(organization or "", self.options.latency_ms)

    def people_who_can_sign_in(self) -> list[Person]:
        """Return who the consent page offers: people made by name, newest first after the demo."""
        named = list(self.world.people.stored())
        demo = [one for one in named if one.login in (DEMO_OWNER, DEMO_MEMBER)]
        return [*demo, *[one for one in reversed(named) if one not in demo]]
