"""Headers of every answer: those that Django has no setting for, and all for who goes past it.

Asks nothing of the request, so that an answer costs neither a query nor a thread.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from asgiref.sync import iscoroutinefunction
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse
from django.middleware.security import SecurityMiddleware
from django.utils.cache import add_never_cache_headers, has_vary_header
from django.utils.decorators import sync_and_async_middleware, sync_only_middleware

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from django.http import HttpResponseBase

# What no page of ours asks a browser for. https://www.w3.org/TR/permissions-policy/
PERMISSIONS_POLICY: Final = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer", "browsing-topics", "camera", "display-capture", "geolocation",
        "gyroscope", "magnetometer", "microphone", "midi", "payment", "usb",
    )
)  # fmt: skip


@sync_and_async_middleware
def response_headers(get_response: Callable[..., Any]) -> Callable[..., Any]:
    """Set what is missing. Stands around the sessions' middleware, which says `Vary: Cookie`."""
    if iscoroutinefunction(get_response):

        async def respond_async(request: Any) -> HttpResponseBase:
            return _with_headers(await get_response(request))

        return respond_async

    def respond(request: Any) -> HttpResponseBase:
        return _with_headers(get_response(request))

    return respond


def _with_headers(response: HttpResponseBase) -> HttpResponseBase:
    response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
    response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    # A page that depends on who asks is kept by nobody: neither by a cache on the way, nor by the
    # browser for whoever presses "back" after a person signed out.
    if has_vary_header(response, "Cookie") and "Cache-Control" not in response.headers:
        add_never_cache_headers(response)
    return response


def headers_of_every_answer() -> dict[str, str]:
    """Return what the middlewares tell about any answer over https, for those that pass them by."""
    scope = {"type": "http", "method": "GET", "path": "/", "scheme": "https", "headers": []}
    request = ASGIRequest(scope, io.BytesIO())
    response = HttpResponse()
    del response.headers["Content-Type"]
    SecurityMiddleware(lambda _: response).process_response(request, response)
    return dict(_with_headers(response).headers)


@sync_only_middleware
def in_one_thread(get_response: Callable[..., Any]) -> Callable[..., Any]:
    """Have all middlewares of a request run in its one thread, one after the other.

    Under ASGI Django asks each of its own middlewares from the event loop, a change of threads
    for every hook. Where the innermost one is synchronous, all around it are.
    """
    return get_response
