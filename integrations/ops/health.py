"""`/healthz`: this process answers. `/readyz`: it has all that it needs. For machines and people.

Nobody has to sign in, so it says no more than up or down and a sentence.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.http import HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils import translation
from health_check.exceptions import HealthCheckException
from health_check.views import HealthCheckView

from integrations.ops.health_checks import CHECKS, Check

if TYPE_CHECKING:
    from django.http import HttpRequest
    from health_check.base import HealthCheckResult


@dataclass(frozen=True)
class Line:
    """What became of one check."""

    subject: str
    is_up: bool
    sentence: str


class HealthView(HealthCheckView):  # type: ignore[misc]
    """django-health-check's view, with our words, and 503 where it says 500."""

    title = ""

    async def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        results = await asyncio.gather(*(check.get_result() for check in self.get_checks()))
        lines = [_line(result) for result in results]
        is_up = all(line.is_up for line in lines)
        status = HTTPStatus.OK if is_up else HTTPStatus.SERVICE_UNAVAILABLE
        wanted = request.get_preferred_type(["application/json", "text/html"])
        if wanted == "text/html":
            return HttpResponse(self._page(lines, is_up=is_up), status=status)
        checks = {
            line.subject: {"status": "up" if line.is_up else "down", "says": line.sentence}
            for line in lines
        }
        return JsonResponse({"status": "up" if is_up else "down", "checks": checks}, status=status)

    def _page(self, lines: list[Line], *, is_up: bool) -> str:
        """Render without the request: neither session nor database are touched."""
        context = {"title": self.title, "lines": lines, "is_up": is_up}
        with translation.override("en"):
            return render_to_string("ops/health.html", context)


def _line(result: HealthCheckResult) -> Line:
    check: Check = result.check
    error: HealthCheckException | None = result.error
    if error is None:
        return Line(check.subject, is_up=True, sentence=check.good_words)
    return Line(check.subject, is_up=False, sentence=str(error.message))


healthz = HealthView.as_view(checks=(), title="This process answers")
readyz = HealthView.as_view(checks=CHECKS, title="Ready")
