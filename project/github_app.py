"""The settings of the GitHub App, read from the environment and checked: all five or none."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.core.exceptions import ImproperlyConfigured

from project.environment import Environment


@dataclass(frozen=True)
class AppSettings:
    """The App that `manage.py create_github_app` makes; empty texts where there is none."""

    id: str
    slug: str
    client_id: str
    client_secret: str = field(repr=False)
    private_key: str = field(repr=False)

    @property
    def is_configured(self) -> bool:
        return bool(self.id)


def read_app(env: Environment) -> AppSettings:
    """Read the App's settings. Raises ImproperlyConfigured, with the variable's name."""
    found = AppSettings(
        id=env.str("GITHUB_APP_ID", default=""),
        slug=env.str("GITHUB_APP_SLUG", default=""),
        client_id=env.str("GITHUB_APP_CLIENT_ID", default=""),
        client_secret=env.str("GITHUB_APP_CLIENT_SECRET", default=""),
        # A PEM has line ends; an environment file holds it on one line, with \n for each.
        private_key=env.str("GITHUB_APP_PRIVATE_KEY", default="").replace("\\n", "\n"),
    )
    missing = [f"GITHUB_APP_{name.upper()}" for name, value in vars(found).items() if not value]
    if missing and len(missing) < len(vars(found)):
        raise ImproperlyConfigured(
            f"The GitHub App is set up in part. Missing: {', '.join(missing)}."
        )
    if found.is_configured:
        _check_key(found.private_key)
    return found


def _check_key(private_key: str) -> None:
    try:
        load_pem_private_key(private_key.encode(), password=None)
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(
            "GITHUB_APP_PRIVATE_KEY is no private key in PEM (with \\n for its line ends)."
        ) from error


def read_webhook_secrets(env: Environment) -> list[str]:
    """Read the secrets that sign webhooks, newest first. An empty one would be anybody's key."""
    listed: list[str] = env.list("GITHUB_WEBHOOK_SECRET", default=[])
    return [secret for text in listed if (secret := text.strip())]
