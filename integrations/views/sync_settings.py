"""What a team sets about its syncs: the guard, the nightly read, how long history is kept."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import available_timezones

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from integrations.models import GitHubIntegration
from integrations.services import schedule
from integrations.services.organization_people import (
    INVITATIONS,
    OUTSIDE_COLLABORATORS,
    TEAMS,
    VERIFIED_EMAILS,
)
from integrations.views.helpers import TeamRequest, organization_or_404, team_admin_required

if TYPE_CHECKING:
    SettingsForm = forms.ModelForm[GitHubIntegration]
else:
    SettingsForm = forms.ModelForm


@cache
def _time_zones() -> list[tuple[str, str]]:
    """Return the zones that this machine knows, read from its files once."""
    return [(name, name) for name in sorted(available_timezones())]


class SyncSettingsForm(SettingsForm):
    """The team's settings; each label says what its number does."""

    schedule_time_zone = forms.TypedChoiceField(
        label=gettext_lazy("Time zone"),
        choices=_time_zones,
    )

    class Meta:
        model = GitHubIntegration
        fields = (
            "guard_percent",
            "guard_minimum",
            "schedule_enabled",
            "schedule_from_hour",
            "schedule_hours",
            "schedule_time_zone",
            "history_days",
        )
        labels = {
            "guard_percent": gettext_lazy("Hold departures of more than this percentage"),
            "guard_minimum": gettext_lazy("and of at least this many people"),
            "schedule_enabled": gettext_lazy("Read the whole organisation every night"),
            "schedule_from_hour": gettext_lazy("From this hour on"),
            "schedule_hours": gettext_lazy("Within this many hours"),
            "history_days": gettext_lazy("Keep history for this many days"),
        }
        help_texts = {
            # xgettext:no-python-format
            "guard_minimum": gettext_lazy(
                "Held people stay on the roster until an admin decides. 100 % holds nobody."
            ),
            "schedule_hours": gettext_lazy(
                "Each team has its own minute in this time, so that GitHub is not asked by all at "
                "once."
            ),
            "history_days": gettext_lazy("Empty keeps it for ever."),
        }


@team_admin_required
@require_http_methods(["GET", "HEAD", "POST"])
def github_settings(request: TeamRequest) -> HttpResponse:
    """Show the settings, or take changed ones; 400 says what is wrong with them."""
    integration = organization_or_404(request)
    form = SyncSettingsForm(request.POST or None, instance=integration)
    if request.method == "POST" and form.is_valid():
        form.save()
        schedule.plan(integration, now=timezone.now())
        messages.success(request, _("Saved."))
        return redirect("github_settings", request.team.slug)
    context = {
        "form": form,
        "integration": integration,
        "kinds": _kinds(integration),
        "nav": "connection",
    }
    status = 400 if request.method == "POST" else 200
    return render(request, "integrations/github_settings.html", context, status=status)


# What a connection that may not see a kind of people is told, by the code of why.
_NOT_READ = {
    "too_many": gettext_lazy("There are more than Rollcall reads."),
    "missing_scopes": gettext_lazy("The token lacks the scope for it. Reconnect GitHub."),
    "permission_missing": gettext_lazy(
        "The GitHub App lacks the permission to read members. An owner accepts it on GitHub."
    ),
}
_KINDS = {
    INVITATIONS: (
        gettext_lazy("Pending invitations"),
        gettext_lazy("Only owners may see them. Connect as an owner, or by the GitHub App."),
    ),
    OUTSIDE_COLLABORATORS: (
        gettext_lazy("Outside collaborators"),
        gettext_lazy("Only owners may see them. Connect as an owner, or by the GitHub App."),
    ),
    TEAMS: (
        gettext_lazy("Teams and their members"),
        gettext_lazy("This connection may not see the organisation's teams."),
    ),
    VERIFIED_EMAILS: (
        gettext_lazy("E-mail addresses of verified domains"),
        gettext_lazy("This connection may not see them."),
    ),
}


def _kinds(integration: GitHubIntegration) -> list[dict[str, object]]:
    """Return what the connection may read beside the members, and why not what it may not."""
    listed = []
    for kind, (label, refusal) in _KINDS.items():
        told = integration.people_access.get(kind)
        code = told["code"] if told else "unread"
        listed.append(
            {
                "label": label,
                "is_read": code == "",
                "is_unread": code == "unread",
                "count": told["count"] if told else 0,
                "why_not": _NOT_READ.get(code, refusal),
            }
        )
    return listed
