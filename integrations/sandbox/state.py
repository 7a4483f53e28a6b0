"""Everything one sandbox holds in memory, put together once.

The modules that answer requests get it; none of them keeps a state of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from integrations.sandbox.api.calls import CallLog
from integrations.sandbox.api.limits import Limits
from integrations.sandbox.api.tokens import Tokens
from integrations.sandbox.apps.app import App, Installation, Installations
from integrations.sandbox.apps.events import Events
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
    app: App = field(init=False)
    installations: Installations = field(init=False)
    events: Events = field(init=False)
    # Milliseconds by organisation, in lower case, instead of the general figure.
    latency_ms: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        file = self.options.tokens_file
        self.tokens = Tokens(Path(file) if file else None)
        kept = self.options.installations_file
        self.installations = Installations(Path(kept) if kept else None)
        self.app = _app_of(self.options)
        self.events = Events(self.world, self.app, self.installations)
        # Only the cast is there again after a restart; the token of anybody else leads nowhere.
        for token in list(self.tokens):
            is_installation = self.installations.get(token.installation_id or 0) is not None
            if not is_installation and self.world.people.get(token.person_id) is None:
                self.tokens.revoke(token)
        self.limits = Limits(points_per_hour=self.options.points_per_hour)
        for text, login, scopes in _READY_MADE_TOKENS:
            person = self.world.people.find(login)
            if person is not None:
                self.tokens.add_personal(person.id, scopes=scopes, text=text)

    def clients(self) -> tuple[tuple[str, str], ...]:
        """Return id and secret of whatever signs people in: the OAuth app and the GitHub App."""
        oauth = (self.options.client_id, self.options.client_secret)
        return oauth, (self.app.client_id, self.app.client_secret)

    def install(
        self,
        account_id: int,
        *,
        is_organization: bool = True,
        requester: Person | None = None,
        permissions: dict[str, str] | None = None,
        events: list[str] | None = None,
    ) -> Installation:
        """Install the App on an account and tell it so."""
        made = self.installations.add(account_id, is_organization=is_organization, app=self.app)
        made.permissions = made.permissions if permissions is None else permissions
        made.events = made.events if events is None else events
        self.installations.keep()
        self.events.installation_changed(made, "created", requester=requester)
        return made

    def uninstall(self, installed: Installation) -> None:
        """Take the App away: its tokens end, and it is told."""
        self.tokens.revoke_installation(installed.id)
        self.events.installation_changed(installed, "deleted")
        self.installations.remove(installed)

    def latency_of(self, organization: str | None) -> float:
        """Return how many milliseconds an answer about this organisation takes."""
        return self.latency_ms.get(organization or "", self.options.latency_ms)

    def people_who_can_sign_in(self) -> list[Person]:
        """Return who the consent page offers: people made by name, newest first after the demo."""
        named = list(self.world.people.stored())
        demo = [one for one in named if one.login in (DEMO_OWNER, DEMO_MEMBER)]
        return [*demo, *[one for one in reversed(named) if one not in demo]]


def _app_of(options: Options) -> App:
    key_file = Path(options.app_key_file) if options.app_key_file else None
    return App(
        id=options.app_id,
        slug=options.app_slug,
        name="Rollcall (sandbox)",
        client_id=options.app_client_id,
        client_secret=options.app_client_secret,
        webhook_secret=options.webhook_secret,
        webhook_url=options.webhook_url,
        setup_url=options.setup_url,
        pem=key_file.read_text() if key_file is not None else "",
    )
