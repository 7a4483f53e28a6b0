"""`{% kept %}`: include a piece of a page that is rendered once for all who see the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import template
from django.db.models import Model
from django.utils.safestring import mark_safe
from django.utils.translation import get_language

from integrations.views.kept import TOKEN_MARK, rendered, shelf

if TYPE_CHECKING:
    from django.template import Context
    from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag(takes_context=True)
def kept(context: Context, name: str, **shown: Any) -> SafeString:
    """Include a template that knows nothing but what it is given here, and the team's slug.

    Given are plain values, which are equal when they look the same: a row of the database is not.
    """
    team = getattr(context.get("request"), "team", None)
    html = piece(name, get_language(), "" if team is None else team.slug, *shown.items()).decode()
    if TOKEN_MARK in html:
        html = html.replace(TOKEN_MARK, str(context.get("csrf_token", "")))
    return mark_safe(html)


@shelf.keeps
def piece(name: str, _language: str | None, team_slug: str, *shown: tuple[str, Any]) -> str:
    """Render a piece from what it is kept by."""
    rows = [given for given, value in shown if isinstance(value, Model)]
    if rows:
        raise TypeError(f"{name} can't be kept by a row of the database: {', '.join(rows)}")
    return rendered(name, dict(shown), team_slug=team_slug)
