"""Invitations into a team: admins send and withdraw them, and whoever has the link may join."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from allauth.account.adapter import get_adapter
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from integrations.constants import TeamRole
from integrations.models import Team
from integrations.services import invitations
from integrations.views.helpers import TeamRequest, team_admin_required
from integrations.views.team_page import InvitationForm, says_why, settings_page

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from integrations.models import TeamInvitation, User


@team_admin_required
@require_POST
@says_why
def team_invite(request: TeamRequest) -> HttpResponse:
    """Invite an address into the team."""
    form = InvitationForm(request.POST)
    if not form.is_valid():
        return settings_page(request, invitation_form=form, status=400)
    email, role = form.cleaned_data["email"], TeamRole(form.cleaned_data["role"])
    return _sent(request, invitations.invite(request.team, email, role, by=request.user))


@team_admin_required
@require_POST
@says_why
def team_invitation_send(request: TeamRequest, invitation_id: int) -> HttpResponse:
    """Send an invitation again, with a new link and a week from now."""
    return _sent(request, invitations.send_again(request.team, invitation_id, by=request.user))


def _sent(request: TeamRequest, invitation: TeamInvitation) -> HttpResponse:
    words = _("An invitation is on its way to %(email)s.")
    messages.success(request, words % {"email": invitation.email})
    return redirect("team_settings", request.team.slug)


@team_admin_required
@require_POST
@says_why
def team_invitation_withdraw(request: TeamRequest, invitation_id: int) -> HttpResponse:
    """End an invitation: its link leads nowhere from now on."""
    invitation = invitations.withdraw(request.team, invitation_id, by=request.user)
    words = _("The invitation of %(email)s is withdrawn.")
    messages.success(request, words % {"email": invitation.email})
    return redirect("team_settings", request.team.slug)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def team_invitation(request: HttpRequest, token: str) -> HttpResponse:
    """What a mailed link leads to: it shows who invites whom; joining takes a POST."""
    if request.method == "POST" and not request.user.is_authenticated:
        return redirect_to_login(request.path)
    try:
        if request.method == "POST":
            return _join(request, token)
        return _invitation_page(request, token)
    except invitations.InvitationGone as exc:
        # A link that was used already shows the way to whom it brought in, and to nobody else.
        own = Team.objects.for_user(request.user)
        team = own.filter(pk=exc.team.pk).first() if exc.team else None
        context = {"reason": exc.reason, "team": team}
        status = 404 if exc.reason == invitations.UNKNOWN else 410
        return render(request, "team/invitation_gone.html", context, status=status)


def _join(request: HttpRequest, token: str) -> HttpResponse:
    try:
        team = invitations.accept(token, person=cast("User", request.user))
    except invitations.NotInvited:
        return _invitation_page(request, token)
    messages.success(request, _("You are in %(team)s now.") % {"team": team.name})
    return redirect("team_home", team.slug)


def _invitation_page(request: HttpRequest, token: str) -> HttpResponse:
    """Show the invitation; 403 tells a person that somebody else is meant."""
    invitation = invitations.find(token)
    is_invited = False
    if request.user.is_authenticated:
        is_invited = invitations.is_for(invitation, request.user)
    else:
        # The link was mailed to this address and nowhere else: an account that is made for it now
        # need not be asked to confirm it once more.
        get_adapter(request).stash_verified_email(request, invitation.email)
    context = {"invitation": invitation, "team": invitation.team, "is_invited": is_invited}
    status = 403 if request.user.is_authenticated and not is_invited else 200
    return render(request, "team/invitation.html", context, status=status)
