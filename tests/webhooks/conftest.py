"""A team that hears of its organisation by webhook alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.factories import GitHubIntegrationFactory

if TYPE_CHECKING:
    from integrations.models import GitHubIntegration, Team


@pytest.fixture
def watched(acme: Team) -> GitHubIntegration:
    """Acme, connected by a token of its owner to an organisation nobody asks about."""
    found: GitHubIntegration = GitHubIntegrationFactory(team=acme)
    return found
