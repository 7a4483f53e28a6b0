"""GRIP, as Pushpin speaks it: who signed a request, and how we ask for a stream to be held.

A web process answers a request with what moved and with instructions (headers that the viewer never
sees); Pushpin then holds the connection, sends what is published to its channels (grip_publish.py),
and asks for the next link now and then. https://pushpin.org/docs/protocols/grip/
"""

from __future__ import annotations

import random
import re
from typing import Final

import jwt
from django.conf import settings

from integrations.live.grip_hold import channel_of_hold

ALGORITHM: Final = "HS256"
# When a hold asks us again, in seconds: not all of them at once.
RENEWAL_S: Final = (120, 180)
# Where the rows hold more than one answer takes.
SOON_S: Final = 1
# As django-eventstream's own; sooner than proxies cut a silent connection.
KEEP_ALIVE: Final = r": keep-alive\n\n; format=cstring; timeout=15"
LINK_PATH: Final = "/live/held/"
# Of a stream's own channel, which carries no events.
FIRST_ID: Final = 0
# A hint is numbered by nanoseconds, which takes nineteen digits.
LAST: Final = re.compile(r"\s*([^;\s]+)\s*;\s*last-id=([0-9]{1,20})\s*")


def is_signed(signature: str) -> bool:
    """Say whether one of our Pushpins signed it, and not too long ago."""
    return any(
        _is_signed_by(signature, issuer=proxy.issuer, key=proxy.key)
        for proxy in settings.GRIP_PROXIES
    )


def _is_signed_by(signature: str, *, issuer: str, key: str) -> bool:
    try:
        jwt.decode(
            signature,
            key,
            algorithms=[ALGORITHM],
            issuer=issuer,
            options={"require": ["exp", "iss"]},
        )
    except jwt.InvalidTokenError:
        return False
    return True


def hold_headers(channel: str, *, sealed: str, sent_id: int, is_whole: bool) -> dict[str, str]:
    """Return the instructions to hold a stream that was sent everything up to an id."""
    renewal_s = random.randint(*RENEWAL_S) if is_whole else SOON_S
    own = channel_of_hold(sealed)
    return {
        "Grip-Hold": "stream",
        # Pushpin says back only where those channels are that have a number.
        "Grip-Channel": f"{channel}; prev-id={sent_id}, {own}; prev-id={FIRST_ID}",
        "Grip-Link": f"<{LINK_PATH}>; rel=next; timeout={renewal_s}",
        "Grip-Keep-Alive": KEEP_ALIVE,
    }


def last_sent_ids(given: list[str]) -> dict[str, int]:
    """Return the id up to which Pushpin sent each channel, by its headers `Grip-Last`."""
    matches = map(LAST.fullmatch, given)
    return {match[1]: int(match[2]) for match in matches if match}
