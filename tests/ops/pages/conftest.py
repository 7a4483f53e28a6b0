"""Olga, an operator, at her browser; and a run that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.test import Client

from integrations.constants import RunTrigger
from integrations.services import transitions
from integrations.services.runs import start_run
from tests.factories import GitHubIntegrationFactory, UserFactory

if TYPE_CHECKING:
    from integrations.models import GitHubIntegration, SyncRun, Team, User


@pytest.fixture
def olga(db: None) -> User:
    """An operator: staff, and in no team."""
    found: User = UserFactory(email="olga@example.com", is_staff=True)
    return found


@pytest.fixture
def operator(olga: User) -> Client:
    client = Client()
    client.force_login(olga)
    return client


@pytest.fixture
def failed_run(acme: Team) -> SyncRun:
    integration: GitHubIntegration = GitHubIntegrationFactory(team=acme)
    run = start_run(integration, trigger=RunTrigger.MANUAL).run
    transitions.fail(run, "github_unavailable")
    return run
