"""How the project logs: one line an event with its keys, from structlog and from others.

Secrets are masked last, so that exceptions and other libraries' lines are covered too.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import structlog

from integrations.masking import masked_within

# Also of lines that do not come from structlog: Django's, Dramatiq's.
SHARED_PROCESSORS: Final[list[structlog.typing.Processor]] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
# Of what a stranger says, so much is kept: a name's 253 letters, and Django's words around it.
PROBE_LENGTH: Final = 400


def configure_logs(*, level: str, is_json: bool) -> dict[str, Any]:
    """Configure structlog, and return Django's LOGGING: for people, or as JSON a line."""
    structlog.configure(
        processors=[
            *SHARED_PROCESSORS,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": _formatter(is_json=is_json)},
        "filters": {"probe": {"()": "project.logs.AsOneWarning"}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            # Its own handlers would print what the root's prints.
            "django": {"handlers": [], "propagate": True},
            "django.request": {"level": "ERROR"},
            # Anybody may name another host, and scanners do all day: no error of ours.
            "django.security.DisallowedHost": {"filters": ["probe"]},
            "django_eventstream": {"level": "WARNING"},
            # Its caller is told, every few seconds, and needs no traceback.
            "health_check": {"level": "CRITICAL"},
            "uvicorn": {"handlers": [], "propagate": True},
            "uvicorn.error": {"handlers": [], "propagate": True},
            # Configuring its parent undoes `--no-access-log`, and a line costs more than a stream:
            # uvicorn, which is configured before it loads us, has left it a handler or none.
            "uvicorn.access": {
                "handlers": [],
                "propagate": bool(logging.getLogger("uvicorn.access").handlers),
            },
        },
    }


class AsOneWarning(logging.Filter):
    """Has what a stranger can cause stand in the log as one short line, without a traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args = record.getMessage()[:PROBE_LENGTH], ()
        record.exc_info = None
        return True


def _formatter(*, is_json: bool) -> dict[str, Any]:
    return {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": SHARED_PROCESSORS,
        "processors": [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            mask_secrets,
            structlog.processors.JSONRenderer()
            if is_json
            else structlog.dev.ConsoleRenderer(colors=False),
        ],
    }


def mask_secrets(
    logger: Any, method_name: str, event_dict: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Mask event, keys and the exception's text (a processor of structlog)."""
    found: structlog.typing.EventDict = masked_within(event_dict)
    return found
