"""Where GitHub's webhooks arrive: checked, stored, and answered at once; workers apply them.

https://docs.github.com/webhooks/using-webhooks/best-practices-for-using-webhooks
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import structlog
from django.conf import settings
from django.http import Http404, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from integrations import tasks
from integrations.constants import WEBHOOK_SIZE_MAX
from integrations.github import webhooks
from integrations.github.errors import UnexpectedAnswer
from integrations.numbers import whole_number
from integrations.services.webhooks import intake

if TYPE_CHECKING:
    from django.http import HttpRequest

logger = structlog.get_logger(__name__)

_GUID: Final = re.compile(r"[0-9A-Za-z-]{1,100}")
_EVENT: Final = re.compile(r"[a-z_]{1,100}")


class Refused(Exception):
    """A delivery that is not taken: the status and the sentence of the answer."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@csrf_exempt
@require_POST
def github_webhooks_receive(request: HttpRequest) -> JsonResponse:
    """Take a delivery. 404 without a secret, 202 once it is stored, 200 for one that is known.

    Refusals: 400 (not GitHub's headers, no JSON), 403 (no signature of ours), 413, 415.
    """
    if not settings.GITHUB_WEBHOOK_SECRETS:
        raise Http404
    try:
        return _take(request)
    except Refused as refused:
        logger.warning(
            "webhook refused", status=refused.status, reason=refused.sentence,
            delivery=request.headers.get("X-GitHub-Delivery", "")[:100],
        )  # fmt: skip
        return JsonResponse({"message": refused.sentence}, status=refused.status)


def _take(request: HttpRequest) -> JsonResponse:
    body = _read_body(request)
    secret_index = _check_signature(request, body)
    guid = request.headers.get("X-GitHub-Delivery", "")
    event = request.headers.get("X-GitHub-Event", "")
    if not _GUID.fullmatch(guid) or not _EVENT.fullmatch(event):
        raise Refused(400, "X-GitHub-Delivery and X-GitHub-Event are missing or malformed.")
    try:
        payload = webhooks.read_payload(event, body)
    except UnexpectedAnswer as exc:
        raise Refused(400, "The body is no JSON object.") from exc
    stored = intake.store(
        payload, guid=guid, body=body, headers=request.headers, secret_index=secret_index
    )
    if stored.is_repeated:
        return JsonResponse({"message": "Known already; nothing was changed."})
    tasks.apply_webhooks_later(stored.inbox)
    if event == "ping":
        return JsonResponse({"message": "pong"})
    return JsonResponse({"message": "Stored."}, status=202)


def _read_body(request: HttpRequest) -> bytes:
    """Read the body as it came, up to what GitHub itself sends at the most."""
    if request.content_type != "application/json":
        raise Refused(415, "Set the webhook's content type to application/json.")
    if (whole_number(request.headers.get("Content-Length", "")) or 0) > WEBHOOK_SIZE_MAX:
        raise Refused(413, "Larger than any delivery of GitHub's.")
    body = request.read(WEBHOOK_SIZE_MAX + 1)
    if len(body) > WEBHOOK_SIZE_MAX:
        raise Refused(413, "Larger than any delivery of GitHub's.")
    return bytes(body)


def _check_signature(request: HttpRequest, body: bytes) -> int:
    signature = request.headers.get("X-Hub-Signature-256", "")
    secret_index = webhooks.signed_by(settings.GITHUB_WEBHOOK_SECRETS, signature, body)
    if secret_index is None:
        raise Refused(403, "The signature is not one of this server's webhook secrets.")
    return secret_index
