"""An organisation of 120 people, two pages, tied to a team whose roster is synced once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.syncing import connect, sync

if TYPE_CHECKING:
    from integrations.models import GitHubIntegration
    from tests.sandbox_control import SandboxControl, SandboxOrganization


@pytest.fixture
def organization(sandbox: SandboxControl) -> SandboxOrganization:
    return sandbox.organization(size=120)


@pytest.fixture
def integration(organization: SandboxOrganization) -> GitHubIntegration:
    return connect(organization)


@pytest.fixture
def synced(integration: GitHubIntegration) -> GitHubIntegration:
    sync(integration)
    return integration
