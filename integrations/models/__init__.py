"""All models of Rollcall."""

from integrations.models.accounts import Membership, Team, User
from integrations.models.credentials import (
    CredentialUnreadable,
    InstallationRequest,
    IntegrationCredential,
)
from integrations.models.github import GitHubIntegration, RepositoryAccess, TrackedRepository
from integrations.models.members import HeldDeparture, MemberChange, PlannedChange, TeamMember
from integrations.models.runs import StatusTransition, SyncRun
from integrations.models.webhooks import DeliverySearch, WebhookDelivery, WebhookInbox

__all__ = [
    "CredentialUnreadable",
    "DeliverySearch",
    "GitHubIntegration",
    "HeldDeparture",
    "InstallationRequest",
    "IntegrationCredential",
    "MemberChange",
    "Membership",
    "PlannedChange",
    "RepositoryAccess",
    "StatusTransition",
    "SyncRun",
    "Team",
    "TeamMember",
    "TrackedRepository",
    "User",
    "WebhookDelivery",
    "WebhookInbox",
]
