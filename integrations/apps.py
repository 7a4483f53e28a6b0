"""The one Django app of Rollcall, and what is set up once Django has read settings and models."""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings

from integrations.github import transport
from integrations.masking import register_secrets
from integrations.telemetry import github_calls


class IntegrationsConfig(AppConfig):
    name = "integrations"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Rollcall"

    def ready(self) -> None:
        register_secrets(
            [
                settings.SECRET_KEY,
                settings.GITHUB_CLIENT_SECRET,
                settings.GITHUB_APP_CLIENT_SECRET,
                settings.GITHUB_APP_PRIVATE_KEY,
                settings.METRICS_TOKEN,
                *settings.FIELD_ENCRYPTION_KEYS,
                *settings.GITHUB_WEBHOOK_SECRETS,
            ]
        )
        transport.observe(github_calls.note)
