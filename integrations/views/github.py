"""Connecting a team to GitHub, its members, and its repositories.

Function views: they load rows for this person, call one service, and redirect or render. Nothing
here asks GitHub while a person waits for "Sync now".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from integrations import tasks
from integrations.constants import OAUTH_SCOPES, RunTrigger
from integrations.github import oauth
from integrations.github.rest import MembershipList
from integrations.live.cards import MemberSyncCard
from integrations.live.channels import channel_of
from integrations.numbers import whole_number
from integrations.reasons import reason_for
from integrations.services import connection
from integrations.services.organization_people import READERS, may_see
from integrations.services.runs import start_run
from integrations.views import oauth_state
from integrations.views.helpers import (
    TeamRequest,
    _sync_github_members_after_connection,
    integration_of,
    login_and_team_required,
    organization_or_404,
    team_admin_required,
)
from integrations.views.member_filters import filter_choices
from integrations.views.member_query import member_table
from integrations.views.onboarding import connected_message

if TYPE_CHECKING:
    from integrations.models import GitHubIntegration

REPOSITORIES_PER_PAGE: Final = 50


@team_admin_required
@require_POST
def github_connect(request: TeamRequest) -> HttpResponse:
    """Send the person to GitHub to allow the connection; GitHub leads back to `github_callback`."""
    if not settings.GITHUB_CLIENT_ID:
        messages.error(request, _("No OAuth app is set up on this server. Use a token instead."))
        return redirect("onboarding_connect", request.team.slug)
    attempt = oauth_state.remember(request.session, team_slug=request.team.slug)
    return redirect(
        oauth.authorize_url(
            github_url=settings.GITHUB_URL,
            client_id=settings.GITHUB_CLIENT_ID,
            redirect_uri=request.build_absolute_uri(reverse("github_callback")),
            state=attempt.state,
            code_challenge=oauth.challenge_of(attempt.code_verifier),
            scopes=OAUTH_SCOPES,
        )
    )


@team_admin_required
@require_http_methods(["GET", "POST"])
def github_select_org(request: TeamRequest) -> HttpResponse:
    """Step 2: choose the organisation among those the connection's owner belongs to."""
    integration = integration_of(request)
    if not integration.is_connected:
        return redirect("onboarding_connect", request.team.slug)
    if request.method == "POST":
        return _choose_organization(request, integration)
    return _render_organizations(request, integration)


def _choose_organization(request: TeamRequest, integration: GitHubIntegration) -> HttpResponse:
    organization_id = whole_number(request.POST.get("organization_id", ""))
    if organization_id is None:
        return _render_organizations(request, integration, error=_("Choose an organisation."))
    try:
        connection.choose_organization(integration, organization_id)
    except connection.NotYourOrganization:
        error = _("You are not an active member of that organisation. Choose one from the list.")
        return _render_organizations(request, integration, error=error)
    except connection.REFUSALS as exc:
        return _render_organizations(request, integration, error=reason_for(exc.reason).sentence)
    try:
        count = _sync_github_members_after_connection(integration, person=request.user)
    except tasks.QueueUnreachable as exc:
        messages.warning(request, reason_for(exc.reason).sentence)
    else:
        messages.success(request, connected_message(count))
    step = "github_members" if integration.onboarded_at else "onboarding_repositories"
    return redirect(step, request.team.slug)


def _render_organizations(
    request: TeamRequest, integration: GitHubIntegration, *, error: str = ""
) -> HttpResponse:
    """Render step 2: an answer of 400 says why a choice was not taken."""
    status, listed = (400 if error else 200), MembershipList((), ())
    try:
        listed = connection.list_organizations(integration)
    except connection.REFUSALS as exc:
        error, status = error or reason_for(exc.reason).sentence, status if error else 502
    chosen_id = integration.organization_id
    if chosen_id is None and len(listed.memberships) == 1:
        chosen_id = listed.memberships[0].organization_id
    context = {
        "memberships": listed.memberships,
        "hidden_organization_count": len(listed.hidden_organization_ids),
        "chosen_id": chosen_id,
        "error": error,
        "integration": integration,
        "credential": integration.credential,
        "step": 2,
    }
    return render(request, "onboarding/organization.html", context, status=status)


@team_admin_required
@require_POST
def github_disconnect(request: TeamRequest) -> HttpResponse:
    """Forget the connection and revoke it at GitHub, as well as it goes; the roster stays."""
    integration = organization_or_404(request)
    if connection.disconnect(integration):
        messages.success(request, _("GitHub is disconnected and the token revoked there."))
    else:
        messages.success(request, _("GitHub is disconnected. Your roster stays as it is."))
    return redirect("github_connection", request.team.slug)


@login_and_team_required
@require_safe
def github_members(request: TeamRequest) -> HttpResponse:
    """The roster, with the live card above it."""
    return _members_page(request, integration_of(request))


def _members_page(
    request: TeamRequest, integration: GitHubIntegration, *, status: int = 200
) -> HttpResponse:
    context = member_table(request) | {
        "choices": filter_choices(request),
        "sees": frozenset(kind for kind in READERS if may_see(integration, kind)),
        "integration": integration,
        "card": MemberSyncCard.of(integration),
        "revision": request.team.revision,
        "channel": channel_of(request.team.pk),
        "nav": "members",
    }
    return render(request, "integrations/github_members.html", context, status=status)


@login_and_team_required
@require_safe
def github_members_table(request: TeamRequest) -> HttpResponse:
    """The table alone: the page asks for it again when the roster changed."""
    return render(request, "integrations/partials/member_table.html", member_table(request))


@team_admin_required
@require_POST
def github_members_sync(request: TeamRequest) -> HttpResponse:
    """Start a member sync, or join the one under way. Calls nobody but database and queue."""
    integration = organization_or_404(request)
    if not integration.is_connected:
        return _refuse(request, integration, "not_connected", status=409)
    started = start_run(integration, trigger=RunTrigger.MANUAL, person=request.user)
    try:
        if not started.joined:
            tasks.sync_github_members_later(started.run)
    except tasks.QueueUnreachable as exc:
        return _refuse(request, integration, exc.reason, status=503)
    if request.htmx:
        return _progress(request, integration)
    messages.success(request, _("Syncing members in the background."))
    return redirect("github_members", request.team.slug)


def _refuse(
    request: TeamRequest, integration: GitHubIntegration, reason: str, *, status: int
) -> HttpResponse:
    """Say why a sync could not be started: in the card for htmx, on the page without."""
    if request.htmx:
        return _progress(request, integration, status=status)
    messages.error(request, reason_for(reason).sentence)
    return _members_page(request, integration, status=status)


def _progress(
    request: TeamRequest, integration: GitHubIntegration, *, status: int = 200
) -> HttpResponse:
    integration.refresh_from_db()
    card = MemberSyncCard.of(integration)
    template = "integrations/partials/member_sync_progress.html"
    return render(request, template, {"card": card}, status=status)


@login_and_team_required
@require_safe
def github_members_sync_progress(request: TeamRequest) -> HttpResponse:
    """Where the member sync stands: what a page falls back to when its stream is down."""
    integration = integration_of(request)
    card = MemberSyncCard.of(integration)
    if request.get_preferred_type(["text/html", "application/json"]) == "application/json":
        return JsonResponse(card.as_json())
    template = "integrations/partials/member_sync_progress.html"
    return render(request, template, {"card": card})
