"""What the cases ask again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from integrations.models import GitHubIntegration
    from tests.sandbox_control import SandboxOrganization


def all_are_there(integration: GitHubIntegration, count: int = 120) -> bool:
    """Say whether nobody was concluded to have left."""
    return integration.team.members.active().count() == count


def graphql_calls(organization: SandboxOrganization) -> int:
    return sum(call["path"] == "/api/graphql" for call in organization.requests())
