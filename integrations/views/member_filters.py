"""What the filters of the members page offer to choose from, and the filters a person keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.contrib import messages
from django.db import connection
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from integrations.models import (
    GitHubIntegration,
    OrganizationTeam,
    SavedMemberFilter,
    TrackedRepository,
)
from integrations.views.helpers import TeamRequest, login_and_team_required
from integrations.views.member_query import MemberQuery

# More than this no list offers; the repositories' page leads to each of them.
CHOICES_MAX: Final = 300
SAVED_MAX: Final = 30
NAME_LENGTH_MAX: Final = 60
# Of each what it is, its value, its label and a note.
CHOICES: Final = f"""
SELECT 'teams', slug, name, '' FROM {OrganizationTeam._meta.db_table} WHERE team_id = %s
UNION ALL
SELECT 'repositories', CAST(repository.id AS varchar), repository.full_name, ''
FROM {TrackedRepository._meta.db_table} AS repository
JOIN {GitHubIntegration._meta.db_table} AS integration ON integration.id = repository.integration_id
WHERE integration.team_id = %s AND repository.is_tracked
UNION ALL
SELECT 'saved', CAST(id AS varchar), name, querystring
FROM {SavedMemberFilter._meta.db_table} WHERE team_id = %s AND user_id = %s
ORDER BY 3
"""


@dataclass(frozen=True)
class FilterChoices:
    """What the filters offer: value and label of each.

    A saved filter's value is its key and the query part of its address, with a blank between.
    """

    teams: tuple[tuple[str, str], ...] = ()
    repositories: tuple[tuple[str, str], ...] = ()
    saved: tuple[tuple[str, str], ...] = ()


def filter_choices(request: TeamRequest) -> FilterChoices:
    """Return the team's teams and repositories, and the person's filters: one query for all.

    In SQL, since putting the three together cost Django three times what the database takes.
    """
    offered: dict[str, list[tuple[str, str]]] = {"teams": [], "repositories": [], "saved": []}
    with connection.cursor() as cursor:
        cursor.execute(
            CHOICES, [request.team.pk, request.team.pk, request.team.pk, request.user.pk]
        )
        for kind, value, label, note in cursor.fetchall():
            if len(offered[kind]) < CHOICES_MAX:
                offered[kind].append((f"{value} {note}".strip(), label))
    return FilterChoices(**{kind: tuple(choices) for kind, choices in offered.items()})


@login_and_team_required
@require_POST
def github_member_filters(request: TeamRequest) -> HttpResponse:
    """Keep the filters of the address under a name; the same name again replaces them."""
    querystring = MemberQuery.from_querydict(request.GET).querystring(page=1)
    name = request.POST.get("name", "").replace("\0", "").strip()[:NAME_LENGTH_MAX]
    kept = SavedMemberFilter.objects.filter(team=request.team, user=request.user)
    if not name:
        messages.error(request, _("Give the filter a name."))
    elif kept.exclude(name=name).count() >= SAVED_MAX:
        messages.error(request, _("You keep %(max)s filters already.") % {"max": SAVED_MAX})
    else:
        kept.update_or_create(
            team=request.team, user=request.user, name=name, defaults={"querystring": querystring}
        )
        messages.success(request, _("Saved."))
    return redirect(f"{reverse('github_members', args=[request.team.slug])}?{querystring}")


@login_and_team_required
@require_POST
def github_member_filter_delete(request: TeamRequest, filter_id: int) -> HttpResponse:
    """Forget a saved filter; one of somebody else is not there."""
    kept = SavedMemberFilter.objects.filter(team=request.team, user=request.user, pk=filter_id)
    kept.delete()
    return redirect("github_members", request.team.slug)
