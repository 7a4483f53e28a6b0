"""Who did what to what, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.core.paginator import Paginator
from django.shortcuts import render
from django.views.decorators.http import require_safe

from integrations.models import OperatorAct
from integrations.ops.views.access import operator_required

if TYPE_CHECKING:
    from django.http import HttpResponse

    from integrations.ops.views.access import OperatorRequest

ACTS_A_PAGE: Final = 50


@operator_required
@require_safe
def ops_acts(request: OperatorRequest) -> HttpResponse:
    """List the acts, the latest first."""
    page = Paginator(OperatorAct.objects.all(), ACTS_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "ops/acts.html", {"nav": "acts", "page": page})
