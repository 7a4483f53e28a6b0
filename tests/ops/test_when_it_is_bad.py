"""Dashboard, health and metrics answer within two seconds, whatever is away or hangs."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from tests.factories import UserFactory
from tests.processes import free_port
from tests.stack import Stack

if TYPE_CHECKING:
    from integrations.models import User
    from tests.processes import Valkey

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]

# The bar is two seconds; a loaded machine may take as long again for a page that waits for nothing.
PATIENCE_S = 4.0
PATHS = ("/ops/", "/readyz", "/healthz", "/metrics")


@pytest.fixture
def operator(transactional_db: None) -> User:
    operator: User = UserFactory(email="olga@example.com", is_staff=True)
    return operator


def answers(stack: Stack, session: requests.Session) -> dict[str, requests.Response]:
    """Ask for each page, twice: the second time nobody may have grown impatient."""
    found = {}
    for path in PATHS * 2:
        begun_s = time.monotonic()
        found[path] = session.get(f"{stack.url}{path}", timeout=20, allow_redirects=False)
        assert time.monotonic() - begun_s < PATIENCE_S, path
    return found


@pytest.mark.parametrize("stack", [("web",)], indirect=True)
class TestRedis:
    def check(self, stack: Stack, operator: User) -> None:
        with stack.browser_session(operator) as session:
            found = answers(stack, session)
        assert found["/ops/"].status_code == 200
        assert "Redis doesn't answer" in found["/ops/"].text.replace("&#x27;", "'")
        assert found["/readyz"].status_code == 503
        assert found["/healthz"].status_code == 200
        assert found["/metrics"].status_code == 200
        assert 'rollcall_up{part="redis"} 0' in found["/metrics"].text

    def test_it_may_be_away(self, stack: Stack, operator: User, valkey: Valkey) -> None:
        valkey.stop()
        self.check(stack, operator)

    def test_it_may_hang(self, stack: Stack, operator: User, valkey: Valkey) -> None:
        with valkey.hanging():
            self.check(stack, operator)


@pytest.fixture(params=["refused", "hung"])
def database_port(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port where no PostgreSQL answers: nobody listens, or somebody who says nothing."""
    if request.param == "refused":
        yield free_port()
        return
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        yield silent.getsockname()[1]


@pytest.fixture
def web(
    transactional_db: None, valkey: Valkey, tmp_path: Path, database_port: int
) -> Iterator[Stack]:
    """A web process whose database is not there."""
    url = f"postgres://rollcall:secret-of-the-database@127.0.0.1:{database_port}/rollcall"
    running = Stack(log_dir=tmp_path, valkey=valkey, database=url)
    try:
        running.start(("web",))
        yield running
    finally:
        running.kill()


class TestDatabase:
    def test_it_may_be_away_or_hang(self, web: Stack, operator: User) -> None:
        with web.browser_session(operator) as session:
            found = answers(web, session)
            assert found["/ops/"].status_code == 503
            assert "database" in found["/ops/"].text
            assert found["/readyz"].status_code == 503
            assert found["/healthz"].status_code == 200
        assert "secret-of-the-database" not in web.web.output
