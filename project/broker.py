"""Which broker carries the messages, from one address: Redis or Valkey, or RabbitMQ.

Only settings.py reads this.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from integrations.rabbitmq.tls import FILES, options_of, told_of_tls

if TYPE_CHECKING:
    import environ

REDIS_SCHEMES: Final = ("redis", "rediss")
RABBITMQ_SCHEMES: Final = ("amqp", "amqps")
DEAD_MESSAGE_TTL_MS: Final = 7 * 24 * 60 * 60 * 1000


@dataclass(frozen=True)
class BrokerChoice:
    """The broker as django-dramatiq is told of it."""

    # Empty with RabbitMQ.
    redis_url: str
    path: str
    options: dict[str, Any]
    # How a worker gets patience: a middleware's path.
    worker_middleware: str


def read_broker(env: environ.Env, *, default: str, namespace: str) -> BrokerChoice:
    """Read BROKER_URL; empty means the default, a Redis. Raises ImproperlyConfigured."""
    url = env.str("BROKER_URL", default="").strip()
    scheme = urlsplit(url).scheme
    if url and (scheme not in REDIS_SCHEMES + RABBITMQ_SCHEMES or not urlsplit(url).hostname):
        valid = ", ".join(f"{one}://HOST" for one in REDIS_SCHEMES + RABBITMQ_SCHEMES)
        # Not the value: a password may stand in it.
        raise ImproperlyConfigured(
            f"BROKER_URL begins with {scheme or 'no scheme'!r} or names no host. Valid: {valid}."
        )
    if scheme in RABBITMQ_SCHEMES:
        _refuse_bad_certificates(url)
        return BrokerChoice(
            redis_url="",
            path="integrations.rabbitmq.broker.QuorumBroker",
            options={"url": url},
            worker_middleware="integrations.rabbitmq.broker.WorkerPatience",
        )
    redis_url = url or default
    return BrokerChoice(
        redis_url=redis_url,
        path="integrations.broker.RollcallBroker",
        options={
            "url": redis_url,
            "namespace": namespace,
            "heartbeat_timeout": 60_000,
            "maintenance_chance": 100_000,
            "dead_message_ttl": DEAD_MESSAGE_TTL_MS,
        },
        worker_middleware="integrations.broker.WorkerClient",
    )


def _refuse_bad_certificates(url: str) -> None:
    """Say at the start which file can't be used, rather than at the first message.

    Raises ImproperlyConfigured.
    """
    _, told = told_of_tls(url)
    if told and urlsplit(url).scheme != "amqps":
        raise ImproperlyConfigured(
            f"BROKER_URL names {', '.join(told)}, which is for amqps:// alone."
        )
    missing = [name for name in FILES if name in told and not Path(told[name]).is_file()]
    if missing:
        raise ImproperlyConfigured(f"BROKER_URL names no file that is there as {missing[0]}.")
    try:
        options_of(told)
    except OSError as exc:
        # An SSLError as well. Not the value: a password may stand in it.
        raise ImproperlyConfigured(
            f"BROKER_URL names certificates that can't be used: {exc.strerror or exc}."
        ) from exc
