"""Answers Pushpin's requests for a team's stream: what moved, and how to hold the viewer.

Before everything else, as `live/door.py` and for its reasons: those who come together are checked
together. Only what a Pushpin of ours signed is answered so, and only who has a permit is held; all
others are served as if there was no Pushpin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import Error as DatabaseFailure

from integrations.live.door import PLAIN, TYPE, read_request
from integrations.live.grip import LINK_PATH, hold_headers, is_signed, last_sent_ids
from integrations.live.grip_hold import Hold, sealed_of
from integrations.live.grip_register import register
from integrations.live.grip_replay import Answer, GripReplay
from integrations.live.grip_watch import hold_watch
from integrations.live.permits import Permits
from integrations.live.stream import HEADERS, last_id_of
from integrations.live.viewer import OPENING, come_back

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integrations.live.admission import Application, Message, Receive, Send

# An answer is the last of its connection: Pushpin (zurl, by libcurl) would keep hundreds of them
# open for a next time, each a file descriptor of ours.
CLOSE: Final = (b"connection", b"close")
SIGNATURE: Final = b"grip-sig"


def start_holding() -> None:
    """Start what the held streams need of this process; nothing without a Pushpin."""
    if settings.GRIP_PROXIES:
        register.start()
        hold_watch.start()


async def stop_holding() -> None:
    await register.stop()
    await hold_watch.stop()


class GripDoor:
    """Has Pushpin hold who has a permit; everything else is the application's."""

    def __init__(self, application: Application, *, headers: Mapping[str, str]) -> None:
        """Take who answers everything else, and the headers that its middlewares would set."""
        self._application = application
        self._headers = {**headers, **HEADERS, **TYPE}
        self._permits = Permits()
        self._replay = GripReplay()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not any(map(is_signed, _all(scope, SIGNATURE))):
            await self._application(scope, receive, send)
            return
        try:
            if scope["path"] == LINK_PATH:
                await self._go_on(last_sent_ids(_all(scope, b"grip-last")), send)
            elif not await self._open(scope, send):
                await self._application(scope, receive, send)
        except DatabaseFailure:
            # Pushpin asks for a link again, five times in half a minute; a page asks by itself.
            await _respond(send, 503, [PLAIN], b"Rollcall can't reach its database.\n")

    async def _open(self, scope: Message, send: Send) -> bool:
        """Answer a new viewer; return whether they were. Raises django.db.Error."""
        request = read_request(scope)
        if request is None:
            return False
        permit = await self._permits.permit(request.session_key, request.team_slug)
        if permit is None:
            return False
        try:
            last_id = last_id_of(request.given_id, permit.channel)
        except ValueError:
            return False
        answer = await self._replay.answer(permit, after_id=last_id, opening=OPENING.encode())
        await self._send(send, answer, Hold.of(permit, request.team_slug))
        return True

    async def _go_on(self, last_ids: dict[str, int], send: Send) -> None:
        """Answer Pushpin's next link, which no cookie comes with. Raises django.db.Error."""
        sealed = next(filter(None, map(sealed_of, last_ids)), "")
        try:
            hold = Hold.opened(sealed)
        except ValueError:
            await self._end(send, come_back().encode())
            return
        permit = await self._permits.permit(hold.session_key, hold.team_slug)
        if permit is None or permit.channel != hold.channel:
            await self._end(send, await self._replay.last_words(hold))
            return
        last_id = last_ids.get(hold.channel)
        # Without an id nobody knows what the viewer has: they ask for everything again.
        answer = await self._replay.answer(permit, after_id=last_id, is_reset=last_id is None)
        # As of now: they may have another password since the last link, and stay signed in by it.
        await self._send(send, answer, Hold.of(permit, hold.team_slug))

    async def _send(self, send: Send, answer: Answer, hold: Hold) -> None:
        if not answer.is_held:
            await self._end(send, answer.body)
            return
        sealed = hold.sealed()
        register.note(sealed)
        instructions = hold_headers(
            hold.channel, sealed=sealed, sent_id=answer.sent_id, is_whole=answer.is_whole
        )
        headers = {**self._headers, **instructions}
        await _respond(send, 200, [_encoded(*item) for item in headers.items()], answer.body)

    async def _end(self, send: Send, body: bytes) -> None:
        """End a stream: without a hold Pushpin sends what there is and hangs up."""
        await _respond(send, 200, [_encoded(*item) for item in self._headers.items()], body)


def _all(scope: Message, name: bytes) -> list[str]:
    """Return the values of a request's header."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _encoded(name: str, value: str) -> tuple[bytes, bytes]:
    return name.lower().encode(), value.encode("latin-1")


async def _respond(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode()), CLOSE]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
