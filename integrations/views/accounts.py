"""The way in: the front page, a person's first team, and where a team's address leads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

from allauth.core import context
from django import forms
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.urls import Resolver404, resolve
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_safe

from integrations.models import Team, User
from integrations.services import invitations
from integrations.views.helpers import TeamRequest, integration_of, login_and_team_required

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

# Control signs but for those that end a line, and what turns the direction of all that follows:
# https://unicode.org/reports/tr9/#Directional_Formatting_Characters
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


class TeamForm(forms.Form):
    """Name a new team."""

    team_name = forms.CharField(
        label=_("Team name"),
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
    )

    def clean_team_name(self) -> str:
        """Keep it one line that reads as it is typed: it stands in mails to strangers."""
        name = " ".join(_UNSEEN.sub("", str(self.cleaned_data["team_name"])).split())
        if not name:
            raise forms.ValidationError(self.fields["team_name"].error_messages["required"])
        return name


class TeamSignupForm(TeamForm):
    """The part of the sign-up form that is ours: allauth calls `signup` once the person exists.

    Who comes by an invitation has a team to go to, and need not name one.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if _leads_to_an_invitation(context.request):
            del self.fields["team_name"]

    def signup(self, request: HttpRequest, user: User) -> None:
        if "team_name" in self.fields:
            Team.objects.create_for(user, name=self.cleaned_data["team_name"])


def _leads_to_an_invitation(request: HttpRequest | None) -> bool:
    """Say whether the page that follows the sign-up is an invitation that is still good."""
    address = (request.POST.get("next") or request.GET.get("next", "")) if request else ""
    try:
        match = resolve(address)
        if match.url_name == "team_invitation":
            invitations.find(match.kwargs["token"])
            return True
    except (Resolver404, invitations.InvitationGone):
        pass
    return False


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Lead a person to the team, or to making one; show strangers what this is."""
    if not request.user.is_authenticated:
        return render(request, "landing.html")
    team = Team.objects.for_user(request.user).first()
    if team is None:
        return redirect("team_new")
    return redirect("team_home", team.slug)


@login_required
@require_http_methods(["GET", "POST"])
def team_new(request: HttpRequest) -> HttpResponse:
    """Make a team for a person who has none, or one more."""
    form = TeamForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user = cast("User", request.user)
        team = Team.objects.create_for(user, name=form.cleaned_data["team_name"])
        return redirect("onboarding", team.slug)
    return render(request, "accounts/team_new.html", {"form": form})


@login_and_team_required
@require_safe
def team_home(request: TeamRequest) -> HttpResponse:
    """Lead into the wizard until it was gone through, then to the members."""
    if integration_of(request).onboarded_at is None and request.membership.is_admin:
        return redirect("onboarding", request.team.slug)
    return redirect("github_members", request.team.slug)
