"""The dashboard: everything at one instant, as a page and as the pieces that replace its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.http import require_safe

from integrations.ops import snapshot
from integrations.ops.pieces import context_of, pieces_of
from integrations.ops.views.access import (
    OperatorRequest,
    operator_required,
    remember_operator,
    unavailable,
    was_operator,
)

if TYPE_CHECKING:
    from django.http import HttpRequest


def ops_without_database(request: HttpRequest) -> HttpResponse:
    """Show what Redis tells to whom an hour ago at most was an operator: to read, not to act."""
    if request.method != "GET" or not was_operator(request):
        return unavailable(request)
    taken = snapshot.take()
    if "fragment" in request.GET:
        return HttpResponse("".join(pieces_of(taken).values()))
    # Without the request: session and person stand in the database.
    return HttpResponse(render_to_string("ops/read_only.html", context_of(taken)))


@operator_required(without_database=ops_without_database)
@require_safe
def ops(request: OperatorRequest) -> HttpResponse:
    """Show the dashboard, or with `?fragment=1` only the pieces that the page replaces."""
    taken = snapshot.take()
    if "fragment" in request.GET:
        response = HttpResponse("".join(pieces_of(taken).values()))
    else:
        response = render(request, "ops/dashboard.html", {**context_of(taken), "nav": "overview"})
    remember_operator(request, response)
    return response
