"""Where a backup goes, and a database elsewhere to restore it to."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.drills.databases import empty_database, on_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the backup goes."""
    return tmp_path / "rollcall.backup"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Callable[[], Any]]:
    """`with elsewhere():` is on another database, which is empty the first time."""
    with empty_database(tmp_path) as url:

        @contextmanager
        def entered() -> Iterator[None]:
            with on_database(url, migrates=False):
                yield

        yield entered
