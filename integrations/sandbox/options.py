"""What a sandbox can be started with, and how the command line says it.

Shared by `python -m integrations.sandbox` and `manage.py run_sandbox`.
"""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Options:
    host: str = "127.0.0.1"
    port: int = 0
    latency_ms: float = 0.0
    churn_seconds: float = 0.0
    client_id: str = "sandbox-client"
    client_secret: str = "sandbox-secret"
    # Empty: any address of this machine, so that a checkout runs without set-up.
    callback: str = ""
    # What GitHub gives a person an hour, for REST and for GraphQL each.
    points_per_hour: int = 5_000
    tokens_file: str = ""
    # The GitHub App.
    app_id: int = 4242
    app_slug: str = "rollcall-sandbox"
    app_client_id: str = "Iv23sandbox"
    app_client_secret: str = "sandbox-app-secret"
    app_key_file: str = ""
    installations_file: str = ""
    setup_url: str = ""
    webhook_url: str = ""
    webhook_secret: str = "sandbox-webhook-secret"


def add_arguments(parser: ArgumentParser) -> None:
    defaults = Options()
    words = {
        "host": "address to listen on",
        "port": "port to listen on; 0 lets the operating system choose",
        "latency_ms": "how long every answer of the API takes, in milliseconds",
        "churn_seconds": "let somebody of tiny-team come or go this often; 0 for never",
        "client_id": "client id of the one OAuth app that exists",
        "client_secret": "its secret",
        "callback": "its registered callback URL; empty allows any address of this machine",
        "points_per_hour": "primary rate limit of a person",
        "app_id": "id of the one GitHub App that exists",
        "app_slug": "its name in addresses",
        "app_client_id": "its client id, for signing people in",
        "app_client_secret": "the secret that goes with it",
        "app_key_file": "its private key, in PEM; empty makes one",
        "installations_file": "keep its installations in this file over restarts",
        "setup_url": "where its installation page leads back to",
        "webhook_url": "where its webhooks go; empty records them only",
        "webhook_secret": "what signs them",
        "tokens_file": "keep the tokens in this file over restarts; empty forgets them",
    }
    for one in fields(Options):
        default = getattr(defaults, one.name)
        parser.add_argument(
            f"--{one.name.replace('_', '-')}",
            type=type(default),
            default=default,
            help=f"{words[one.name]} (default: {default!r})",
        )


def options_from(parsed: dict[str, Any]) -> Options:
    return Options(**{one.name: parsed[one.name] for one in fields(Options)})
