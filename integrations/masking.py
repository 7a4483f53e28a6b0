"""Secrets are masked before a text is kept, logged or shown to operators.

By their shape (GitHub's tokens, JSON web tokens, Fernet's, passwords in addresses, private keys,
words like "token" with a value), and by their value for those that the settings hold. Knows nothing
of Django.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK: Final = "***"
# Shorter ones would mask words that say nothing secret.
VALUE_LENGTH_MIN: Final = 8

_SHAPES: Final = re.compile(
    "|".join(
        (
            # https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/
            # An installation's may end in a JSON web token, of which no part may stay:
            # https://github.blog/changelog/2026-05-15-github-app-installation-tokens-per-request-override-header/
            r"(?<![0-9A-Za-z])(?:gh[a-z]_|github_pat_)[\w-]+(?:\.[\w-]+){0,2}",
            # The 40 hexadecimal digits of the format before all of these.
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
    ( \b(?:bearer|basic)\s+ (?! (?-i:[a-z])+ (?![\w+/=.~-]) )
    | \b\w*(?:token|secret|password|passwd|api_?key|private_?key|credential|signature(?:-256)?
             |authorization|sessionid)\b
      \\?["']?\s*[:=]\s*\\?["']?
      # The scheme of an Authorization header, and of a webhook's signature.
      (?:(?:bearer|basic|token)\s+|sha(?:1|256)=)? )
    # An ordinary word may follow in prose ("token: expired"): a secret there holds more than
    # small letters.
    (?! (?<=:[ ]) (?-i:[a-z]){1,20} (?![\w+/=.~-]) )
    ([^\s"',;&)}\\]{6,})
    """
)
# Parts of addresses that let in whoever knows them: GitHub's code, our links in e-mails.
_IN_PATH: Final = re.compile(
    r"(?i)([?&](?:code|state)=|/invitations/|/reset/key/|/confirm-email/)[\w:%.~-]{12,}"
)
# Without one of these there is nothing to look for: most of what is logged is short and plain.
_NAMES: Final = (
    "bearer", "basic", "token", "secret", "passw", "api", "private", "credential", "signature",
    "authorization", "sessionid",
)  # fmt: skip
_SHAPE_LENGTH_MIN: Final = 20
# Keys of mappings whose values are never shown.
_SECRET_KEY: Final = re.compile(
    r"(?i)(?:token|secret|password|passwd|api_?key|private_?key|authorization|cookies?"
    r"|sessionid|signature(?:-256)?|dsn)$"
)
# Deeper than anything that is logged.
_DEPTH_MAX: Final = 12
_values: set[str] = set()


def register_secrets(values: Iterable[str]) -> None:
    """Have these very values masked too, wherever they stand."""
    _values.update(value for value in values if len(value) >= VALUE_LENGTH_MIN)


def masked(text: str) -> str:
    """Return the text with everything that is, or looks like, a secret replaced by `***`."""
    for value in _values:
        text = text.replace(value, MASK)
    if len(text) >= _SHAPE_LENGTH_MIN or "gh" in text:
        text = _SHAPES.sub(MASK, text)
    if "/" in text or "?" in text:
        text = _IN_ADDRESS.sub(rf"\1{MASK}\2", text)
        text = _IN_PATH.sub(rf"\1{MASK}", text)
    lowered = text.lower()
    if any(name in lowered for name in _NAMES):
        text = _NAMED.sub(rf"\1{MASK}", text)
    return text


def masked_within(value: Any, *, depth: int = 0) -> Any:
    """Return the same with every text in its mappings and lists masked, as `masked` does it.

    What is neither of these nor a plain value becomes its masked `repr`.
    """
    if isinstance(value, str):
        found: Any = masked(value)
    elif value is None or isinstance(value, bool | int | float):
        found = value
    elif depth >= _DEPTH_MAX:
        found = masked(repr(value))
    elif isinstance(value, dict):
        found = {key: _under(key, one, depth + 1) for key, one in value.items()}
    elif isinstance(value, list | tuple | set | frozenset):
        found = [masked_within(one, depth=depth + 1) for one in value]
    else:
        found = masked(repr(value))
    return found


def _under(key: Any, value: Any, depth: int) -> Any:
    if isinstance(value, str) and value and _SECRET_KEY.search(str(key)):
        return MASK
    return masked_within(value, depth=depth)
