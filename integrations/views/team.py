"""A team's settings: its name, its people and their roles, and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from integrations.constants import TeamRole
from integrations.services import team_people
from integrations.views.accounts import TeamForm
from integrations.views.helpers import TeamRequest, login_and_team_required, team_admin_required
from integrations.views.team_page import RoleForm, says_why, settings_page

if TYPE_CHECKING:
    from django.http import HttpResponse


@login_and_team_required
@require_http_methods(["GET", "HEAD", "POST"])
@says_why
def team_settings(request: TeamRequest) -> HttpResponse:
    """Show the team and its people; an admin gives it another name."""
    if request.method != "POST":
        return settings_page(request)
    if not request.membership.is_admin:
        raise PermissionDenied
    form = TeamForm(request.POST)
    if not form.is_valid():
        return settings_page(request, name_form=form, status=400)
    team_people.rename(request.team, form.cleaned_data["team_name"], by=request.user)
    messages.success(request, _("Saved."))
    return redirect("team_settings", request.team.slug)


@team_admin_required
@require_POST
@says_why
def team_person_role(request: TeamRequest, membership_id: int) -> HttpResponse:
    """Make a person an admin, or a member."""
    form = RoleForm(request.POST)
    if not form.is_valid():
        return settings_page(request, error=_("Choose a role."), status=400)
    role = TeamRole(form.cleaned_data["role"])
    person = team_people.change_role(request.team, membership_id, role, by=request.user).user
    words = {
        TeamRole.ADMIN: _("%(name)s is an admin now."),
        TeamRole.MEMBER: _("%(name)s is a member now."),
    }
    messages.success(request, words[role] % {"name": person.display_name})
    return redirect("team_settings", request.team.slug)


@team_admin_required
@require_POST
@says_why
def team_person_remove(request: TeamRequest, membership_id: int) -> HttpResponse:
    """Take a person out of the team."""
    person = team_people.remove(request.team, membership_id, by=request.user)
    words = _("%(name)s is no longer in the team.")
    messages.success(request, words % {"name": person.display_name})
    if person == request.user:
        return redirect("home")
    return redirect("team_settings", request.team.slug)


@login_and_team_required
@require_POST
@says_why
def team_leave(request: TeamRequest) -> HttpResponse:
    """Take oneself out of the team."""
    team_people.leave(request.team, request.user)
    messages.success(request, _("You left %(team)s.") % {"team": request.team.name})
    return redirect("home")


@team_admin_required
@require_POST
@says_why
def team_delete(request: TeamRequest) -> HttpResponse:
    """Delete the team with everything in it, once its short name was typed."""
    if request.POST.get("slug", "").strip() != request.team.slug:
        error = _("Nothing was deleted: what you typed is not the team's short name.")
        return settings_page(request, error=error, status=400)
    name = request.team.name
    team_people.delete(request.team, by=request.user)
    messages.success(request, _("The team %(team)s is deleted.") % {"team": name})
    return redirect("home")
