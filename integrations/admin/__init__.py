"""Django's admin for every model. Statuses and history are read-only, tokens never shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin

from integrations.admin import people  # noqa: F401 (registers)
from integrations.models import (
    DeliverySearch,
    GitHubIntegration,
    HeldDeparture,
    InstallationRequest,
    IntegrationCredential,
    MemberChange,
    MessageAttempt,
    OperatorAct,
    OrganizationInvitation,
    OrganizationTeam,
    OrganizationTeamMember,
    OutsideCollaborator,
    PausedQueue,
    PlannedChange,
    RepositoryAccess,
    SavedMemberFilter,
    StatusTransition,
    SyncRun,
    TeamInvitation,
    TeamMember,
    TrackedRepository,
    VerifiedEmail,
    WebhookDelivery,
    WebhookInbox,
)

if TYPE_CHECKING:
    from django.http import HttpRequest


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Rows that only the product writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(TeamInvitation)
class TeamInvitationAdmin(ReadOnlyAdmin):
    list_display = ["team", "email", "role", "invited_by", "created_at", "outcome"]
    list_filter = ["outcome"]
    list_select_related = ["team", "invited_by"]
    search_fields = ["email"]


@admin.register(IntegrationCredential)
class IntegrationCredentialAdmin(ReadOnlyAdmin):
    list_display = ["team", "kind", "github_username", "status", "connected_at"]
    list_filter = ["kind", "status"]
    list_select_related = ["team"]
    exclude = ["encrypted_access_token", "encrypted_refresh_token"]


@admin.register(InstallationRequest)
class InstallationRequestAdmin(ReadOnlyAdmin):
    list_display = ["team", "person", "github_username", "requested_at"]
    list_select_related = ["team", "person"]


@admin.register(WebhookInbox)
class WebhookInboxAdmin(ReadOnlyAdmin):
    list_display = ["account_id", "message_at", "lease_expires_at"]


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    list_display = ["received_at", "event", "action", "status", "outcome", "guid"]
    list_filter = ["status", "event"]
    search_fields = ["guid"]
    # People's e-mail addresses stand in it; the settings page masks them.
    exclude = ["body"]


@admin.register(DeliverySearch)
class DeliverySearchAdmin(ReadOnlyAdmin):
    list_display = ["next_at", "searched_until", "found_at", "found_count", "error_code"]


@admin.register(GitHubIntegration)
class GitHubIntegrationAdmin(ReadOnlyAdmin):
    list_display = ["team", "organization_login", "member_sync_status", "member_sync_completed_at"]
    list_filter = ["member_sync_status"]
    list_select_related = ["team"]
    search_fields = ["organization_login", "team__name"]


@admin.register(TrackedRepository)
class TrackedRepositoryAdmin(ReadOnlyAdmin):
    list_display = ["full_name", "is_tracked", "sync_status", "sync_completed_at"]
    list_filter = ["is_tracked", "sync_status"]
    search_fields = ["full_name"]


@admin.register(RepositoryAccess)
class RepositoryAccessAdmin(ReadOnlyAdmin):
    list_display = ["repository", "github_username", "permission"]
    list_select_related = ["repository"]
    search_fields = ["github_username", "repository__full_name"]


@admin.register(TeamMember)
class TeamMemberAdmin(ReadOnlyAdmin):
    list_display = ["github_username", "name", "team", "role", "is_active"]
    list_filter = ["is_active", "role", "deactivated_by"]
    list_select_related = ["team"]
    search_fields = ["github_username", "name", "email"]


@admin.register(MemberChange)
class MemberChangeAdmin(ReadOnlyAdmin):
    list_display = ["at", "github_username", "kind", "team"]
    list_filter = ["kind"]
    list_select_related = ["team"]
    search_fields = ["github_username"]


@admin.register(SavedMemberFilter)
class SavedMemberFilterAdmin(ReadOnlyAdmin):
    list_display = ("name", "team", "user", "querystring")


@admin.register(PlannedChange)
class PlannedChangeAdmin(ReadOnlyAdmin):
    list_display = ["run", "github_username", "kind"]
    list_filter = ["kind"]
    list_select_related = ["run"]
    search_fields = ["github_username"]


@admin.register(HeldDeparture)
class HeldDepartureAdmin(ReadOnlyAdmin):
    list_display = ["member", "held_at", "run"]
    list_select_related = ["member", "run"]
    search_fields = ["member__github_username"]


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnlyAdmin):
    list_display = ["pk", "integration", "kind", "trigger", "status", "error_code", "created_at"]
    list_filter = ["kind", "trigger", "status", "error_code"]
    list_select_related = ["integration"]
    search_fields = ["integration__organization_login"]


@admin.register(StatusTransition)
class StatusTransitionAdmin(ReadOnlyAdmin):
    list_display = ["at", "team", "run", "from_status", "to_status", "reason"]
    list_filter = ["to_status", "reason"]
    list_select_related = ["team", "run"]


@admin.register(OrganizationInvitation, OutsideCollaborator)
class OtherPersonAdmin(ReadOnlyAdmin):
    list_display = ["__str__", "team"]
    list_select_related = ["team"]
    search_fields = ["github_username"]


@admin.register(OrganizationTeam)
class OrganizationTeamAdmin(ReadOnlyAdmin):
    list_display = ["name", "team"]
    list_select_related = ["team"]
    search_fields = ["name"]


@admin.register(OrganizationTeamMember)
class OrganizationTeamMemberAdmin(ReadOnlyAdmin):
    list_display = ["github_id", "organization_team"]
    list_select_related = ["organization_team"]
    search_fields = ["organization_team__name"]


@admin.register(VerifiedEmail)
class VerifiedEmailAdmin(ReadOnlyAdmin):
    list_display = ["email", "team"]
    list_select_related = ["team"]
    search_fields = ["email"]


@admin.register(MessageAttempt)
class MessageAttemptAdmin(ReadOnlyAdmin):
    list_display = ["finished_at", "queue", "actor", "outcome", "ran_ms", "error"]
    list_filter = ["outcome", "queue", "actor"]
    search_fields = ["message_id"]


@admin.register(OperatorAct)
class OperatorActAdmin(ReadOnlyAdmin):
    list_display = ["at", "by", "kind", "subject", "count"]
    list_filter = ["kind"]
    search_fields = ["by", "subject"]


@admin.register(PausedQueue)
class PausedQueueAdmin(ReadOnlyAdmin):
    list_display = ["queue", "paused_by", "paused_at"]
    list_select_related = ["paused_by"]
