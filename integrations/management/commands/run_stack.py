"""`manage.py run_stack`: the whole product on this machine, for `make run`.

Finds ports, makes database and demo accounts, runs Procfile.dev against the sandbox GitHub, and
says one line when people can come in. All state is under var/.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
import webbrowser
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any, Final

import redis
import requests
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from honcho.environ import parse_procfile

from integrations.management.commands.create_demo import ADMIN_EMAIL, MEMBER_EMAIL
from integrations.management.supervisor import Stage, Supervisor
from integrations.sandbox.apps.app import new_private_key

HOST: Final = "127.0.0.1"
WEB_PORT: Final = 8000
SANDBOX_PORT: Final = 8801
VALKEY_PORT: Final = 6399
HELPERS: Final = ("valkey", "sandbox")
# Known to everyone who reads this; the stack listens on this machine only.
DEMO_PASSWORD: Final = "rollcall-demo"
PROBE_TIMEOUT_S: Final = 2
# More stacks than this from one checkout are a mistake.
STACK_COUNT_MAX: Final = 9


class Command(BaseCommand):
    help = "Runs Valkey, the sandbox GitHub, web, worker and scheduler until Ctrl-C."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--no-browser", action="store_true", help="do not open the page when it is ready"
        )

    def handle(self, *, no_browser: bool, **options: Any) -> None:
        with _claim_directory(settings.VAR_DIR) as lock:
            stack = LocalStack.in_directory(Path(lock.name).parent)
            self._prepare(stack)
            supervisor = Supervisor(
                stages=stack.stages(),
                environment=stack.environment(),
                on_ready=lambda: self._welcome(stack, opens_browser=not no_browser),
            )
            code = supervisor.run()
        sys.exit(code)

    def _prepare(self, stack: LocalStack) -> None:
        """Bring the database up to date and make the demo accounts, as the product itself would."""
        demo = ["create_demo", "--staff", "--password", DEMO_PASSWORD]
        for command in (["migrate", "--verbosity", "0"], demo):
            done = subprocess.run(
                [sys.executable, "manage.py", *command, "--skip-checks"],
                cwd=settings.BASE_DIR,
                env=stack.environment(),
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise CommandError(f"manage.py {command[0]} failed:\n{done.stderr.strip()}")

    def _welcome(self, stack: LocalStack, *, opens_browser: bool) -> None:
        self.stdout.write(
            f"Rollcall is ready at {stack.url}/ - sign in as {ADMIN_EMAIL}, password "
            f"{DEMO_PASSWORD} (an ordinary member: {MEMBER_EMAIL}). Ctrl-C ends it.",
            self.style.SUCCESS,
        )
        self.stdout.write(f"The sandbox GitHub that it talks to: {stack.sandbox_url}/")
        self.stdout.flush()
        if opens_browser and sys.stdout.isatty() and _has_display():
            webbrowser.open(stack.url)


@dataclass(frozen=True)
class LocalStack:
    """Where the processes of one stack meet."""

    directory: Path
    web_port: int
    sandbox_port: int
    valkey_port: int
    started_at_ms: int

    @classmethod
    def in_directory(cls, directory: Path) -> LocalStack:
        return cls(
            directory=directory,
            web_port=_usable_port(WEB_PORT),
            sandbox_port=_usable_port(SANDBOX_PORT),
            valkey_port=_usable_port(VALKEY_PORT),
            started_at_ms=round(time.time() * 1000),
        )

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.web_port}"

    @property
    def sandbox_url(self) -> str:
        return f"http://{HOST}:{self.sandbox_port}"

    @property
    def redis_url(self) -> str:
        return f"redis://{HOST}:{self.valkey_port}"

    def environment(self) -> dict[str, str]:
        """Return what Procfile.dev and the settings read. A DATABASE_URL from outside is kept."""
        binaries = str(Path(sys.executable).parent)
        return {
            "DATABASE_URL": f"sqlite:///{self.directory / 'rollcall.sqlite3'}",
            # Where mails lead, which need not be where the port was free.
            "SITE_URL": f"http://{HOST}:{self.web_port}",
            **os.environ,
            "PATH": os.pathsep.join([binaries, os.environ.get("PATH", os.defpath)]),
            "PYTHONUNBUFFERED": "1",
            "PORT": str(self.web_port),
            "SANDBOX_PORT": str(self.sandbox_port),
            "SANDBOX_TOKENS": str(self.directory / "sandbox-tokens.json"),
            "VALKEY_PORT": str(self.valkey_port),
            "VALKEY_DIR": str(self.directory / "valkey"),
            "REDIS_URL": self.redis_url,
            # Its own Valkey, whatever a .env says.
            "BROKER_URL": "",
            "GITHUB_URL": self.sandbox_url,
            "GITHUB_API_URL": f"{self.sandbox_url}/api/v3",
            "GITHUB_CLIENT_ID": "sandbox-client",
            "GITHUB_CLIENT_SECRET": "sandbox-secret",
            **self.app_environment(),
        }

    def app_environment(self) -> dict[str, str]:
        """Return what the sandbox and the product know of the one GitHub App."""
        key_file = self.directory / "sandbox-app.pem"
        if not key_file.exists():
            key_file.write_text(new_private_key())
        return {
            "SANDBOX_APP_KEY": str(key_file),
            "SANDBOX_INSTALLATIONS": str(self.directory / "sandbox-installations.json"),
            "GITHUB_APP_ID": "4242",
            "GITHUB_APP_SLUG": "rollcall-sandbox",
            "GITHUB_APP_CLIENT_ID": "Iv23sandbox",
            "GITHUB_APP_CLIENT_SECRET": "sandbox-app-secret",
            "GITHUB_APP_PRIVATE_KEY": key_file.read_text(),
            "GITHUB_APP_URL": f"{self.sandbox_url}/apps/rollcall-sandbox",
            "GITHUB_WEBHOOK_SECRET": "sandbox-webhook-secret",
        }

    def stages(self) -> list[Stage]:
        """Return helpers first, then the product."""
        commands = parse_procfile((settings.BASE_DIR / "Procfile.dev").read_text()).processes
        helpers = {name: commands[name] for name in HELPERS}
        product = {name: line for name, line in commands.items() if name not in helpers}
        return [
            Stage(helpers, self._helpers_answer, is_quiet=True),
            Stage(product, self._product_answers),
        ]

    def _helpers_answer(self) -> bool:
        return _answers(self.sandbox_url) and self._valkey_answers()

    def _product_answers(self) -> bool:
        return self._has_worker() and _answers(self.url)

    def _valkey_answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.redis_url, socket_timeout=PROBE_TIMEOUT_S) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _has_worker(self) -> bool:
        """Say whether a heartbeat is younger than this stack: the last one left some behind."""
        key = f"{settings.BROKER_NAMESPACE}:__heartbeats__"
        with redis.Redis.from_url(f"{self.redis_url}/1", socket_timeout=PROBE_TIMEOUT_S) as client:
            return bool(client.zcount(key, self.started_at_ms, "+inf"))


def _claim_directory(var: Path) -> IO[str]:
    """Lock the first directory that no other stack of this checkout uses: each has its own data."""
    for number in range(1, STACK_COUNT_MAX + 1):
        directory = var if number == 1 else var / f"stack-{number}"
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / "stack.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return lock
    raise CommandError(f"{STACK_COUNT_MAX} stacks run from this checkout already.")


def _usable_port(preferred: int) -> int:
    """Return the preferred port, or one of the operating system's choice when it is taken."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            # As the servers do: a port that was in use a moment ago is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            chosen: int = probe.getsockname()[1]
            return chosen
    raise CommandError("No port of this machine is free.")


def _answers(url: str) -> bool:
    try:
        response = requests.get(url, timeout=PROBE_TIMEOUT_S, allow_redirects=False)
    except requests.RequestException:
        return False
    return response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR


def _has_display() -> bool:
    return sys.platform == "darwin" or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
