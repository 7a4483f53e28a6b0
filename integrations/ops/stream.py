"""The dashboard's stream: staff only, and for others it is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import Error as DatabaseFailure
from django.http import Http404, HttpResponse, HttpResponseNotAllowed
from django.views.decorators.csrf import csrf_exempt

from integrations.live.reading import in_reading_thread
from integrations.live.sampling import Operator, Sampler
from integrations.ops import snapshot
from integrations.ops.pieces import pieces_of
from integrations.ops.reachability import briefly, is_database_away

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase

PLAIN: Final = "text/plain; charset=utf-8"


def _look() -> dict[str, str]:
    return pieces_of(snapshot.take())


sampler: Final = Sampler("ops-sampler", take=_look)


@csrf_exempt
async def ops_live(request: HttpRequest) -> HttpResponseBase:
    """Stream the dashboard's pieces to an operator, a sample a second."""
    admitted = await in_reading_thread(_admit, request)
    if isinstance(admitted, HttpResponse):
        return admitted
    if request.method != "GET":
        return HttpResponseNotAllowed(["GET"])
    return sampler.response_to(admitted)


@briefly()
def _admit(request: HttpRequest) -> Operator | HttpResponse:
    """Return who asks. Raises Http404 for everybody but staff."""
    try:
        if is_database_away():
            return _away()
        user = request.user
        if not (user.is_active and user.is_staff):
            raise Http404
    except DatabaseFailure:
        return _away()
    return Operator(user.pk, request.session.session_key or "", user.password)


def _away() -> HttpResponse:
    text = "Rollcall can't reach its database.\n"
    return HttpResponse(text, status=503, content_type=PLAIN)
