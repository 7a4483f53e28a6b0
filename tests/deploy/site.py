"""The product behind nginx: its address, a web process that believes it, a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from django.test import Client

from tests.deploy.nginx import HOST
from tests.stack import Stack

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from integrations.models import User
    from tests.processes import Valkey

SITE: Final = f"https://{HOST}"
# As settings.py names it where HTTPS is on.
SESSION_COOKIE: Final = "__Host-sessionid"


def start_web(cleanup: ExitStack, directory: Path, valkey: Valkey, **environment: str) -> Stack:
    """Start a web process with production's settings that concern a proxy, until the cleanup."""
    patch = cleanup.enter_context(pytest.MonkeyPatch.context())
    environment |= {
        "HTTPS": "true", "TRUSTED_PROXY_COUNT": "1", "ALLOWED_HOSTS": HOST, "SITE_URL": SITE,
    }  # fmt: skip
    for name, value in environment.items():
        patch.setenv(name, value)
    web = Stack(log_dir=directory, valkey=valkey)
    cleanup.callback(web.stop)
    web.start(["web"])
    return web


def signed_in(user: User) -> tuple[str, str]:
    """Return curl's options for a session of theirs."""
    client = Client()
    client.force_login(user)
    return "--cookie", f"{SESSION_COOKIE}={client.session.session_key}"
