"""The wizard: four steps, each its own address, to leave and come back to at any of them.

Step 2, the organisation, is `github_select_org` in views/github.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_safe

from integrations import tasks
from integrations.constants import RunTrigger
from integrations.github.errors import GitHubError
from integrations.live.cards import MemberSyncCard
from integrations.live.channels import channel_of
from integrations.models import CredentialUnreadable, InstallationRequest
from integrations.numbers import whole_number
from integrations.reasons import reason_for
from integrations.services.connections import SyncRefused
from integrations.services.repository_list import refresh_if_stale
from integrations.services.runs import start_run
from integrations.views.helpers import (
    TeamRequest,
    integration_of,
    login_and_team_required,
    organization_or_404,
    team_admin_required,
)

if TYPE_CHECKING:
    from django.http import HttpResponse

    from integrations.models import GitHubIntegration

REPOSITORIES_PER_PAGE: Final = 100


class TokenForm(forms.Form):
    """A personal access token, pasted."""

    token = forms.CharField(
        max_length=255,
        strip=True,
        widget=forms.PasswordInput(
            attrs={"autocomplete": "off", "spellcheck": "false"}, render_value=False
        ),
    )


@login_and_team_required
@require_safe
def onboarding(request: TeamRequest) -> HttpResponse:
    """Lead to the step that comes next for this team."""
    integration = integration_of(request)
    if not request.membership.is_admin or integration.onboarded_at is not None:
        step = "github_members"
    elif not integration.is_connected:
        step = "onboarding_connect"
    elif not integration.has_organization:
        step = "github_select_org"
    else:
        step = "onboarding_repositories"
    return redirect(step, request.team.slug)


@login_and_team_required
@require_safe
def onboarding_connect(request: TeamRequest) -> HttpResponse:
    """Step 1: connect GitHub."""
    return render_connect(request, TokenForm())


def render_connect(request: TeamRequest, form: TokenForm, *, status: int = 200) -> HttpResponse:
    """Render step 1, also for a token that GitHub refused."""
    context = {
        "oauth_available": bool(settings.GITHUB_CLIENT_ID and settings.GITHUB_CLIENT_SECRET),
        "app_available": settings.GITHUB_APP_CONFIGURED,
        "installation_request": InstallationRequest.objects.filter(team=request.team).first(),
        "token_form": form,
        "integration": integration_of(request),
        "credential": integration_of(request).credential,
        "is_admin": request.membership.is_admin,
        "github_url": settings.GITHUB_URL,
        "step": 1,
    }
    return render(request, "onboarding/connect.html", context, status=status)


@team_admin_required
@require_http_methods(["GET", "POST"])
def onboarding_repositories(request: TeamRequest) -> HttpResponse:
    """Step 3: choose the repositories to track, while the members sync in the background."""
    integration = organization_or_404(request)
    if request.method == "POST":
        return _track_repositories(request, integration)
    query = request.GET.get("q", "").replace("\0", "").strip()[:100]
    listing_error = _list_repositories(integration)
    repositories = integration.repositories.matching(query)
    card = MemberSyncCard.of(integration)
    context = {
        "integration": integration,
        "page": Paginator(repositories, REPOSITORIES_PER_PAGE).get_page(request.GET.get("page")),
        "q": query,
        "tracked_count": integration.repositories.tracked().count(),
        "total_count": integration.repositories.count(),
        "listing_error": listing_error,
        "card": card,
        "revision": request.team.revision,
        "channel": channel_of(request.team.pk),
        "step": 3,
    }
    return render(request, "onboarding/repositories.html", context)


def _list_repositories(integration: GitHubIntegration) -> str:
    """Bring the list up to date; return a sentence when GitHub doesn't let us."""
    try:
        refresh_if_stale(integration)
    except (GitHubError, SyncRefused, CredentialUnreadable) as exc:
        return reason_for(exc.reason).sentence
    return ""


def _track_repositories(request: TeamRequest, integration: GitHubIntegration) -> HttpResponse:
    """Store the choice made among the repositories shown on this page."""
    shown = _ids(request.POST.getlist("shown"))
    chosen = _ids(request.POST.getlist("repository")) & shown
    listed = integration.repositories.filter(pk__in=shown)
    listed.exclude(pk__in=chosen).update(is_tracked=False)
    fresh = list(listed.filter(pk__in=chosen, is_tracked=False))
    listed.filter(pk__in=chosen).update(is_tracked=True)
    try:
        for repository in fresh:
            started = start_run(
                integration,
                trigger=RunTrigger.ONBOARDING,
                person=request.user,
                repository=repository,
            )
            if not started.joined:
                tasks.sync_repository_manual_later(started.run)
    except tasks.QueueUnreachable as exc:
        messages.warning(request, reason_for(exc.reason).sentence)
    if request.POST.get("next") == "page":
        return redirect(f"{reverse('onboarding_repositories', args=[request.team.slug])}")
    return redirect("onboarding_done", request.team.slug)


def _ids(given: list[str]) -> set[int]:
    return {number for value in given if (number := whole_number(value)) is not None}


@team_admin_required
@require_safe
def onboarding_done(request: TeamRequest) -> HttpResponse:
    """Step 4: what was set up, and what is still running."""
    integration = organization_or_404(request)
    if integration.onboarded_at is None:
        integration.onboarded_at = timezone.now()
        integration.save(update_fields=["onboarded_at"])
    context = {
        "integration": integration,
        "card": MemberSyncCard.of(integration),
        "tracked_count": integration.repositories.tracked().count(),
        "organization_login": integration.organization_login,
        "revision": request.team.revision,
        "channel": channel_of(request.team.pk),
        "step": 4,
    }
    return render(request, "onboarding/done.html", context)


def connected_message(count: int) -> str:
    """Say what becomes of the members after connecting; none have been read when it is queued."""
    if count == 0:
        return _("GitHub is connected. Members are syncing in the background.")
    return ngettext(
        "GitHub is connected. %(count)d member was read.",
        "GitHub is connected. %(count)d members were read.",
        count,
    ) % {"count": count}
