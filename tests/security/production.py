"""The product's web process as production runs it: behind a proxy that ends TLS, DEBUG off."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any, Final

import requests
from django.conf import settings
from django.test import Client

from tests.processes import REPOSITORY, Process, free_port, is_listening
from tests.stack import database_url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from integrations.models import User

HOST: Final = "rollcall.example"
SESSION_COOKIE: Final = "__Host-sessionid"
CSRF_COOKIE: Final = "__Host-csrftoken"
# In the form and in the cookie: https://docs.djangoproject.com/en/5.2/ref/csrf/
CSRF_TOKEN: Final = "t" * 32
REQUEST_TIMEOUT_S: Final = 20


def environment(static_root: Path) -> dict[str, str]:
    """Return what production differs by. The secrets are the tests', which sign their sessions."""
    return {
        "DEBUG": "false",
        "HTTPS": "true",
        "ALLOWED_HOSTS": HOST,
        "SITE_URL": f"https://{HOST}",
        "TRUSTED_PROXY_COUNT": "1",
        "FIELD_ENCRYPTION_KEYS": settings.FIELD_ENCRYPTION_KEYS[0],
        "EMAIL_URL": "dummymail://",
        "DJANGO_SETTINGS_MODULE": "tests.security.production_settings",
        "TEST_STATIC_ROOT": str(static_root),
    }


def web_command(port: int) -> list[str]:
    """Return the command of Procfile's web process, on a port of this machine alone."""
    [line] = [
        line for line in (REPOSITORY / "Procfile").read_text().splitlines()
        if line.startswith("web:")
    ]  # fmt: skip
    words = shlex.split(line.removeprefix("web:"))
    assert words[0] == "uvicorn"
    words[words.index("--host") + 1] = "127.0.0.1"
    words[words.index("--port") + 1] = str(port)
    return ["-m", *words]


@dataclass
class ProductionWeb:
    """The running process, and requests as the proxy in front of it hands them on."""

    process: Process
    port: int
    static_root: Path

    @classmethod
    def on_test_database(cls, *, log_dir: Path, static_root: Path, **more: str) -> ProductionWeb:
        """Return it, not started; `more` is put into its environment."""
        port = free_port()
        process = Process(
            *web_command(port),
            name="production-web",
            log_dir=log_dir,
            environment={**environment(static_root), "DATABASE_URL": database_url(), **more},
        )
        return cls(process, port, static_root)

    def start(self) -> None:
        self.process.start()
        self.process.wait_ready(lambda: is_listening(self.port))

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        user: User | None = None,
        host: str = HOST,
        scheme: str = "https",
        headers: Mapping[str, str | None] | None = None,
        **body: Any,
    ) -> requests.Response:
        """Ask as the proxy does, signed in as the user; follow nothing, and stay on no stream."""
        sent: dict[str, str | None] = {
            "Host": host, "X-Forwarded-Proto": scheme, "X-Forwarded-For": "192.0.2.7",
        }  # fmt: skip
        if user is not None:
            sent["Cookie"] = f"{SESSION_COOKIE}={session_of(user)}"
        sent.update(headers or {})
        with requests.request(
            method, f"http://127.0.0.1:{self.port}{path}", headers=sent, stream=True,
            timeout=REQUEST_TIMEOUT_S, allow_redirects=False, **body,
        ) as answer:  # fmt: skip
            if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
                # Read here: whoever looks at the status alone would leave the connection open.
                _ = answer.content
        return answer

    def submit(
        self,
        path: str,
        fields: Mapping[str, object] | None = None,
        *,
        user: User | None = None,
        session_key: str = "",
        headers: Mapping[str, str | None] | None = None,
        **asked: Any,
    ) -> requests.Response:
        """Send a form as a page of ours does, as the user or in a session that there is."""
        key = session_key or (session_of(user) if user else "")
        cookie = f"{CSRF_COOKIE}={CSRF_TOKEN}" + (f"; {SESSION_COOKIE}={key}" if key else "")
        sent = {"Origin": f"https://{HOST}", "X-CSRFToken": CSRF_TOKEN, "Cookie": cookie}
        return self.ask(
            path, method="POST", headers={**sent, **(headers or {})}, data=fields or {}, **asked
        )


def cookies_of(response: requests.Response) -> SimpleCookie:
    """Read what the answer has the browser keep; requests joins the headers into one."""
    cookies = SimpleCookie()
    for line in response.raw.headers.getlist("Set-Cookie"):
        cookies.load(line)
    return cookies


def session_of(user: User) -> str:
    """Sign the person in, and return the session's key."""
    client = Client()
    client.force_login(user)
    return client.session.session_key or ""


def manage(*command: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command of manage.py with nothing of this environment but the path."""
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=REPOSITORY, env=dict(environment), capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
