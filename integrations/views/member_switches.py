"""Switch people of the roster on or off by hand: one at once, many after their names were shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBadRequest
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from integrations.numbers import whole_number
from integrations.services.switching import switch_member, switch_members
from integrations.views.helpers import TeamRequest, team_admin_required
from integrations.views.member_query import MemberQuery, team_names_of
from integrations.views.member_rows import member_rows, shown_of

if TYPE_CHECKING:
    from integrations.models.members import TeamMemberQuerySet

NAMED_MAX: Final = 50


@team_admin_required
@require_POST
def github_member_toggle(request: TeamRequest, member_id: int) -> HttpResponse:
    """Switch a person of the roster on or off by hand, to the state that the form names."""
    member = get_object_or_404(request.team.members, pk=member_id)
    wanted = request.POST.get("active")
    active = not member.is_active if wanted is None else wanted == "true"
    switch_member(member, active=active, person=request.user)
    if request.htmx:
        # The same row as the table's, which everybody's page asks for now.
        team_names = team_names_of(request.team, [member.github_id])
        return HttpResponse(member_rows(request, [shown_of(member)], team_names=team_names))
    return redirect("github_members", request.team.slug)


@team_admin_required
@require_POST
def github_members_bulk(request: TeamRequest) -> HttpResponse:
    """Switch the selected people, or everybody whom the address filters.

    The first POST shows who they are; the second names their number, and is asked again when that
    changed meanwhile.
    """
    wanted = request.POST.get("active")
    if wanted not in {"true", "false"}:
        return HttpResponseBadRequest(_("Say whether to switch them on or off."))
    query = MemberQuery.from_querydict(request.GET)
    back = f"{reverse('github_members', args=[request.team.slug])}?{query.querystring()}"
    members = _selected(request, query).filter(is_active=wanted != "true")
    keys = list(members.order_by().values_list("pk", flat=True))
    if not keys:
        messages.info(request, _("Nobody to switch: they are so already."))
        return redirect(back)
    if request.POST.get("confirmed") != str(len(keys)):
        return _confirm(request, members, count=len(keys), back=back)
    count = switch_members(request.team, keys, active=wanted == "true", person=request.user)
    messages.success(request, _switched_words(count, on=wanted == "true"))
    return redirect(back)


def _selected(request: TeamRequest, query: MemberQuery) -> TeamMemberQuerySet:
    if request.POST.get("everybody"):
        return query.apply(request.team.members.all())
    given = [*request.POST.getlist("member"), *request.POST.get("ids", "").split(",")]
    keys = {number for key in given if (number := whole_number(key)) is not None}
    return request.team.members.filter(pk__in=keys)


def _confirm(
    request: TeamRequest, members: TeamMemberQuerySet, *, count: int, back: str
) -> HttpResponse:
    context = {
        "members": members[:NAMED_MAX],
        "count": count,
        "unnamed_count": max(0, count - NAMED_MAX),
        "switches_on": request.POST["active"] == "true",
        "everybody": request.POST.get("everybody", ""),
        "ids": ",".join([*request.POST.getlist("member"), request.POST.get("ids", "")]),
        "querystring": request.GET.urlencode(),
        "back": back,
        "nav": "members",
    }
    return render(request, "integrations/github_members_bulk.html", context)


def _switched_words(count: int, *, on: bool) -> str:
    words = (
        ngettext("%(count)s person switched on.", "%(count)s people switched on.", count)
        if on
        else ngettext("%(count)s person switched off.", "%(count)s people switched off.", count)
    )
    return words % {"count": count}
