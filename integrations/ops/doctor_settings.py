"""The doctor on the configuration: secrets, hosts, HTTPS, mail, metrics. Asks nobody."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from django.conf import settings

from integrations.numbers import whole_number
from integrations.ops.findings import bad, good, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integrations.ops.findings import Finding

SECRET_LENGTH_MIN: Final = 50
TOKEN_LENGTH_MIN: Final = 20
# Prefetched messages of a worker that dies wait a minute or two.
PREFETCH_MAX: Final = 8
_NO_MAIL: Final = ("console", "locmem", "dummy", "filebased")


def examine() -> Iterator[Finding]:
    """Yield what there is to say of the settings."""
    yield from _secrets()
    yield from _hosts()
    yield from _https()
    yield _mail()
    yield from _watching()
    yield _prefetch()


def _is_development() -> bool:
    return bool(settings.SECRET_KEY == settings.DEVELOPMENT_SECRET)


def _secrets() -> Iterator[Finding]:
    if _is_development():
        yield warn(
            "secrets", "This is a development configuration: SECRET_KEY is the default.",
            "Set SECRET_KEY and FIELD_ENCRYPTION_KEYS before anybody else uses this.",
        )  # fmt: skip
    elif len(settings.SECRET_KEY) < SECRET_LENGTH_MIN:
        yield warn(
            "secrets", f"SECRET_KEY is shorter than {SECRET_LENGTH_MIN} characters.",
            "Make a longer one; everybody then has to sign in again.",
        )  # fmt: skip
    else:
        yield good("secrets", "SECRET_KEY and FIELD_ENCRYPTION_KEYS are set.")
    if settings.DEBUG:
        yield warn(
            "debug", "DEBUG is on: errors show code and settings to whoever meets them.",
            "Unset DEBUG in production.",
        )  # fmt: skip


def _hosts() -> Iterator[Finding]:
    site_host = urlsplit(settings.SITE_URL).hostname or ""
    if not settings.ALLOWED_HOSTS:
        yield bad(
            "hosts", "ALLOWED_HOSTS is empty: every request is refused.",
            "Set it to the host names that people use.",
        )  # fmt: skip
    elif "*" in settings.ALLOWED_HOSTS:
        yield warn(
            "hosts", "ALLOWED_HOSTS lets every name in.",
            "Name the hosts: links in e-mails are made from them.",
        )  # fmt: skip
    elif not any(_is_host(site_host, pattern) for pattern in settings.ALLOWED_HOSTS):
        yield bad(
            "hosts", f"SITE_URL's host {site_host} is not in ALLOWED_HOSTS.",
            "Make the two agree: links in e-mails lead to SITE_URL.",
        )  # fmt: skip
    else:
        yield good("hosts", f"{len(settings.ALLOWED_HOSTS)} host names, SITE_URL's among them.")


def _is_host(host: str, pattern: str) -> bool:
    return host == pattern or (pattern.startswith(".") and f".{host}".endswith(pattern))


def _https() -> Iterator[Finding]:
    is_https = settings.SITE_URL.startswith("https://")
    if settings.HTTPS and not is_https:
        yield bad(
            "https", "HTTPS is on, and SITE_URL begins with http://.",
            "Set SITE_URL to https://...: webhooks and links are made from it.",
        )  # fmt: skip
    elif settings.HTTPS and not settings.TRUSTED_PROXY_COUNT:
        yield warn(
            "https", "HTTPS is on, and no proxy is trusted.",
            "Behind a proxy that ends TLS set TRUSTED_PROXY_COUNT=1, or every page redirects to "
            "itself.",
        )  # fmt: skip
    elif settings.HTTPS:
        yield good("https", f"HTTPS, behind {settings.TRUSTED_PROXY_COUNT} trusted proxies.")
    elif _is_development():
        yield good("https", "Off, as in development.")
    else:
        yield warn(
            "https", "HTTPS is off: passwords and tokens travel in the clear.",
            "Unset HTTPS, and put a proxy with TLS before the web process.",
        )  # fmt: skip


def _mail() -> Finding:
    backend = settings.EMAIL_BACKEND.rsplit(".", 2)[-2]
    if backend not in _NO_MAIL:
        found = good("mail", f"By {backend}, as {settings.DEFAULT_FROM_EMAIL}.")
    elif settings.ACCOUNT_EMAIL_VERIFICATION == "mandatory":
        found = bad(
            "mail", f"E-mail goes to {backend}, and addresses have to be confirmed.",
            "Set EMAIL_URL, or nobody new can sign in.",
        )  # fmt: skip
    else:
        found = warn(
            "mail", f"E-mail goes to {backend}: invitations and resets reach nobody.",
            "Set EMAIL_URL.",
        )  # fmt: skip
    return found


def _watching() -> Iterator[Finding]:
    if not settings.METRICS_TOKEN:
        yield warn(
            "metrics", "METRICS_TOKEN is empty: only signed-in staff can read /metrics.",
            "Set it, and give it to Prometheus (docs/ops/README.md).",
        )  # fmt: skip
    elif len(settings.METRICS_TOKEN) < TOKEN_LENGTH_MIN:
        yield warn(
            "metrics", f"METRICS_TOKEN is shorter than {TOKEN_LENGTH_MIN} characters.",
            "Make a longer, random one.",
        )  # fmt: skip
    else:
        yield good("metrics", "/metrics may be read by token.")
    is_on = bool(settings.SENTRY_DSN)
    yield good("sentry", "Errors go to Sentry." if is_on else "Off: errors are in the logs only.")


def _prefetch() -> Finding:
    """Judge what this environment would give a worker; a worker elsewhere may have another."""
    value = os.environ.get("dramatiq_queue_prefetch", "")  # noqa: SIM112
    if 0 < (whole_number(value) or 0) <= PREFETCH_MAX:
        return good("prefetch", f"dramatiq_queue_prefetch is {value}.")
    return warn(
        "prefetch", f"dramatiq_queue_prefetch is {value or 'not set'} in this environment.",
        "Set it to 4 for workers, as in the Procfile: a worker that dies then holds few messages.",
    )  # fmt: skip
