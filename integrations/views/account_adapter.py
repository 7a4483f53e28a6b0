"""What allauth asks the project: which address a request comes from, and where mails lead.

https://docs.allauth.org/en/latest/account/adapter.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.internal.httpkit import clean_client_ip
from django.conf import settings
from django.contrib.sites.requests import RequestSite

if TYPE_CHECKING:
    from django.http import HttpRequest

logger = structlog.get_logger(__name__)


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """allauth's own, which believes neither a Host nor a chain of proxies that is too short."""

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address that attempts are counted by. Raises PermissionDenied for none.

        A request that came past one of our proxies names fewer addresses than there are proxies;
        allauth fails then. Whoever opened the connection is known all the same.
        """
        hops = request.headers.get("X-Forwarded-For", "").split(",")
        if len(hops) < settings.TRUSTED_PROXY_COUNT and hops != [""]:
            logger.warning(
                "fewer proxies than trusted", hops=len(hops), trusted=settings.TRUSTED_PROXY_COUNT
            )
            peer: str | None = clean_client_ip(request.META.get("REMOTE_ADDR", ""))
            if peer:
                return peer
        found: str = super().get_client_ip(request)
        return found

    def format_email_subject(self, subject: str) -> str:
        return f"[{_site_name()}] {subject}"

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send a mail whose links lead to SITE_URL, whatever host its request named."""
        asked = self.request.build_absolute_uri("/").rstrip("/")
        ours = {
            name: f"{settings.SITE_URL}{value.removeprefix(asked)}"
            for name, value in context.items()
            if isinstance(value, str) and value.startswith(f"{asked}/")
        }
        site = RequestSite(self.request)
        site.domain = site.name = _site_name()
        super().send_mail(template_prefix, email, {**context, **ours, "current_site": site})


def _site_name() -> str:
    return urlsplit(settings.SITE_URL).netloc
