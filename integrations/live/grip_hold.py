"""What we have to know of a stream that a Pushpin holds: it comes back to us in its next link.

Sealed (AES-SIV, RFC 5297), since a session's key is in it and Pushpin and Redis need not know that.
The same stream seals to the same bytes, so that a person who reconnects often is registered once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import astuple, dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from django.conf import settings
from django.utils.crypto import salted_hmac

if TYPE_CHECKING:
    from integrations.live.permits import Permit

# Pushpin asks for the next link of the first stream of every channel a second later, lest it missed
# something: channels of one person each would double the requests. To the others of a bucket an end
# of one costs a request.
BUCKETS: Final = 256


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
        """Return it for a link's path: letters, digits, `-` and `_`."""
        text = json.dumps(astuple(self)).encode()
        return base64.urlsafe_b64encode(_cipher(settings.SECRET_KEY).encrypt(text, None)).decode()

    @classmethod
    def opened(cls, sealed: str) -> Hold:
        """Return what was sealed. Raises ValueError for what we did not seal."""
        try:
            text = _cipher(settings.SECRET_KEY).decrypt(base64.urlsafe_b64decode(sealed), None)
        except (InvalidTag, ValueError) as exc:
            raise ValueError("not sealed by us") from exc
        return cls(*json.loads(text))


def bucket_of(sealed: str) -> str:
    """Return the channel on which a stream is told to ask us whether it goes on."""
    return f"holds-{hashlib.sha256(sealed.encode()).digest()[0] % BUCKETS}"


def link_token(sealed: str) -> str:
    """Return a link's last part, another one for each stream.

    Pushpin asks once for all whose links are the same, wherever each of them is.
    """
    return f"{sealed}.{secrets.token_urlsafe(9)}"


def digest_of(password: str) -> str:
    """Return what changes with a password; it is a salted hash already."""
    return hashlib.sha256(password.encode()).hexdigest()[:16]


@cache
def _cipher(secret_key: str) -> AESSIV:
    key = salted_hmac("integrations.live.grip_hold", "seal", secret=secret_key, algorithm="sha512")
    return AESSIV(key.digest())
