"""Connect by the GitHub App: to GitHub's installation page, back by its setup URL, and whose it is.

Nothing on the setup URL is believed. It leads on to GitHub's sign-in, and what GitHub then lists
for that person decides: services/app_connection.py.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlencode

import structlog
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from integrations import tasks
from integrations.github import oauth
from integrations.github.errors import OAuthError
from integrations.models import GitHubIntegration, InstallationRequest, User
from integrations.numbers import whole_number
from integrations.reasons import oauth_reason_for, reason_for
from integrations.services import app_connection, connection
from integrations.views import oauth_state
from integrations.views.helpers import (
    TeamRequest,
    _sync_github_members_after_connection,
    integration_of,
    team_admin_required,
    team_to_connect,
)
from integrations.views.onboarding import connected_message

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from integrations.github.app import Installation
    from integrations.models import Team
    from integrations.services.app_connection import Visitor
    from integrations.views.oauth_state import OAuthAttempt

logger = structlog.get_logger(__name__)

CHOICES_KEY: Final = "github_installations"
CHOICES_LIFETIME_S: Final = 10 * 60


@dataclass(frozen=True)
class InstallationChoice:
    """An installation that GitHub listed for this person, as the session remembers it."""

    installation_id: int
    organization_id: int
    login: str


@team_admin_required
@require_POST
def github_app_install(request: TeamRequest) -> HttpResponse:
    """Send the person to GitHub to install the App; GitHub leads back to `github_app_setup`."""
    _require_app()
    attempt = oauth_state.remember(
        request.session, team_slug=request.team.slug, purpose=oauth_state.INSTALL
    )
    query = urlencode({"state": attempt.state})
    return redirect(f"{settings.GITHUB_APP_URL}/installations/new?{query}")


@team_admin_required
@require_POST
def github_app_find(request: TeamRequest) -> HttpResponse:
    """Look for installations that are there already: a sign-in at GitHub and nothing else."""
    _require_app()
    attempt = oauth_state.remember(
        request.session, team_slug=request.team.slug, purpose=oauth_state.IDENTIFY
    )
    return _sign_in(request, attempt)


@login_required
@require_safe
def github_app_setup(request: HttpRequest) -> HttpResponse:
    """Take what GitHub's installation page sends back with, once, and find out who came back."""
    _require_app()
    try:
        attempt = oauth_state.redeem(
            request.session, request.GET.get("state", ""), oauth_state.INSTALL
        )
    except oauth_state.OAuthStateInvalid:
        messages.error(request, reason_for("app_state_invalid").sentence)
        return redirect("home")
    team = team_to_connect(request, attempt.team_slug)
    identify = oauth_state.remember(
        request.session,
        team_slug=team.slug,
        purpose=oauth_state.IDENTIFY,
        installation_id=whole_number(request.GET.get("installation_id", "")) or 0,
        is_request=request.GET.get("setup_action") == "request",
    )
    return _sign_in(request, identify)


def _require_app() -> None:
    if not settings.GITHUB_APP_CONFIGURED:
        raise Http404


def _sign_in(request: HttpRequest, attempt: OAuthAttempt) -> HttpResponse:
    return redirect(
        oauth.authorize_url(
            github_url=settings.GITHUB_URL,
            client_id=settings.GITHUB_APP_CLIENT_ID,
            redirect_uri=_callback_url(request),
            state=attempt.state,
            code_challenge=oauth.challenge_of(attempt.code_verifier),
            scopes=(),
        )
    )


def _callback_url(request: HttpRequest) -> str:
    return request.build_absolute_uri(reverse("github_callback"))


def finish(request: HttpRequest, team: Team, attempt: OAuthAttempt, *, code: str) -> HttpResponse:
    """Go on from GitHub's sign-in: connect, choose, or wait for the owners' approval."""
    try:
        visitor = app_connection.identify(
            code=code,
            redirect_uri=_callback_url(request),
            code_verifier=attempt.code_verifier,
        )
    except OAuthError as exc:
        return _refuse(request, team, oauth_reason_for(exc.code).sentence)
    except connection.REFUSALS as exc:
        return _refuse(request, team, reason_for(exc.reason).sentence)
    person = cast("User", request.user)
    if attempt.is_request:
        app_connection.remember_request(team, person=person, viewer=visitor.viewer)
        return redirect("onboarding_connect", team.slug)
    return _connect_or_choose(request, team, visitor, installation_id=attempt.installation_id)


def _connect_or_choose(
    request: HttpRequest, team: Team, visitor: Visitor, *, installation_id: int
) -> HttpResponse:
    installations = app_connection.connectable(visitor, team)
    if installation_id:
        named = next((one for one in installations if one.id == installation_id), None)
        if named is None:
            logger.warning(
                "installation is not the visitor's",
                team_id=team.pk,
                installation_id=installation_id,
                github_user_id=visitor.viewer.id,
            )
            return _refuse(request, team, reason_for("app_not_yours").sentence)
        installations = (named,)
    if not installations:
        return _refuse(request, team, reason_for("app_no_organisation").sentence)
    watched_id = (
        GitHubIntegration.objects.filter(team=team)
        .values_list("organization_id", flat=True)
        .first()
    )
    # Another organisation than before is a decision of its own, even when there is only one.
    if len(installations) == 1 and watched_id in (None, installations[0].account_id):
        return _connect(request, team, installations[0].id)
    _remember_choices(request, team, installations)
    return redirect("github_select_installation", team.slug)


def _refuse(request: HttpRequest, team: Team, sentence: str) -> HttpResponse:
    messages.error(request, sentence)
    return redirect("onboarding_connect", team.slug)


def _remember_choices(
    request: HttpRequest, team: Team, installations: tuple[Installation, ...]
) -> None:
    choices = [
        asdict(InstallationChoice(one.id, one.account_id, one.account_login))
        for one in installations
    ]
    request.session[CHOICES_KEY] = {
        "team_slug": team.slug,
        "listed_at_s": int(time.time()),
        "choices": choices,
    }


def _choices(request: TeamRequest) -> list[InstallationChoice]:
    """Return what GitHub listed for this person and team a short time ago."""
    listed: dict[str, Any] = request.session.get(CHOICES_KEY) or {}
    is_fresh = time.time() - listed.get("listed_at_s", 0) < CHOICES_LIFETIME_S
    if not is_fresh or listed.get("team_slug") != request.team.slug:
        return []
    return [InstallationChoice(**choice) for choice in listed["choices"]]


@team_admin_required
@require_http_methods(["GET", "HEAD", "POST"])
def github_select_installation(request: TeamRequest) -> HttpResponse:
    """Step 2 for the App: choose among the installations that are the person's."""
    choices = _choices(request)
    if not choices:
        return redirect("onboarding_connect", request.team.slug)
    error, status = "", 200
    if request.method == "POST":
        given = request.POST.get("installation_id", "")
        chosen = next((one for one in choices if str(one.installation_id) == given), None)
        if chosen is not None:
            del request.session[CHOICES_KEY]
            return _connect(request, request.team, chosen.installation_id)
        error, status = _("Choose an organisation."), 400
    integration = integration_of(request)
    context = {
        "choices": choices,
        "integration": integration,
        "is_another": integration.has_organization,
        "error": error,
        "step": 2,
    }
    return render(request, "onboarding/installation.html", context, status=status)


def _connect(request: HttpRequest, team: Team, installation_id: int) -> HttpResponse:
    """Connect by an installation that is the person's, and start the first sync."""
    person = cast("User", request.user)
    try:
        integration = app_connection.connect(team, person=person, installation_id=installation_id)
    except connection.REFUSALS as exc:
        return _refuse(request, team, reason_for(exc.reason).sentence)
    try:
        count = _sync_github_members_after_connection(integration, person=person)
    except tasks.QueueUnreachable as exc:
        messages.warning(request, reason_for(exc.reason).sentence)
    else:
        messages.success(request, connected_message(count))
    return redirect(
        "github_members" if integration.onboarded_at else "onboarding_repositories", team.slug
    )


@team_admin_required
@require_POST
def github_app_request_withdraw(request: TeamRequest) -> HttpResponse:
    """Stop waiting for the owners' approval. Their request on GitHub stays theirs to answer."""
    InstallationRequest.objects.filter(team=request.team).delete()
    return redirect("onboarding_connect", request.team.slug)
