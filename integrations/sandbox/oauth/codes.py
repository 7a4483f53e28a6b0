"""Authorization codes: handed out once, good once, for ten minutes, bound to their challenge.

Knows nothing of HTTP.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from dataclasses import dataclass

# https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
CODE_LIFETIME_S = 600


@dataclass(frozen=True, slots=True)
class Code:
    text: str
    person_id: int
    scopes: tuple[str, ...]
    client_id: str
    redirect_uri: str
    challenge: str | None
    made_at: float  # epoch seconds

    def is_expired(self) -> bool:
        return time.time() - self.made_at > CODE_LIFETIME_S

    def is_proven_by(self, verifier: str | None) -> bool:
        """Check PKCE (RFC 7636, section 4.6, S256); a code without a challenge needs no proof."""
        if self.challenge is None:
            return True
        digest = hashlib.sha256((verifier or "").encode()).digest()
        proof = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        return secrets.compare_digest(proof, self.challenge)


class Codes:
    def __init__(self) -> None:
        self._codes: dict[str, Code] = {}

    def add(
        self,
        person_id: int,
        *,
        scopes: tuple[str, ...],
        client_id: str,
        redirect_uri: str,
        challenge: str | None,
        age_s: float = 0.0,
    ) -> Code:
        code = Code(
            text=secrets.token_hex(10),
            person_id=person_id,
            scopes=scopes,
            client_id=client_id,
            redirect_uri=redirect_uri,
            challenge=challenge,
            made_at=time.time() - age_s,
        )
        self._codes[code.text] = code
        return code

    def take(self, text: str) -> Code | None:
        """Return the code and forget it; None when it is unknown, used or too old."""
        code = self._codes.pop(text, None)
        return None if code is None or code.is_expired() else code
