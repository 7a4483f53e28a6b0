"""Messages at the broker and in the history: looked for by what they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from integrations.ops.message_shapes import MessageDetail, MessagePage, MessageQuery


def find(query: MessageQuery) -> MessagePage:
    """Return a page of what matches. Raises redis.RedisError."""
    raise NotImplementedError


def get(message_id: str) -> MessageDetail | None:
    """Return one message with its attempts, or None. Raises redis.RedisError."""
    raise NotImplementedError
