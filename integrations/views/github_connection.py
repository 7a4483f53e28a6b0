"""How a team's connection comes to be: GitHub's answer to OAuth, a pasted token, and its page."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from integrations.github.errors import BadCredentials, GitHubError, OAuthError
from integrations.models import CredentialUnreadable, User
from integrations.reasons import oauth_reason_for, reason_for
from integrations.services import connection
from integrations.views import app_installation, oauth_state
from integrations.views.helpers import (
    TeamRequest,
    integration_of,
    login_and_team_required,
    team_admin_required,
    team_to_connect,
)
from integrations.views.onboarding import TokenForm, render_connect

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from integrations.models import IntegrationCredential, Team


@login_required
@require_safe
def github_callback(request: HttpRequest) -> HttpResponse:
    """Take GitHub's answer to an attempt of this browser, once."""
    try:
        attempt = oauth_state.redeem(
            request.session, request.GET.get("state", ""), oauth_state.OAUTH, oauth_state.IDENTIFY
        )
    except oauth_state.OAuthStateInvalid:
        messages.error(request, reason_for("oauth_state_invalid").sentence)
        return redirect("home")
    team = team_to_connect(request, attempt.team_slug)
    error = request.GET.get("error")
    code = request.GET.get("code", "")
    if error or not code:
        messages.error(request, oauth_reason_for(error or "failed").sentence)
        return redirect("onboarding_connect", team.slug)
    if attempt.purpose == oauth_state.IDENTIFY:
        return app_installation.finish(request, team, attempt, code=code)
    sentence = _connect(request, team, code=code, code_verifier=attempt.code_verifier)
    if sentence:
        messages.error(request, sentence)
        return redirect("onboarding_connect", team.slug)
    return redirect("github_select_org", team.slug)


def _connect(request: HttpRequest, team: Team, *, code: str, code_verifier: str) -> str:
    """Exchange the code; return a sentence when that failed, else an empty string."""
    try:
        connection.connect_with_code(
            team,
            person=cast("User", request.user),
            code=code,
            redirect_uri=request.build_absolute_uri(reverse("github_callback")),
            code_verifier=code_verifier,
        )
    except OAuthError as exc:
        return oauth_reason_for(exc.code).sentence
    except (GitHubError, connection.ScopesMissing) as exc:
        return reason_for(exc.reason).sentence
    return ""


@team_admin_required
@require_POST
def github_connect_token(request: TeamRequest) -> HttpResponse:
    """Connect with a personal access token, checked at GitHub at once."""
    form = TokenForm(request.POST)
    if form.is_valid():
        try:
            token = form.cleaned_data["token"]
            connection.connect_with_token(request.team, person=request.user, token=token)
        except BadCredentials:
            form.add_error("token", _("GitHub doesn't accept this token."))
        except (GitHubError, connection.ScopesMissing) as exc:
            form.add_error("token", reason_for(exc.reason).sentence)
        else:
            return redirect("github_select_org", request.team.slug)
    return render_connect(request, form, status=400)


@login_and_team_required
@require_safe
def github_connection(request: TeamRequest) -> HttpResponse:
    """The connection: whose it is, what it may see, and how to end it."""
    integration = integration_of(request)
    credential = integration.credential
    context = {
        "integration": integration,
        "credential": credential,
        "scopes": credential.scopes.split() if credential else [],
        "unreadable": credential is not None and not _is_readable(credential),
        "is_admin": request.membership.is_admin,
        "nav": "connection",
    }
    return render(request, "integrations/github_connection.html", context)


def _is_readable(credential: IntegrationCredential) -> bool:
    try:
        return bool(credential.access_token)
    except CredentialUnreadable:
        return False
