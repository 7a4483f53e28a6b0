"""Addresses of the product. A view's name is its address's name."""

from __future__ import annotations

from django.conf import settings
from django.urls import include, path

from integrations.live.stream import live
from integrations.ops.health import healthz, readyz
from integrations.ops.metrics import metrics
from integrations.views import (
    accounts,
    app_installation,
    csv_exports,
    github,
    github_connection,
    history,
    member_filters,
    member_switches,
    onboarding,
    previews,
    repositories,
    styleguide,
    sync_settings,
    team,
    team_invitations,
    webhooks,
)
from integrations.webhooks import github_webhooks_receive

team_patterns = [
    path("", accounts.team_home, name="team_home"),
    path("live/", live, name="live"),
    path("settings/", team.team_settings, name="team_settings"),
    path("settings/leave/", team.team_leave, name="team_leave"),
    path("settings/delete/", team.team_delete, name="team_delete"),
    path(
        "settings/people/<int:membership_id>/role/", team.team_person_role, name="team_person_role"
    ),
    path(
        "settings/people/<int:membership_id>/remove/",
        team.team_person_remove,
        name="team_person_remove",
    ),
    path("settings/invitations/", team_invitations.team_invite, name="team_invite"),
    path(
        "settings/invitations/<int:invitation_id>/send/",
        team_invitations.team_invitation_send,
        name="team_invitation_send",
    ),
    path(
        "settings/invitations/<int:invitation_id>/withdraw/",
        team_invitations.team_invitation_withdraw,
        name="team_invitation_withdraw",
    ),
    path("onboarding/", onboarding.onboarding, name="onboarding"),
    path("onboarding/connect/", onboarding.onboarding_connect, name="onboarding_connect"),
    path(
        "onboarding/repositories/",
        onboarding.onboarding_repositories,
        name="onboarding_repositories",
    ),
    path("onboarding/done/", onboarding.onboarding_done, name="onboarding_done"),
    path("github/connect/", github.github_connect, name="github_connect"),
    path(
        "github/connect/token/", github_connection.github_connect_token, name="github_connect_token"
    ),
    path("github/app/install/", app_installation.github_app_install, name="github_app_install"),
    path("github/app/find/", app_installation.github_app_find, name="github_app_find"),
    path(
        "github/app/request/withdraw/",
        app_installation.github_app_request_withdraw,
        name="github_app_request_withdraw",
    ),
    path(
        "github/installation/",
        app_installation.github_select_installation,
        name="github_select_installation",
    ),
    path("github/organization/", github.github_select_org, name="github_select_org"),
    path("github/connection/", github_connection.github_connection, name="github_connection"),
    path("github/disconnect/", github.github_disconnect, name="github_disconnect"),
    path("github/members/", github.github_members, name="github_members"),
    path("github/members.csv", csv_exports.github_members_csv, name="github_members_csv"),
    path("github/members/preview/", previews.github_members_preview, name="github_members_preview"),
    path("github/members/cancel/", history.github_members_cancel, name="github_members_cancel"),
    path("github/members/held/", previews.github_held, name="github_held"),
    path("github/members/<int:member_id>/", history.github_member, name="github_member"),
    path("github/history/", history.github_history, name="github_history"),
    path("github/history/changes.csv", csv_exports.github_history_csv, name="github_history_csv"),
    path("github/history/<int:run_id>/", history.github_run, name="github_run"),
    path(
        "github/history/<int:run_id>/changes.csv",
        csv_exports.github_run_csv,
        name="github_run_csv",
    ),
    path(
        "github/history/<int:run_id>/cancel/", history.github_run_cancel, name="github_run_cancel"
    ),
    path(
        "github/history/<int:run_id>/apply/",
        previews.github_preview_apply,
        name="github_preview_apply",
    ),
    path("github/settings/", sync_settings.github_settings, name="github_settings"),
    path("github/webhooks/", webhooks.github_webhooks, name="github_webhooks"),
    path("github/webhooks/<int:delivery_id>/", webhooks.github_webhook, name="github_webhook"),
    path(
        "github/webhooks/<int:delivery_id>/apply/",
        webhooks.github_webhook_apply,
        name="github_webhook_apply",
    ),
    path("github/members/table/", github.github_members_table, name="github_members_table"),
    path("github/members/switch/", member_switches.github_members_bulk, name="github_members_bulk"),
    path(
        "github/members/filters/",
        member_filters.github_member_filters,
        name="github_member_filters",
    ),
    path(
        "github/members/filters/<int:filter_id>/delete/",
        member_filters.github_member_filter_delete,
        name="github_member_filter_delete",
    ),
    path("github/members/sync/", github.github_members_sync, name="github_members_sync"),
    path(
        "github/members/sync/progress/",
        github.github_members_sync_progress,
        name="github_members_sync_progress",
    ),
    path(
        "github/members/<int:member_id>/toggle/",
        member_switches.github_member_toggle,
        name="github_member_toggle",
    ),
    path("github/repositories/", repositories.github_repos, name="github_repos"),
    path("github/repositories/sync/", repositories.github_repos_sync, name="github_repos_sync"),
    path("github/repositories/access.csv", csv_exports.github_access_csv, name="github_access_csv"),
    path("github/repositories/<int:repository_id>/", repositories.github_repo, name="github_repo"),
    path(
        "github/repositories/<int:repository_id>/toggle/",
        repositories.github_repo_toggle,
        name="github_repo_toggle",
    ),
    path(
        "github/repositories/<int:repository_id>/sync/",
        repositories.github_repo_sync,
        name="github_repo_sync",
    ),
]

urlpatterns = [
    path("", accounts.home, name="home"),
    path("teams/new/", accounts.team_new, name="team_new"),
    path("github/callback/", github_connection.github_callback, name="github_callback"),
    path("webhooks/github/", github_webhooks_receive, name="github_webhooks_receive"),
    path("github/setup/", app_installation.github_app_setup, name="github_app_setup"),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("invitations/<slug:token>/", team_invitations.team_invitation, name="team_invitation"),
    path("t/<slug:team_slug>/", include(team_patterns)),
    path("ops/", include("integrations.ops.urls")),
]
if settings.DEBUG:
    urlpatterns += [path("styleguide/", styleguide.styleguide, name="styleguide")]
