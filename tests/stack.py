"""The product as it runs: web, worker and scheduler as processes of their own.

They work on this test's own database, Valkey and sandbox, so that a row that a test makes is a row
that they see. Knows nothing of what the pages mean.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import redis
import requests
from django.conf import settings
from django.db import connection
from django.test import Client

from tests.processes import REPOSITORY, Process, Valkey, free_port, is_listening

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from integrations.models import User

ALL: Final = ("web", "worker", "scheduler")
REQUEST_TIMEOUT_S: Final = 20


class Stack:
    """The processes by name; each can be stopped, killed and started again."""

    def __init__(
        self,
        *,
        log_dir: Path,
        valkey: Valkey,
        database: str = "",
        is_forked: bool = False,
        port: int = 0,
        root: Path = REPOSITORY,
    ) -> None:
        """`root` is the folder of the code; web listens at `port`, or at one that is free."""
        self.valkey = valkey
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {
            "DATABASE_URL": database or database_url(),
            "REDIS_URL": settings.REDIS_URL,
            "GITHUB_URL": settings.GITHUB_URL,
            "GITHUB_API_URL": settings.GITHUB_API_URL,
            "EMAIL_URL": "dummymail://",
            "dramatiq_queue_prefetch": "4",
        }
        self._processes = {
            name: Process(
                *command,
                name=name,
                log_dir=log_dir,
                environment=environment,
                is_forked=is_forked,
                root=root,
            )
            for name, command in _commands(self.port).items()
        }

    @property
    def web(self) -> Process:
        return self._processes["web"]

    @property
    def worker(self) -> Process:
        return self._processes["worker"]

    @property
    def scheduler(self) -> Process:
        return self._processes["scheduler"]

    def __getitem__(self, name: str) -> Process:
        return self._processes[name]

    def start(self, names: Iterable[str] = ALL) -> None:
        """Start these that do not run yet, side by side, and wait until each is at work."""
        wanted = [self._processes[name] for name in names if not self._processes[name].is_running]
        said_before = {process.name: len(process.output) for process in wanted}
        for process in wanted:
            process.start()
        for process in wanted:
            process.wait_ready(
                lambda process=process: self._is_ready(process, said_before[process.name])  # type: ignore[misc]
            )

    def stop(self) -> None:
        for process in self._processes.values():
            process.stop()

    def kill(self) -> None:
        """End what a test leaves: a worker that is asked to go takes four seconds over it."""
        for process in self._processes.values():
            process.kill()

    def _is_ready(self, process: Process, said_before: int) -> bool:
        if process is self.web:
            return is_listening(self.port)
        is_worker = process.name.startswith("worker")
        words = "ready for action" if is_worker else "scheduler started"
        return words in process.output[said_before:]

    def browser_session(self, user: User | None = None) -> requests.Session:
        """Return an HTTP session, signed in as the user; it sends the CSRF token along."""
        session = requests.Session()
        if user is not None:
            client = Client()
            client.force_login(user)
            session.cookies.set(settings.SESSION_COOKIE_NAME, client.session.session_key or "")
        token = "t" * 32
        session.cookies.set(settings.CSRF_COOKIE_NAME, token)
        session.headers.update({"X-CSRFToken": token, "Referer": self.url})
        return session

    def get(self, path: str, *, user: User | None = None) -> requests.Response:
        """Ask for a page and expect it to be there."""
        with self.browser_session(user) as session:
            response = session.get(f"{self.url}{path}", timeout=REQUEST_TIMEOUT_S)
        assert response.status_code == HTTPStatus.OK, (response.status_code, response.text[:500])
        return response

    def post(self, path: str, *, user: User, **fields: str) -> requests.Response:
        """Send a form as htmx does, and follow nothing."""
        with self.browser_session(user) as session:
            return session.post(
                f"{self.url}{path}",
                data=fields,
                headers={"HX-Request": "true"},
                timeout=REQUEST_TIMEOUT_S,
                allow_redirects=False,
            )

    def queue_length(self) -> int:
        """Count the messages that wait or are being worked on, over all queues."""
        with redis.Redis.from_url(settings.BROKER_REDIS_URL) as client:
            keys = client.keys(f"{settings.BROKER_NAMESPACE}:*.msgs")
            return sum(client.hlen(key) for key in keys if not key.endswith(b".XQ.msgs"))


def _commands(port: int) -> dict[str, tuple[str, ...]]:
    """Return what the Procfile starts, by name; further ones of a kind are started by name only."""
    web = (
        "-m", "uvicorn", "project.asgi:application", "--host", "127.0.0.1", "--port", str(port),
        "--no-proxy-headers", "--timeout-graceful-shutdown", "2",
    )  # fmt: skip
    worker = (
        "manage.py", "rundramatiq", "--processes", "1", "--threads", "12",
        "--skip-logging", "--worker-shutdown-timeout", "5000",
    )  # fmt: skip
    scheduler = ("manage.py", "run_scheduler")
    commands: dict[str, tuple[str, ...]] = {"web": web}
    commands |= dict.fromkeys(("worker", "worker-2"), worker)
    return commands | dict.fromkeys(("scheduler", "scheduler-2", "scheduler-3"), scheduler)


def database_url() -> str:
    """Say where the test database is, in the words of DATABASE_URL."""
    facts = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{facts['NAME']}"
    user = f"{facts['USER']}:{facts['PASSWORD']}" if facts["PASSWORD"] else facts["USER"]
    return f"postgres://{user}@{facts['HOST']}:{facts['PORT'] or 5432}/{facts['NAME']}"
