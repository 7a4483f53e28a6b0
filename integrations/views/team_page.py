"""The page of a team's settings: its forms, what it shows whom, and why something was refused."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from integrations.constants import TeamRole
from integrations.services import invitations, team_people
from integrations.views.accounts import TeamForm

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpResponse, HttpResponseBase
    from django.utils.functional import _StrPromise

    from integrations.views.helpers import TeamRequest, TeamView

PEOPLE_PER_PAGE: Final = 100
ROLES: Final = [(TeamRole.MEMBER.value, _("Member")), (TeamRole.ADMIN.value, _("Admin"))]

# What may come of an action, in words, and with which status.
REFUSED: Final[dict[type[Exception], tuple[_StrPromise, int]]] = {
    team_people.LastAdmin: (
        _("A team needs an admin, and this is its last one. Make somebody else an admin first."),
        409,
    ),
    team_people.NotInTeam: (_("This person is not in the team, or not any more."), 404),
    invitations.InvitationGone: (
        _("This invitation is not open any more: it was accepted, withdrawn or sent again."),
        404,
    ),
    invitations.AlreadyInTeam: (_("The person with this address is in the team already."), 409),
    invitations.TooManyOpen: (
        _("Too many invitations are open. Withdraw some, or wait until they are accepted."),
        429,
    ),
    invitations.TooManyMails: (
        _("Your team has sent as many invitations as it may in an hour. Try again later."),
        429,
    ),
    invitations.MailNotSent: (
        _("The invitation is kept, but the mail couldn't be sent. Send it again in a while."),
        503,
    ),
}


class RoleForm(forms.Form):
    """What a person of the team shall be."""

    role = forms.ChoiceField(choices=ROLES)


class InvitationForm(forms.Form):
    """Whom to invite, and as what."""

    email = forms.EmailField(
        label=_("E-mail address"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    role = forms.ChoiceField(label=_("Role"), choices=ROLES)


def says_why(view: TeamView) -> Callable[..., HttpResponseBase]:
    """Answer an action that was refused with the page, and on it the reason."""

    @wraps(view)
    def inner(request: TeamRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except team_people.NotAnAdmin:
            raise PermissionDenied from None
        except tuple(REFUSED) as exc:
            sentence, status = REFUSED[type(exc)]
            return settings_page(request, error=sentence, status=status)

    return inner


def settings_page(
    request: TeamRequest,
    *,
    error: _StrPromise | str = "",
    status: int = 200,
    name_form: TeamForm | None = None,
    invitation_form: InvitationForm | None = None,
) -> HttpResponse:
    """Render the settings, with forms that were filled in wrongly in place of fresh ones."""
    team, is_admin = request.team, request.membership.is_admin
    people = team.memberships.select_related("user").order_by("role", "user__email")
    admins = team.memberships.filter(role=TeamRole.ADMIN, user__is_active=True)
    context = {
        "page": Paginator(people, PEOPLE_PER_PAGE).get_page(request.GET.get("page")),
        "is_admin": is_admin,
        "is_last_admin": is_admin and admins.count() < 2,
        "name_form": name_form or TeamForm(initial={"team_name": team.name}),
        "invitation_form": invitation_form or InvitationForm(),
        "invitations": team.team_invitations.open().select_related("invited_by"),
        "error": error,
        "nav": "team",
    }
    return render(request, "team/settings.html", context, status=status)
