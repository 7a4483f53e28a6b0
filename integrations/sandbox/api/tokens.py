"""Access tokens: whose they are, what they may do, and which app they were given to.

Knows nothing of HTTP.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

# "10 tokens per user/app/scope, the oldest is revoked".
# https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
_TOKENS_PER_GRANT_MAX = 10


@dataclass(frozen=True, slots=True)
class Token:
    text: str
    person_id: int
    scopes: tuple[str, ...]
    # The OAuth app it was given to; None for a personal access token.
    client_id: str | None = None
    # The second half of a pair, as GitHub Apps get it; good for one exchange.
    refresh_text: str = ""
    # Unix time; None for a token that doesn't expire.
    expires_at_s: float | None = None
    # A GitHub App's token for one installation: nobody's, so that `person_id` is 0.
    installation_id: int | None = None


class Tokens:
    """The tokens given out; kept in a file, if there is one, so that a demo outlives a restart."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._tokens: dict[str, Token] = {}
        if file is not None and file.exists():
            for kept in json.loads(file.read_text()):
                token = Token(**{**kept, "scopes": tuple(kept["scopes"])})
                self._tokens[token.text] = token

    def __iter__(self) -> Iterator[Token]:
        yield from self._tokens.values()

    def get(self, text: str) -> Token | None:
        token = self._tokens.get(text)
        if token is None or token.expires_at_s is None or time.time() < token.expires_at_s:
            return token
        return None

    def add_personal(
        self, person_id: int, *, scopes: Iterable[str], text: str | None = None
    ) -> Token:
        return self._keep(Token(text or f"ghp_{secrets.token_hex(18)}", person_id, tuple(scopes)))

    def add_for_app(self, person_id: int, *, scopes: Iterable[str], client_id: str) -> Token:
        token = Token(f"gho_{secrets.token_hex(18)}", person_id, tuple(scopes), client_id)
        alike = [
            one
            for one in self._of_grant(person_id, client_id=client_id)
            if set(one.scopes) == set(token.scopes)
        ]
        for oldest in alike[: max(0, len(alike) + 1 - _TOKENS_PER_GRANT_MAX)]:
            self.revoke(oldest)
        return self._keep(token)

    def add_pair(
        self, person_id: int, *, scopes: Iterable[str], client_id: str, expires_in_s: float
    ) -> Token:
        """Give out a token that expires, with the refresh token that replaces it.

        https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens
        """
        return self._keep(
            Token(
                f"ghu_{secrets.token_hex(18)}",
                person_id,
                tuple(scopes),
                client_id,
                refresh_text=f"ghr_{secrets.token_hex(38)}",
                expires_at_s=time.time() + expires_in_s,
            )
        )

    def add_installation(self, installation_id: int, *, expires_in_s: float) -> Token:
        """Give a GitHub App a token of its installation.

        https://docs.github.com/rest/apps/apps#create-an-installation-access-token-for-an-app
        """
        return self._keep(
            Token(
                f"ghs_{secrets.token_hex(18)}",
                0,
                (),
                expires_at_s=time.time() + expires_in_s,
                installation_id=installation_id,
            )
        )

    def revoke_installation(self, installation_id: int) -> None:
        for one in list(self._tokens.values()):
            if one.installation_id == installation_id:
                self.revoke(one)

    def refresh(self, refresh_text: str, *, client_id: str, expires_in_s: float) -> Token | None:
        """Replace a pair by a new one, which ends the old one; None for an unknown token."""
        found = [one for one in self._tokens.values() if one.refresh_text == refresh_text != ""]
        old = next((one for one in found if one.client_id == client_id), None)
        if old is None:
            return None
        self.revoke(old)
        return self.add_pair(
            old.person_id, scopes=old.scopes, client_id=client_id, expires_in_s=expires_in_s
        )

    def revoke(self, token: Token) -> None:
        self._tokens.pop(token.text, None)
        self._write()

    def revoke_grant(self, token: Token) -> None:
        """Take back every token that the app holds of this person."""
        for one in self._of_grant(token.person_id, client_id=token.client_id):
            self.revoke(one)

    def _of_grant(self, person_id: int, *, client_id: str | None) -> list[Token]:
        tokens = self._tokens.values()
        return [one for one in tokens if (one.person_id, one.client_id) == (person_id, client_id)]

    def _keep(self, token: Token) -> Token:
        self._tokens[token.text] = token
        self._write()
        return token

    def _write(self) -> None:
        if self._file is not None:
            self._file.write_text(json.dumps([asdict(token) for token in self._tokens.values()]))
