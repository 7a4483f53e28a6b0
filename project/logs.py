"""How the project logs: one line an event with its keys, from structlog and from others.

Secrets are masked last, so that exceptions and other libraries' lines are covered too.
"""

from __future__ import annotations

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
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            # Its own handlers would print what the root's prints.
            "django": {"handlers": [], "propagate": True},
            "django.request": {"level": "ERROR"},
            "django_eventstream": {"level": "WARNING"},
            # Its caller is told, every few seconds, and needs no traceback.
            "health_check": {"level": "CRITICAL"},
            "uvicorn": {"handlers": [], "propagate": True},
            "uvicorn.error": {"handlers": [], "propagate": True},
            # As `--no-access-log` leaves it, which loading this would undo: addresses hold the
            # tokens of mailed links, and the proxy in front writes its own.
            "uvicorn.access": {"handlers": [], "propagate": False},
        },
    }


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
