"""Where Dramatiq's Redis broker keeps what (dramatiq/brokers/redis/dispatch.lua), and which queues.

Each queue has a list of what is ready, one of what is delayed and a sorted set of dead letters, and
beside each of these a hash of the payloads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dramatiq
from django.conf import settings

from integrations.constants import QUEUES
from integrations.telemetry.redis_clients import key, telemetry_client

# In the telemetry's database: a queue that later code drops is still looked at.
QUEUES_KEY = "queues"


@dataclass(frozen=True)
class QueueKeys:
    """The names of one queue's keys."""

    queue: str

    @property
    def ready(self) -> str:
        return f"{settings.BROKER_NAMESPACE}:{self.queue}"

    @property
    def ready_payloads(self) -> str:
        return f"{self.ready}.msgs"

    @property
    def delayed(self) -> str:
        return f"{self.ready}.DQ"

    @property
    def delayed_payloads(self) -> str:
        return f"{self.ready}.DQ.msgs"

    @property
    def dead(self) -> str:
        return f"{self.ready}.XQ"

    @property
    def dead_payloads(self) -> str:
        return f"{self.ready}.XQ.msgs"


def heartbeats_key() -> str:
    return f"{settings.BROKER_NAMESPACE}:__heartbeats__"


def acks_prefix() -> str:
    """Return what a process's acks begin with; `<its broker id>.<queue>` follows."""
    return f"{settings.BROKER_NAMESPACE}:__acks__."


def declared_queues() -> list[str]:
    """Return the queues that this code knows of, the product's own first."""
    others = dramatiq.get_broker().get_declared_queues() - set(QUEUES)
    return [*QUEUES, *sorted(others)]


def known_queues() -> list[str]:
    """Return the declared queues, and those that a ticker once declared (`ops/pausing.py`).

    Raises redis.RedisError.
    """
    declared = declared_queues()
    found: Any = telemetry_client().smembers(key(QUEUES_KEY))
    return [*declared, *sorted({name.decode() for name in found} - set(declared))]
