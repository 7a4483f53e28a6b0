"""Errors go to Sentry when SENTRY_DSN says so: secrets masked, with ids, without people's data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sentry_sdk
import structlog
from sentry_sdk.integrations.django import DjangoIntegration
from sentry_sdk.integrations.dramatiq import DramatiqIntegration
from sentry_sdk.integrations.logging import LoggingIntegration

from integrations.masking import masked_within

if TYPE_CHECKING:
    from sentry_sdk.transport import Transport
    from sentry_sdk.types import Breadcrumb, BreadcrumbHint, Event, Hint

# By which an error is found among messages, runs and teams.
TAGS: Final = ("run_id", "team_id", "message_id")


def configure_sentry(
    dsn: str,
    *,
    environment: str,
    traces_sample_rate: float = 0.0,
    transport: type[Transport] | None = None,
) -> None:
    """Start Sentry. Before the broker is made, whose class the integration patches."""
    sentry_sdk.init(
        dsn=dsn,
        environment=environment,
        traces_sample_rate=traces_sample_rate,
        transport=transport,
        # People's addresses and cookies stay here by default. So do a frame's variables, which
        # hold members and forms, and bodies: a message is found by its id on /ops/.
        include_local_variables=False,
        max_request_body_size="never",
        before_send=_before_send,
        before_send_transaction=_before_send_transaction,
        before_breadcrumb=_before_breadcrumb,
        integrations=[DjangoIntegration(), DramatiqIntegration(), LoggingIntegration()],
    )


def _before_send(event: Event, hint: Hint) -> Event | None:
    record = hint.get("log_record")
    if record is not None and isinstance(record.msg, dict):
        # A line of structlog: its event is the message, the keys stand beside it.
        line = dict(record.msg)
        event["logentry"] = {"message": str(line.pop("event", "")), "params": []}
        event["extra"] = {**event.get("extra", {}), **line}
    tags: dict[str, Any] = dict(event.get("tags") or {})
    tags.update({name: str(value) for name, value in _ids(event).items()})
    event["tags"] = tags
    return _masked(event)


def _before_send_transaction(event: Event, hint: Hint) -> Event | None:
    return _masked(event)


def _before_breadcrumb(crumb: Breadcrumb, hint: BreadcrumbHint) -> Breadcrumb | None:
    record = hint.get("log_record")
    if record is not None and isinstance(record.msg, dict):
        line = dict(record.msg)
        crumb["message"] = str(line.pop("event", ""))
        crumb["data"] = line
    found: Breadcrumb = masked_within(crumb)
    return found


def _masked(event: Event) -> Event:
    found: Event = masked_within(event)
    return found


def _ids(event: Event) -> dict[str, Any]:
    """Return what the error is about. A message that is over is named by Sentry's own extra."""
    bound = structlog.contextvars.get_contextvars()
    found: dict[str, Any] = {name: bound[name] for name in TAGS if name in bound}
    message_id = event.get("extra", {}).get("dramatiq_message_id")
    if message_id:
        found.setdefault("message_id", message_id)
    return found
