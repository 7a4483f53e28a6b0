"""Statements are kept while somebody counts them, and else not even with DEBUG on."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from integrations.models import Team


@pytest.mark.django_db
def test_a_process_that_serves_no_request_keeps_none(settings: Any) -> None:
    settings.DEBUG = True
    before = len(connection.queries_log)
    for _ in range(3):
        Team.objects.count()
    assert len(connection.queries_log) == before


@pytest.mark.django_db
def test_who_counts_them_gets_them() -> None:
    with CaptureQueriesContext(connection) as counted:
        Team.objects.count()
    assert len(counted) == 1
