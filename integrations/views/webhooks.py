"""The deliveries about a team's organisation: what became of each, and applying one again."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from integrations import tasks
from integrations.constants import DeliveryStatus
from integrations.models import DeliverySearch, WebhookDelivery
from integrations.reasons import REASONS
from integrations.services.webhooks import intake
from integrations.services.webhooks.missed import hears_webhooks, missed_count
from integrations.views.helpers import TeamRequest, organization_or_404, team_admin_required

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpResponse

    from integrations.models import GitHubIntegration

ROWS_PER_PAGE: Final = 50
WEEK: Final = timedelta(days=7)
# A payload longer than this is cut on the page; all of it is in the row.
SHOWN_LENGTH_MAX: Final = 200_000
_EMAIL: Final = re.compile(r"([\w.+-])[\w.+-]*@([\w-]+\.[\w.-]+)")

# What services/webhooks/ says became of a delivery.
WORDS: Final = {
    "not_news": gettext_lazy("The roster knew this, or something newer."),
    "nobody_here": gettext_lazy("No team here watches what it is about."),
    "nobody_waited": gettext_lazy("No team here had asked for it. Connecting takes a person."),
    "unused": gettext_lazy("Rollcall has no use for this event."),
    "unreadable": gettext_lazy("It isn't what GitHub documents for this event."),
    "internal_error": gettext_lazy("Something failed on our side; it has been written down."),
}


@team_admin_required
@require_safe
def github_webhooks(request: TeamRequest) -> HttpResponse:
    """The last deliveries about the team's organisation, and how well webhooks work."""
    integration = organization_or_404(request)
    deliveries = _deliveries_of(integration)
    status = request.GET.get("status", "")
    if status in DeliveryStatus.values:
        deliveries = deliveries.filter(status=status)
    page = Paginator(deliveries.defer("body", "headers"), ROWS_PER_PAGE).get_page(
        request.GET.get("page")
    )
    context = {
        "integration": integration,
        "hears": hears_webhooks(integration),
        "is_on": bool(settings.GITHUB_WEBHOOK_SECRETS),
        "page": page,
        "rows": [(one, WORDS.get(one.outcome, "")) for one in page.object_list],
        "chosen": (("status", status),),
        "filters": [("status", _("Any result"), DeliveryStatus.choices)],
        "missed_count": missed_count(integration, since=timezone.now() - WEEK),
        "search": DeliverySearch.objects.first(),
        "search_error": _search_error(),
        "secret_count": len(settings.GITHUB_WEBHOOK_SECRETS),
        "old_secret_used": _old_secret_used(integration),
        "address": request.build_absolute_uri(reverse("github_webhooks_receive")),
        "nav": "connection",
    }
    return render(request, "integrations/github_webhooks.html", context)


def _deliveries_of(integration: GitHubIntegration) -> QuerySet[WebhookDelivery]:
    """Return the deliveries that this team's admins may read: those of their installation.

    A person's connection sees less than an App is told, so that it is shown none.
    """
    credential = integration.credential
    if credential is None or not credential.is_app:
        return WebhookDelivery.objects.none()
    ours = Q(installation_id=credential.installation_id) | Q(installation_id=None)
    return WebhookDelivery.objects.filter(ours, inbox__account_id=integration.organization_id or 0)


def _search_error() -> str:
    search = DeliverySearch.objects.exclude(error_code="").first()
    reason = REASONS.get(search.error_code) if search else None
    return reason.sentence if reason else ""


def _old_secret_used(integration: GitHubIntegration) -> WebhookDelivery | None:
    """Return the latest delivery, if it was not signed with the newest secret."""
    latest = _deliveries_of(integration).only("received_at", "secret_index").first()
    return latest if latest is not None and latest.secret_index > 0 else None


@team_admin_required
@require_safe
def github_webhook(request: TeamRequest, delivery_id: int) -> HttpResponse:
    """One delivery, with its payload; e-mail addresses in it are masked."""
    delivery = _delivery_or_404(request, delivery_id)
    context = {
        "delivery": delivery,
        "word": WORDS.get(delivery.outcome, "")
        or getattr(REASONS.get(delivery.outcome), "sentence", ""),
        "headers": sorted(delivery.headers.items()),
        "payload": masked_payload(delivery.body)[:SHOWN_LENGTH_MAX],
        "nav": "connection",
    }
    return render(request, "integrations/github_webhook.html", context)


def _delivery_or_404(request: TeamRequest, delivery_id: int) -> WebhookDelivery:
    return get_object_or_404(
        _deliveries_of(organization_or_404(request)).select_related("inbox"), pk=delivery_id
    )


def masked_payload(body: str) -> str:
    """Return a payload to read, of every e-mail address the first letter and the domain."""
    try:
        readable = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        readable = body
    return _EMAIL.sub(r"\1•••@\2", readable)


@team_admin_required
@require_POST
def github_webhook_apply(request: TeamRequest, delivery_id: int) -> HttpResponse:
    """Have a stored delivery applied once more; what the row knows better stays."""
    delivery = _delivery_or_404(request, delivery_id)
    if delivery.status == DeliveryStatus.PENDING:
        messages.info(request, _("It is waiting to be applied already."))
    else:
        intake.apply_again(delivery)
        tasks.apply_webhooks_later(delivery.inbox)
        messages.success(request, _("The delivery is applied again in the background."))
    return redirect("github_webhook", request.team.slug, delivery.pk)
