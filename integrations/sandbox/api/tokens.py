"""Access tokens: whose they are, what they may do, and which app they were given to.

Knows nothing of HTTP.
"""

from __future__ import annotations

import json
import secrets
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
        return self._tokens.get(text)

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
