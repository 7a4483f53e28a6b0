"""What every page may show besides its own: the person's teams, for the menu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integrations.models import Team

if TYPE_CHECKING:
    from django.http import HttpRequest

    from integrations.models.accounts import TeamQuerySet


def teams(request: HttpRequest) -> dict[str, TeamQuerySet]:
    """Return the person's teams; asked for only by a page that shows them."""
    user = getattr(request, "user", None)
    return {"teams": Team.objects.for_user(user) if user is not None else Team.objects.none()}
