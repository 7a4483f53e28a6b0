"""How an event looks on the wire, in django-eventstream's words: encoded once for all."""

from __future__ import annotations

from functools import lru_cache

from django_eventstream.utils import make_id, sse_encode_event


@lru_cache(maxsize=64)
def encoded(event_type: str, data: str, *, channel: str, event_id: int) -> bytes:
    """Return an event's bytes; its id names the channel, as the page hands it back."""
    return str(sse_encode_event(event_type, data, event_id=make_id({channel: event_id}))).encode()
