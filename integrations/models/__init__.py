"""All models of Rollcall."""

from integrations.models.accounts import Membership, Team, TeamInvitation, User
from integrations.models.credentials import (
    CredentialUnreadable,
    InstallationRequest,
    IntegrationCredential,
)
from integrations.models.github import GitHubIntegration, RepositoryAccess, TrackedRepository
from integrations.models.member_changes import MemberChange, PlannedChange
from integrations.models.members import HeldDeparture, TeamMember
from integrations.models.operations import MessageAttempt, OperatorAct, PausedQueue
from integrations.models.organization_people import (
    OrganizationInvitation,
    OrganizationTeam,
    OrganizationTeamMember,
    OutsideCollaborator,
    VerifiedEmail,
)
from integrations.models.runs import StatusTransition, SyncRun
from integrations.models.saved_filters import SavedMemberFilter
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
    "MessageAttempt",
    "OperatorAct",
    "OrganizationInvitation",
    "OrganizationTeam",
    "OrganizationTeamMember",
    "OutsideCollaborator",
    "PausedQueue",
    "PlannedChange",
    "RepositoryAccess",
    "SavedMemberFilter",
    "StatusTransition",
    "SyncRun",
    "Team",
    "TeamInvitation",
    "TeamMember",
    "TrackedRepository",
    "User",
    "VerifiedEmail",
    "WebhookDelivery",
    "WebhookInbox",
]
