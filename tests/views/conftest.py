"""Acme's pages, and its connection that was never synced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from tests.factories import GitHubIntegrationFactory

if TYPE_CHECKING:
    from collections.abc import Callable

    from integrations.models import GitHubIntegration, Team


@pytest.fixture
def integration(acme: Team) -> GitHubIntegration:
    """Acme's connected integration, never synced."""
    return GitHubIntegrationFactory(team=acme)


@pytest.fixture
def page(acme: Team) -> Callable[..., str]:
    """The address of one of acme's pages."""
    return lambda name, *args: reverse(name, args=[acme.slug, *args])
