"""The production web process, on this test's database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.security.production import ProductionWeb, environment, manage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.environment import Surroundings


@pytest.fixture(scope="session")
def static_root(surroundings: Surroundings) -> Path:
    """The static files with hashed names, as `Procfile`'s release command gathers them."""
    root = surroundings.directory / "static"
    secrets = {"SECRET_KEY": "x" * 60, "PATH": ""}
    done = manage("collectstatic", "--noinput", environment={**environment(root), **secrets})
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="module")
def production_web(
    django_db_setup: None, surroundings: Surroundings, static_root: Path
) -> Iterator[ProductionWeb]:
    """One process for all tests of a module: they look at it, and break nothing of it.

    No longer than that: it listens to the Valkey of all tests, and beats into it.
    """
    web = ProductionWeb.on_test_database(log_dir=surroundings.directory, static_root=static_root)
    try:
        web.start()
        yield web
    finally:
        web.process.stop()


@pytest.fixture
def production(production_web: ProductionWeb, transactional_db: None) -> ProductionWeb:
    return production_web
