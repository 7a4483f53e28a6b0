"""What operators do to messages at the broker: requeue, delete, run now. Each is one Lua script."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integrations.ops.message_shapes import MessageQuery, MessageRef


class ActRefused(Exception):
    """Nothing was done, since it makes no sense; the text says why, to the operator."""


def requeue(refs: Sequence[MessageRef]) -> int:
    """Put dead letters back; return how many. Raises redis.RedisError, ActRefused."""
    raise NotImplementedError


def delete(refs: Sequence[MessageRef]) -> int:
    """Delete messages that wait or are dead; return how many. Raises redis.RedisError."""
    raise NotImplementedError


def run_now(refs: Sequence[MessageRef]) -> int:
    """Have delayed messages run now; return how many. Raises redis.RedisError, ActRefused."""
    raise NotImplementedError


def matching(query: MessageQuery) -> list[MessageRef]:
    """Return all that a query matches, taken once. Raises redis.RedisError."""
    raise NotImplementedError
