"""The repositories: which are tracked, where each sync stands, who can reach them."""

from __future__ import annotations

from typing import Final

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from integrations import tasks
from integrations.constants import RunTrigger
from integrations.live.channels import channel_of
from integrations.live.repository_cards import repository_cards
from integrations.models import TrackedRepository
from integrations.reasons import reason_for
from integrations.services.runs import start_run, start_tracked
from integrations.views.helpers import (
    TeamRequest,
    integration_of,
    login_and_team_required,
    organization_or_404,
    team_admin_required,
)
from integrations.views.repository_rows import repository_rows

REPOSITORIES_PER_PAGE: Final = 50
SHOWN: Final = {
    "tracked": Q(is_tracked=True),
    "private": Q(is_private=True),
    "archived": Q(is_archived=True),
    "gone": Q(gone_at__isnull=False),
    "failed": Q(sync_status="error"),
}


@login_and_team_required
@require_safe
def github_repos(request: TeamRequest) -> HttpResponse:
    """The organisation's repositories: which are tracked, and where each sync stands."""
    integration = integration_of(request)
    query = request.GET.get("q", "").replace("\0", "").strip()[:100]
    show = request.GET.get("show", "")
    repositories = TrackedRepository.objects.filter(integration=integration.pk).matching(query)
    if show in SHOWN:
        repositories = repositories.filter(SHOWN[show])
    page = Paginator(repositories, REPOSITORIES_PER_PAGE).get_page(request.GET.get("page"))
    rows = repository_cards(page.object_list)
    context = {
        "integration": integration,
        "page": page,
        "rows": rows,
        "rendered_rows": repository_rows(request, rows),
        "q": query,
        "show": show if show in SHOWN else "",
        "tracked_count": repositories.tracked().count(),
        "can_edit": request.membership.is_admin,
        "revision": request.team.revision,
        "channel": channel_of(request.team.pk),
        "nav": "repositories",
    }
    return render(request, "integrations/github_repos.html", context)


@team_admin_required
@require_POST
def github_repo_toggle(request: TeamRequest, repository_id: int) -> HttpResponse:
    """Track a repository or stop tracking it, as the form names."""
    integration = organization_or_404(request)
    repository = get_object_or_404(integration.repositories, pk=repository_id)
    wanted = request.POST.get("tracked")
    repository.is_tracked = not repository.is_tracked if wanted is None else wanted == "true"
    repository.save(update_fields=["is_tracked"])
    return _repository_row(request, repository)


@team_admin_required
@require_POST
def github_repo_sync(request: TeamRequest, repository_id: int) -> HttpResponse:
    """Start one repository's sync, or join the one under way."""
    integration = organization_or_404(request)
    repository = get_object_or_404(integration.repositories, pk=repository_id)
    if not integration.is_connected:
        messages.error(request, reason_for("not_connected").sentence)
        return redirect("github_repos", request.team.slug)
    started = start_run(
        integration, trigger=RunTrigger.MANUAL, person=request.user, repository=repository
    )
    status = 200
    try:
        if not started.joined:
            tasks.sync_repository_manual_later(started.run)
    except tasks.QueueUnreachable as exc:
        messages.error(request, reason_for(exc.reason).sentence)
        status = 503
    repository.refresh_from_db()
    return _repository_row(request, repository, status=status)


def _repository_row(
    request: TeamRequest, repository: TrackedRepository, *, status: int = 200
) -> HttpResponse:
    if not request.htmx:
        if request.POST.get("back") == "repository":
            return redirect("github_repo", request.team.slug, repository.pk)
        return redirect("github_repos", request.team.slug)
    return HttpResponse(repository_rows(request, repository_cards([repository])), status=status)


@team_admin_required
@require_POST
def github_repos_sync(request: TeamRequest) -> HttpResponse:
    """Start the sync of every tracked repository that has none under way."""
    integration = organization_or_404(request)
    if not integration.is_connected:
        messages.error(request, reason_for("not_connected").sentence)
        return redirect("github_repos", request.team.slug)
    runs = start_tracked(integration, person=request.user)
    tasks.sync_repositories_later(runs)
    count = len(runs)
    words = ngettext("Syncing %(count)s repository.", "Syncing %(count)s repositories.", count)
    if runs:
        messages.success(request, words % {"count": count})
    else:
        messages.info(request, _("All tracked repositories are being synced already."))
    return redirect("github_repos", request.team.slug)


@login_and_team_required
@require_safe
def github_repo(request: TeamRequest, repository_id: int) -> HttpResponse:
    """One repository: what GitHub tells of it, and who can reach it."""
    integration = organization_or_404(request)
    repository = get_object_or_404(integration.repositories, pk=repository_id)
    people = repository.people.order_by("github_username")
    page = Paginator(people, REPOSITORIES_PER_PAGE).get_page(request.GET.get("page"))
    ids = [person.github_id for person in page.object_list]
    by_id = {one.github_id: one for one in request.team.members.filter(github_id__in=ids)}
    [(_repository, card)] = repository_cards([repository])
    context = {
        "repository": repository,
        "card": card,
        "page": page,
        "people": [(person, by_id.get(person.github_id)) for person in page.object_list],
        "can_edit": request.membership.is_admin,
        "revision": request.team.revision,
        "channel": channel_of(request.team.pk),
        "nav": "repositories",
    }
    return render(request, "integrations/github_repo.html", context)
