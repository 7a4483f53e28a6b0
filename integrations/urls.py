"""Addresses of the product. A view's name is its address's name."""

from __future__ import annotations

from django.conf import settings
from django.urls import include, path

from integrations.live.stream import live
from integrations.views import accounts, github, github_connection, onboarding, styleguide

team_patterns = [
    path("", accounts.team_home, name="team_home"),
    path("live/", live, name="live"),
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
    path("github/organization/", github.github_select_org, name="github_select_org"),
    path("github/connection/", github_connection.github_connection, name="github_connection"),
    path("github/disconnect/", github.github_disconnect, name="github_disconnect"),
    path("github/members/", github.github_members, name="github_members"),
    path("github/members/table/", github.github_members_table, name="github_members_table"),
    path("github/members/sync/", github.github_members_sync, name="github_members_sync"),
    path(
        "github/members/sync/progress/",
        github.github_members_sync_progress,
        name="github_members_sync_progress",
    ),
    path(
        "github/members/<int:member_id>/toggle/",
        github.github_member_toggle,
        name="github_member_toggle",
    ),
    path("github/repositories/", github.github_repos, name="github_repos"),
    path(
        "github/repositories/<int:repository_id>/toggle/",
        github.github_repo_toggle,
        name="github_repo_toggle",
    ),
    path(
        "github/repositories/<int:repository_id>/sync/",
        github.github_repo_sync,
        name="github_repo_sync",
    ),
]

urlpatterns = [
    path("", accounts.home, name="home"),
    path("teams/new/", accounts.team_new, name="team_new"),
    path("github/callback/", github_connection.github_callback, name="github_callback"),
    path("t/<slug:team_slug>/", include(team_patterns)),
]
if settings.DEBUG:
    urlpatterns += [path("styleguide/", styleguide.styleguide, name="styleguide")]
