"""Who may see the operators' pages: staff. For everybody else there is nothing here.

While the database is away nobody can be asked who is staff. A signed cookie, given to an operator
at each visit, then lets its holder look and do nothing.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core import signing
from django.db import Error as DatabaseFailure
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.cache import add_never_cache_headers
from django.utils.crypto import salted_hmac
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from integrations.models import User
from integrations.ops.reachability import briefly, is_database_away

if TYPE_CHECKING:
    from collections.abc import Callable

    View = Callable[..., HttpResponse]

COOKIE: Final = "operator"
COOKIE_AGE_S: Final = 60 * 60
COOKIE_PATH: Final = "/ops/"
COOKIE_SALT: Final = "integrations.ops.operator"
# When a proxy or a monitor may ask again.
RETRY_AFTER_S: Final = 5
LANGUAGE: Final = "en"


class OperatorRequest(HttpRequest):
    """A request of an operator, as `operator_required` leaves it."""

    user: User


def unavailable(request: HttpRequest) -> HttpResponse:
    """Say that the database is away, without asking it for anything."""
    response = HttpResponse(render_to_string("ops/unavailable.html"), status=503)
    response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def operator_required(
    view: View | None = None, *, without_database: View = unavailable
) -> Callable[..., Any]:
    """Let staff in, in English and uncached; for others it is not there, whatever they send.

    The CSRF check comes after that one: a refused token would tell that there is something.
    """
    if view is None:
        return lambda inner: operator_required(inner, without_database=without_database)
    checked = csrf_protect(view)

    @csrf_exempt
    @wraps(view)
    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with translation.override(LANGUAGE), briefly():
            if is_database_away() or (is_operator := _is_operator(request)) is None:
                response = without_database(request)
            elif is_operator:
                response = checked(request, *args, **kwargs)
            else:
                raise Http404
        add_never_cache_headers(response)
        response.headers["Content-Language"] = LANGUAGE
        return response

    return inner


def _is_operator(request: HttpRequest) -> bool | None:
    """Say whether an operator asks; None when the database went while it was asked."""
    try:
        return bool(request.user.is_active and request.user.is_staff)
    except DatabaseFailure:
        return None


def remember_operator(request: OperatorRequest, response: HttpResponse) -> None:
    """Give this session's operator the cookie that holds while the database is away."""
    response.set_signed_cookie(
        COOKIE,
        f"{request.user.pk}:{_session_mark(request)}",
        salt=COOKIE_SALT,
        max_age=COOKIE_AGE_S,
        path=COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Strict",
    )


def was_operator(request: HttpRequest) -> bool:
    """Say whether the cookie is ours, of the last hour, and of this very session."""
    try:
        value = request.get_signed_cookie(COOKIE, salt=COOKIE_SALT, max_age=COOKIE_AGE_S) or ""
    except (KeyError, signing.BadSignature):
        return False
    return value.partition(":")[2] == _session_mark(request) != ""


def _session_mark(request: HttpRequest) -> str:
    """Name the session without giving it away; who signed out has no session any more."""
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    return salted_hmac(COOKIE_SALT, key).hexdigest() if key else ""
