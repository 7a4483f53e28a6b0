"""The test's side of the sandbox GitHub: make organisations, people and faults, and ask the truth.

Each test makes an organisation of its own, so that tests in parallel never meet.
"""

from __future__ import annotations

import itertools
import os
import threading
from dataclasses import dataclass
from typing import Any

import requests

_numbers = itertools.count(1)
_of_thread = threading.local()


def _session() -> requests.Session:
    """Return this thread's, which keeps its connection from one question to the next."""
    if not hasattr(_of_thread, "session"):
        _of_thread.session = requests.Session()
    session: requests.Session = _of_thread.session
    return session


@dataclass(frozen=True)
class SandboxOrganization:
    """One organisation of the sandbox, its owner's token, and what can be done to it."""

    control: SandboxControl
    id: int
    login: str
    owner: str
    token: str

    def members(self) -> dict[int, dict[str, Any]]:
        """Return the truth: everybody in it, by id."""
        listed = self.control.ask("GET", f"organizations/{self.login}/members")
        return {member["id"]: member for member in listed}

    def add(self, **facts: Any) -> dict[str, Any]:
        added: dict[str, Any] = self.control.ask(
            "POST", f"organizations/{self.login}/members", facts
        )
        return added

    def change(self, who: str, /, **facts: Any) -> dict[str, Any]:
        changed: dict[str, Any] = self.control.ask(
            "PATCH", f"organizations/{self.login}/members/{who}", facts
        )
        return changed

    def remove(self, login: str) -> None:
        self.control.ask("DELETE", f"organizations/{self.login}/members/{login}")

    def somebody(self) -> dict[str, Any]:
        """Return a member who is not the owner of the token."""
        return next(member for member in self.members().values() if member["login"] != self.owner)

    def fault(self, name: str, **params: Any) -> None:
        self.control.ask("POST", "faults", {"fault": name, "organization": self.login, **params})

    def mend(self) -> None:
        self.control.ask("DELETE", f"faults?organization={self.login}")

    def slow_down(self, latency_ms: float) -> None:
        self.control.ask("POST", "latency", {"organization": self.login, "ms": latency_ms})

    def install(self, **facts: Any) -> int:
        """Install the App here, as its owners do; return the installation's id."""
        made = self.control.ask("POST", "installations", {"organization": self.login, **facts})
        return int(made["id"])

    def change_installation(self, installation_id: int, **facts: Any) -> None:
        self.control.ask("PATCH", f"installations/{installation_id}", facts)

    def uninstall(self, installation_id: int) -> None:
        self.control.ask("DELETE", f"installations/{installation_id}")

    def deliveries(self) -> list[dict[str, Any]]:
        """Return the webhooks about this organisation, oldest first."""
        listed: list[dict[str, Any]] = self.control.ask(
            "GET", f"deliveries?organization={self.login}"
        )
        return listed

    def deliver(self, event: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Have GitHub send any event about this organisation."""
        made: dict[str, Any] = self.control.ask(
            "POST", "deliveries", {"organization": self.login, "event": event, "payload": payload}
        )
        return made

    def requests(self) -> list[dict[str, Any]]:
        """Return the calls about this organisation, oldest first."""
        report = self.control.ask("GET", f"requests?organization={self.login}")
        listed: list[dict[str, Any]] = report["requests"]
        return listed


@dataclass(frozen=True)
class SandboxControl:
    """The control API of a running sandbox at `url`."""

    url: str

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        address = f"{self.url}/_sandbox/{path}"
        response = _session().request(method, address, json=body, timeout=(5, 30))
        assert response.ok, f"{method} {path}: {response.status_code} {response.text[:300]}"
        return response.json() if response.content else None

    def organization(self, size: int = 12, **facts: Any) -> SandboxOrganization:
        """Make an organisation with an owner of its own, whose token reads it all."""
        number = f"{os.getpid()}-{next(_numbers)}"
        owner = f"owner-{number}"
        self.ask("POST", "people", {"login": owner})
        made = self.ask(
            "POST",
            "organizations",
            {"login": f"org-{number}", "size": size, "owner": owner} | facts,
        )
        return SandboxOrganization(
            control=self, id=made["id"], login=made["login"], owner=owner, token=self.token(owner)
        )

    def app(self) -> dict[str, Any]:
        """Return the one GitHub App, with its keys."""
        found: dict[str, Any] = self.ask("GET", "app")
        return found

    def change_app(self, **facts: Any) -> None:
        self.ask("PATCH", "app", facts)

    def token(self, login: str, *scopes: str) -> str:
        granted = scopes or ("read:org", "user:email", "repo")
        made = self.ask("POST", "tokens", {"login": login, "scopes": list(granted)})
        return str(made["token"])

    def pair(self, login: str, *, expires_in_s: int = 8 * 3600) -> dict[str, str]:
        """Make a `token` that expires and its `refresh_token`; 0 s: it has expired already."""
        scopes = ["read:org", "user:email", "repo"]
        made: dict[str, str] = self.ask(
            "POST", "tokens", {"login": login, "scopes": scopes, "expires_in": expires_in_s}
        )
        return made

    def revoke(self, token: str) -> None:
        self.ask("DELETE", f"tokens/{token}")


def app_settings(url: str) -> dict[str, str]:
    """Return the environment that connects the product to the one GitHub App of a sandbox."""
    app = SandboxControl(url).app()
    return {
        "GITHUB_APP_ID": str(app["id"]),
        "GITHUB_APP_SLUG": app["slug"],
        "GITHUB_APP_CLIENT_ID": app["client_id"],
        "GITHUB_APP_CLIENT_SECRET": app["client_secret"],
        "GITHUB_APP_PRIVATE_KEY": app["pem"],
    }
