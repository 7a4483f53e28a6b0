"""What views share: who may enter, and the rows of a team. Decides nothing about syncing."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, cast

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404

from integrations import tasks
from integrations.constants import RunTrigger, TeamRole
from integrations.models import GitHubIntegration, Membership, User
from integrations.services.runs import start_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpResponseBase

    from integrations.models import Team


class TeamRequest(HttpRequest):
    """A request inside a team, as `login_and_team_required` leaves it."""

    user: User
    team: Team
    membership: Membership
    htmx: Any


if TYPE_CHECKING:
    TeamView = Callable[..., HttpResponseBase]


def login_and_team_required(view: TeamView) -> Callable[..., HttpResponseBase]:
    """Let people of the team in; the anonymous sign in first; for others there is no such team."""

    @wraps(view)
    def inner(request: HttpRequest, team_slug: str, *args: Any, **kwargs: Any) -> HttpResponseBase:
        membership = (
            Membership.objects.select_related("team")
            .filter(team__slug=team_slug, user=cast("User", request.user))
            .first()
        )
        if membership is None:
            raise Http404
        team_request = cast("TeamRequest", request)
        team_request.team, team_request.membership = membership.team, membership
        return view(team_request, *args, **kwargs)

    return login_required(inner)


def team_admin_required(view: TeamView) -> Callable[..., HttpResponseBase]:
    """Let the team's admins in, and answer 403 to its other people."""

    @login_and_team_required
    @wraps(view)
    def inner(request: TeamRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.membership.is_admin:
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return inner


def team_to_connect(request: HttpRequest, team_slug: str) -> Team:
    """Return the team of an attempt to connect, if the person still is its admin; else 404."""
    membership = (
        Membership.objects.select_related("team")
        .filter(team__slug=team_slug, user=cast("User", request.user), role=TeamRole.ADMIN)
        .first()
    )
    if membership is None:
        raise Http404
    return membership.team


def integration_of(request: TeamRequest) -> GitHubIntegration:
    """Return the team's tie to GitHub, or one not yet saved.

    Few pages look at its credential, which is read when they do.
    """
    integration = GitHubIntegration.objects.filter(team=request.team).first()
    if integration is None:
        return GitHubIntegration(team=request.team)
    integration.team = request.team
    return integration


def organization_or_404(request: TeamRequest) -> GitHubIntegration:
    """Return the team's integration once it has an organisation; else there is nothing here yet."""
    return get_object_or_404(
        GitHubIntegration.objects.select_related("credential"),
        team=request.team,
        organization_id__isnull=False,
    )


def _sync_github_members_after_connection(
    integration: GitHubIntegration, *, person: User | None = None
) -> int:
    """Queue the first sync and return 0 at once: nobody has been read yet.

    Raises QueueUnreachable, with the run ended in error.
    """
    started = start_run(integration, trigger=RunTrigger.ONBOARDING, person=person)
    if not started.joined:
        tasks.sync_github_members_later(started.run)
    return 0
