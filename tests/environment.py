"""What has to stand before Django reads its settings: a Valkey and a sandbox GitHub per process.

A pytest plugin (`-p tests.environment`), because pytest-django loads the settings before any
conftest.py. Every xdist worker gets its own pair; the process that only hands out tests gets none.
It also closes the network.
"""

from __future__ import annotations

import ipaddress
import os
import signal
import sys
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.processes import SandboxProcess, Valkey
from tests.sandbox_control import app_settings

WORKER_ID: Final = os.environ.get("PYTEST_XDIST_WORKER", "main")


class NetworkClosed(RuntimeError):
    """A test reached for something beyond this machine. Not an OSError, so that nobody retries."""


@dataclass(frozen=True)
class Surroundings:
    """The real processes of this pytest process."""

    directory: Path
    valkey: Valkey
    sandbox: SandboxProcess

    def stop(self) -> None:
        self.sandbox.stop()
        if self.valkey.is_running:
            self.valkey.kill()


SURROUNDINGS: Final = pytest.StashKey[Surroundings]()


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    _set_environment()
    _let_ctrl_c_through()
    if not _only_hands_out_tests(early_config):
        sys.addaudithook(refuse_the_network)
        early_config.stash[SURROUNDINGS] = _start()
    return (yield)


def pytest_unconfigure(config: pytest.Config) -> None:
    surroundings = config.stash.get(SURROUNDINGS, None)
    if surroundings is not None:
        surroundings.stop()


def _only_hands_out_tests(config: pytest.Config) -> bool:
    return WORKER_ID == "main" and bool(getattr(config.known_args_namespace, "numprocesses", None))


def _set_environment() -> None:
    """Give the settings what tests rely on, whatever a developer's .env says."""
    os.environ.update(
        {
            "SECRET_KEY": "not-a-secret-for-tests-only",
            "DEBUG": "true",
            "HTTPS": "false",
            "FIELD_ENCRYPTION_KEYS": "",
            "ALLOWED_HOSTS": "localhost,127.0.0.1,testserver",
            "CSRF_TRUSTED_ORIGINS": "",
            "BROKER_URL": "",
            "BROKER_NAMESPACE": f"rollcall-{WORKER_ID}",
            "GITHUB_CLIENT_ID": "sandbox-client",
            "GITHUB_CLIENT_SECRET": "sandbox-secret",
            "GITHUB_WEBHOOK_SECRET": "sandbox-webhook-secret",
            "EMAIL_URL": "memorymail://",
            "GRIP_URL": "",
            "LOG_LEVEL": "INFO",
            "METRICS_TOKEN": "",
            "SENTRY_DSN": "",
        }
    )


def _let_ctrl_c_through() -> None:
    """Give SIGINT its meaning back: a background job ignores it, and so would its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _start() -> Surroundings:
    directory = Path(tempfile.mkdtemp(prefix=f"rollcall-tests-{WORKER_ID}-"))
    valkey, sandbox = Valkey(directory / "valkey"), SandboxProcess(log_dir=directory)
    valkey.start()
    sandbox.start()
    os.environ["REDIS_URL"] = valkey.url
    os.environ["GITHUB_URL"] = sandbox.url
    os.environ["GITHUB_CLIENT_ID"] = "sandbox-client"
    os.environ["GITHUB_CLIENT_SECRET"] = "sandbox-secret"
    os.environ["GITHUB_API_URL"] = f"{sandbox.url}/api/v3"
    os.environ.update(app_settings(sandbox.url))
    return Surroundings(directory=directory, valkey=valkey, sandbox=sandbox)


def refuse_the_network(event: str, arguments: tuple[object, ...]) -> None:
    """Audit hook: sees every socket of the process, whichever library opens it."""
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if host is not None and not _is_this_machine(str(host)):
        raise NetworkClosed(f"tests may only reach this machine, not {host}")


def _is_this_machine(host: str) -> bool:
    if host in {"", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
