"""The one GitHub App of the sandbox, and where it is installed.

Kept in a file, if there is one, so that a demo outlives a restart. Knows nothing of HTTP.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

PERMISSIONS = {"members": "read", "metadata": "read"}
EVENTS = ("member", "membership", "organization", "repository")
FIRST_INSTALLATION_ID = 50_000_001
_KEY_BITS = 2_048


@dataclass
class Installation:
    """The App on one account: an organisation, or a person."""

    id: int
    account_id: int
    is_organization: bool
    permissions: dict[str, str]
    events: list[str]
    repository_selection: str = "all"
    suspended_at: float | None = None  # epoch seconds
    created_at: float = field(default_factory=time.time)

    @property
    def reads_members(self) -> bool:
        return self.permissions.get("members") in ("read", "write")


@dataclass
class App:
    """The App as its owner registered it."""

    id: int
    slug: str
    name: str
    client_id: str
    client_secret: str
    webhook_secret: str
    webhook_url: str = ""
    setup_url: str = ""
    permissions: dict[str, str] = field(default_factory=lambda: dict(PERMISSIONS))
    events: list[str] = field(default_factory=lambda: list(EVENTS))
    # Seconds that GitHub's clock is ahead of ours, for tokens that a wrong clock has made.
    clock_offset_s: float = 0
    # GitHub can't reach the webhook's address.
    deliveries_paused: bool = False
    pem: str = ""

    @cached_property
    def private_key(self) -> str:
        """The private key in PEM, made at its first use."""
        return self.pem or new_private_key()

    @cached_property
    def public_key(self) -> Any:
        key = serialization.load_pem_private_key(self.private_key.encode(), password=None)
        return key.public_key()


def new_private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=_KEY_BITS)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


class Installations:
    """Where the App is installed, and by whom its owners were asked to."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._by_id: dict[int, Installation] = {}
        # By person's id and organisation's: asked for and not answered.
        self.requests: set[tuple[int, int]] = set()
        if file is not None and file.exists():
            for kept in json.loads(file.read_text()):
                self._by_id[kept["id"]] = Installation(**kept)

    def __iter__(self) -> Iterator[Installation]:
        yield from self._by_id.values()

    def get(self, installation_id: int) -> Installation | None:
        return self._by_id.get(installation_id)

    def on(self, account_id: int) -> Installation | None:
        return next((one for one in self if one.account_id == account_id), None)

    def add(self, account_id: int, *, is_organization: bool, app: App) -> Installation:
        newest = max(self._by_id, default=FIRST_INSTALLATION_ID - 1)
        made = Installation(
            id=newest + 1,
            account_id=account_id,
            is_organization=is_organization,
            permissions=dict(app.permissions),
            events=list(app.events),
        )
        self._by_id[made.id] = made
        self.keep()
        return made

    def remove(self, installation: Installation) -> None:
        self._by_id.pop(installation.id, None)
        self.keep()

    def keep(self) -> None:
        if self._file is not None:
            self._file.write_text(json.dumps([asdict(one) for one in self]))
