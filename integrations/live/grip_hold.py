"""What we have to know of a stream that a Pushpin holds: it comes back to us with its next link.

It is the name of a channel that the stream is on. All streams have the same link, since Pushpin
asks for no more than ten different ones a second, and keeps news back meanwhile; what it tells us
of each is where its channels are. Sealed (AES-SIV, RFC 5297): a session's key is in it, which
Pushpin and Redis need not know. The same stream seals to the same bytes, so that a person who
reconnects often is registered once.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import astuple, dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from django.conf import settings
from django.utils.crypto import salted_hmac

if TYPE_CHECKING:
    from integrations.live.permits import Permit

PREFIX: Final = "hold-"


@dataclass(frozen=True, slots=True)
class Hold:
    """Who listens to what, and what that stands on; as `Permit`."""

    user_id: int
    team_slug: str
    channel: str
    session_key: str
    password_digest: str

    @classmethod
    def of(cls, permit: Permit, team_slug: str) -> Hold:
        return cls(
            permit.user_id,
            team_slug,
            permit.channel,
            permit.session_key,
            digest_of(permit.password),
        )

    def sealed(self) -> str:
        """Return it for a channel's name: letters, digits, `-` and `_`."""
        text = " ".join(str(value) for value in astuple(self)).encode()
        sealed = _cipher(settings.SECRET_KEY).encrypt(text, None)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    @classmethod
    def opened(cls, sealed: str) -> Hold:
        """Return what was sealed. Raises ValueError for what we did not seal."""
        try:
            data = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
            text = _cipher(settings.SECRET_KEY).decrypt(data, None).decode()
        except (InvalidTag, ValueError) as exc:
            raise ValueError("not sealed by us") from exc
        user_id, *others = text.split(" ")
        return cls(int(user_id), *others)


def channel_of_hold(sealed: str) -> str:
    """Return the channel of a person's streams of a team in a session."""
    return f"{PREFIX}{sealed}"


def sealed_of(channel: str) -> str | None:
    """Return what is sealed in such a channel's name; None for another channel."""
    return channel.removeprefix(PREFIX) if channel.startswith(PREFIX) else None


def digest_of(password: str) -> str:
    """Return what changes with a password; it is a salted hash already."""
    return hashlib.sha256(password.encode()).hexdigest()[:16]


@cache
def _cipher(secret_key: str) -> AESSIV:
    key = salted_hmac("integrations.live.grip_hold", "seal", secret=secret_key, algorithm="sha512")
    return AESSIV(key.digest())
