"""What a request is answered with while the database has no disk left to write on.

It is no fault of ours, and not over after a moment: 503 with a sentence, and a line in the log that
says what to do, instead of a 500 and a traceback for each click.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

import structlog
from django.db import OperationalError
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.utils.cache import add_never_cache_headers
from django.utils.deprecation import MiddlewareMixin

if TYPE_CHECKING:
    from django.http import HttpRequest

logger = structlog.get_logger(__name__)

# disk_full: https://www.postgresql.org/docs/current/errcodes-appendix.html
POSTGRES_DISK_FULL: Final = "53100"
# When a proxy, a browser or GitHub may ask again: somebody has to make room first.
RETRY_AFTER_S: Final = 60


class FullDiskMiddleware(MiddlewareMixin):
    """Answer 503 where a view had nowhere to write; its transaction was rolled back."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not is_disk_full(exception):
            return None
        logger.error("the database's disk is full, make room", path=request.path)
        response = HttpResponse(render_to_string("503.html"), status=503)
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
        add_never_cache_headers(response)
        return response


def is_disk_full(exception: BaseException) -> bool:
    """Say whether the database failed because it had no room, by the driver's own code."""
    if not isinstance(exception, OperationalError):
        return False
    of_driver = exception.__cause__
    return (
        getattr(of_driver, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        or getattr(of_driver, "sqlstate", None) == POSTGRES_DISK_FULL
    )
