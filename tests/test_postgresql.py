"""Our PostgreSQL backend: who says so waits a short time for the pool, everybody else as ever."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from psycopg_pool import ConnectionPool, PoolTimeout

from project.postgresql.base import DatabaseWrapper
from project.postgresql.patience import connects_within
from tests.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

POOL_TIMEOUT_S = 1.5


@pytest.fixture
def nowhere() -> Iterator[DatabaseWrapper]:
    """A database that nobody serves, and a pool that waits for it."""
    pool = {"min_size": 1, "max_size": 2, "timeout": POOL_TIMEOUT_S}
    where: dict[str, Any] = {
        "NAME": "rollcall", "USER": "rollcall", "PASSWORD": "", "HOST": "127.0.0.1",
        "PORT": str(free_port()), "OPTIONS": {"pool": pool},
    }  # fmt: skip
    made = DatabaseWrapper({**connection.settings_dict, **where}, alias="nowhere")
    yield made
    made.close_pool()


def seconds_until_it_fails(wrapper: DatabaseWrapper) -> float:
    begun_s = time.monotonic()
    with pytest.raises(PoolTimeout):
        wrapper.connect()
    return time.monotonic() - begun_s


def test_it_waits_as_long_as_the_caller_says(nowhere: DatabaseWrapper) -> None:
    with connects_within(0.1):
        assert seconds_until_it_fails(nowhere) < POOL_TIMEOUT_S
    # It was this block's wish alone.
    assert seconds_until_it_fails(nowhere) >= POOL_TIMEOUT_S


def test_the_pool_is_the_same_for_all(nowhere: DatabaseWrapper) -> None:
    with connects_within(0.1):
        assert nowhere.pool.max_size == 2
    assert isinstance(nowhere.pool, ConnectionPool)
