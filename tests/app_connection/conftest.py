"""A club of six on GitHub, and Alice's browser; acme may be connected to it by the App."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integrations.services import app_connection

if TYPE_CHECKING:
    from django.test import Client

    from integrations.models import GitHubIntegration, Team, User
    from tests.sandbox_control import SandboxControl, SandboxOrganization


@pytest.fixture
def club(sandbox: SandboxControl) -> SandboxOrganization:
    return sandbox.organization(size=6)


@pytest.fixture
def connected(acme: Team, alice: User, club: SandboxOrganization) -> GitHubIntegration:
    """Acme, connected by the App on the club."""
    return app_connection.connect(acme, person=alice, installation_id=club.install())


@pytest.fixture
def browser(client: Client, alice: User) -> Client:
    client.force_login(alice)
    # The sandbox leads back to addresses of this machine only.
    client.defaults["HTTP_HOST"] = "localhost"
    return client
