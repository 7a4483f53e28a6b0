"""Actors that fail as code of ours might one day: with secrets in what they log and raise."""

from __future__ import annotations

from typing import NoReturn

import dramatiq
import requests
import structlog
from django.conf import settings

from integrations.models import IntegrationCredential

logger = structlog.get_logger(__name__)


@dramatiq.actor(queue_name="interactive", max_retries=0)
def fail_with_token(credential_id: int) -> NoReturn:
    """Raise an exception with the token in its arguments, from one with it in an address."""
    token = IntegrationCredential.objects.get(pk=credential_id).access_token
    try:
        raise requests.HTTPError(
            f"401 for https://x-access-token:{token}@github.example/?t={token}"
        )
    except requests.HTTPError as exc:
        raise RuntimeError("refused", {"Authorization": f"Bearer {token}"}, token) from exc


@dramatiq.actor(queue_name="interactive", max_retries=0)
def fail_with_settings() -> NoReturn:
    """Log what the settings hold that is secret, and raise an exception with all of it."""
    held = {
        "first": settings.SECRET_KEY,
        "second": settings.FIELD_ENCRYPTION_KEYS,
        "third": settings.GITHUB_WEBHOOK_SECRETS,
        "fourth": settings.GITHUB_CLIENT_SECRET,
        "fifth": settings.GITHUB_APP_PRIVATE_KEY,
        "sixth": settings.METRICS_TOKEN,
    }
    logger.error("all of it", held=held, text=str(held))
    raise ValueError(held)


@dramatiq.actor(queue_name="interactive", max_retries=1, min_backoff=10, max_backoff=10)
def fail_twice(credential_id: int) -> NoReturn:
    """Fail, and once more when it is tried again."""
    token = IntegrationCredential.objects.get(pk=credential_id).access_token
    raise ValueError(f"access_token={token}")
