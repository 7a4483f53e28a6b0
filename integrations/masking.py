"""Secrets are masked before a text is kept, logged or shown to operators.

By their shape (GitHub's tokens, JSON web tokens, Fernet's, passwords in addresses, private keys,
words like "token" with a value), and by their value for those that the settings hold. Knows nothing
of Django.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK: Final = "***"
# Shorter ones would mask words that say nothing secret.
VALUE_LENGTH_MIN: Final = 8

_SHAPES: Final = re.compile(
    "|".join(
        (
            # https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/
            # and the 40 hexadecimal digits of the format before it.
            r"(?<![0-9A-Za-z])(?:gh[a-z]_|github_pat_)\w+",
            r"\b[0-9a-f]{40}\b",
            # A JSON web token, and Fernet's.
            r"\beyJ[\w-]+\.[\w-]+\.[\w-]*",
            r"\bgAAAAA[\w=-]{20,}",
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
        )
    ),
    re.DOTALL,
)
# postgres://user:password@host
_IN_ADDRESS: Final = re.compile(r"(\w+://[^\s:/@]*:)[^\s/@]+(@)")
# Authorization: Bearer abc; "access_token": "abc"; client_secret=abc
_NAMED: Final = re.compile(
    r"""(?ix)
    ( \b(?:bearer|basic)\s+
    | \b\w*(?:token|secret|password|passwd|api_?key|private_?key|credential|signature)\b
      \\?["']?\s*[:=]\s*\\?["']? )
    ([^\s"',;&)}\\]{6,})
    """
)
_values: set[str] = set()


def register_secrets(values: Iterable[str]) -> None:
    """Have these very values masked too, wherever they stand."""
    _values.update(value for value in values if len(value) >= VALUE_LENGTH_MIN)


def masked(text: str) -> str:
    """Return the text with everything that is, or looks like, a secret replaced by `***`."""
    for value in _values:
        text = text.replace(value, MASK)
    text = _SHAPES.sub(MASK, text)
    text = _IN_ADDRESS.sub(rf"\1{MASK}\2", text)
    return _NAMED.sub(rf"\1{MASK}", text)
