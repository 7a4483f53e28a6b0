"""All models of Rollcall."""

from integrations.models.accounts import Membership, Team, User
from integrations.models.credentials import CredentialUnreadable, IntegrationCredential
from integrations.models.github import GitHubIntegration, RepositoryAccess, TrackedRepository
from integrations.models.members import HeldDeparture, MemberChange, PlannedChange, TeamMember
from integrations.models.runs import StatusTransition, SyncRun

__all__ = [
    "CredentialUnreadable",
    "GitHubIntegration",
    "HeldDeparture",
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
]
