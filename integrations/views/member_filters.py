"""What the filters of the members page offer to choose from, and the filters a person keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import messages
from django.db.models import CharField, F, Value
from django.db.models.functions import Cast
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from integrations.models import OrganizationTeam, SavedMemberFilter, TrackedRepository
from integrations.views.helpers import TeamRequest, login_and_team_required
from integrations.views.member_query import MemberQuery

if TYPE_CHECKING:
    from django.db.models import QuerySet

# More than this no list offers; the repositories' page leads to each of them.
CHOICES_MAX: Final = 300
SAVED_MAX: Final = 30
NAME_LENGTH_MAX: Final = 60


def filter_choices(request: TeamRequest) -> dict[str, list[tuple[str, str]]]:
    """Return value and label of teams, repositories and saved filters: one query for all three.

    A saved filter's value is its key and the query part of its address, with a blank between.
    """
    teams = OrganizationTeam.objects.filter(team=request.team)
    repositories = TrackedRepository.objects.filter(integration__team=request.team, is_tracked=True)
    saved = SavedMemberFilter.objects.filter(team=request.team, user=request.user)
    rows = _choices(teams, "teams", value=F("slug"), label="name").union(
        _choices(repositories, "repositories", value=_text("pk"), label="full_name"),
        _choices(saved, "saved", value=_text("pk"), label="name", note="querystring"),
        all=True,
    )
    offered: dict[str, list[tuple[str, str]]] = {"teams": [], "repositories": [], "saved": []}
    for kind, value, label, note in rows.order_by("choice_label"):
        if len(offered[kind]) < CHOICES_MAX:
            offered[kind].append((f"{value} {note}".strip(), label))
    return offered


def _choices(
    rows: QuerySet[Any], kind: str, *, value: Any, label: str, note: str = ""
) -> QuerySet[Any, Any]:
    offered: QuerySet[Any, Any] = (
        rows.order_by()
        .annotate(
            choice_kind=Value(kind),
            choice_value=value,
            choice_label=F(label),
            choice_note=F(note) if note else Value(""),
        )
        .values_list("choice_kind", "choice_value", "choice_label", "choice_note")
    )
    return offered


def _text(name: str) -> Cast:
    return Cast(name, CharField())


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
