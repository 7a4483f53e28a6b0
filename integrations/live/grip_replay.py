"""What Pushpin is to send a viewer before it holds them: what moved since their last id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django_eventstream.utils import sse_encode_error

from integrations.live.encoding import encoded
from integrations.live.reading import RowReader
from integrations.live.viewer import come_back

if TYPE_CHECKING:
    from integrations.live.grip_hold import Hold
    from integrations.live.news import News
    from integrations.live.permits import Permit

# Pushpin takes 100,000 bytes of an answer that asks for a hold.
BODY_MAX_BYTES: Final = 90_000


@dataclass(frozen=True, slots=True)
class Answer:
    """The bytes, and up to which id they bring a viewer."""

    body: bytes
    sent_id: int = 0
    # Else the next link is due soon, for the rest.
    is_whole: bool = True
    # Whether the person may go on listening.
    is_held: bool = True


class GripReplay:
    """Reads rows for viewers that Pushpin holds, many by one read."""

    def __init__(self) -> None:
        self._rows = RowReader()

    async def answer(
        self, permit: Permit, *, after_id: int | None, opening: bytes = b"", is_reset: bool = False
    ) -> Answer:
        """Return what moved; with `is_reset` only that the page has to ask for everything.

        Raises django.db.Error.
        """
        news = await self._rows.news(permit.channel, after_id=after_id, user_id=permit.user_id)
        if permit.user_id not in news.reader_ids:
            return Answer(_forbidden(permit.channel), is_held=False)
        if is_reset or news.is_reset:
            return Answer(opening + _reset(permit.channel, news.current_id), news.current_id)
        return _composed(news, permit.channel, after_id=after_id, opening=opening)

    async def last_words(self, hold: Hold) -> bytes:
        """Return what to say to who is held no more, as a direct stream says it.

        Raises django.db.Error.
        """
        news = await self._rows.news(hold.channel, after_id=None, user_id=hold.user_id)
        if hold.user_id not in news.reader_ids:
            return _forbidden(hold.channel)
        # They signed out, or have another password: coming back tells the page.
        return come_back().encode()


def _forbidden(channel: str) -> bytes:
    extra = {"channels": [channel]}
    return str(sse_encode_error("forbidden", "You left this team.", extra=extra)).encode()


def _reset(channel: str, current_id: int) -> bytes:
    return encoded("stream-reset", "", channel=channel, event_id=current_id)


def _composed(news: News, channel: str, *, after_id: int | None, opening: bytes) -> Answer:
    """Put together as many events as Pushpin takes at once."""
    body, sent_id = opening, after_id or 0
    for event in news.events:
        chunk = encoded(event.type, event.data, channel=channel, event_id=event.id)
        if len(body) + len(chunk) > BODY_MAX_BYTES:
            if body == opening:
                # It alone is too large for ever: the page reads it another way.
                return Answer(body + _reset(channel, news.current_id), news.current_id)
            return Answer(body, sent_id, is_whole=False)
        body, sent_id = body + chunk, event.id
    return Answer(body, news.current_id, is_whole=not news.has_more)
