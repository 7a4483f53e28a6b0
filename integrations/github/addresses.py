"""Which addresses a token may be sent to. Knows no HTTP."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

from integrations.github.errors import Invalid

# What nearly every address looks like, and no reader reads differently: a name, perhaps a port, a
# path of plain signs. A page holds a hundred; taking each apart was half of reading it.
PLAIN: Final = re.compile(r"https?://[a-z0-9][a-z0-9.-]*(:[0-9]{1,4})?/[!-\[\]-~]*")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def is_same_origin(url: str, home: str) -> bool:
    """Say whether an address is served by the same server (RFC 6454: scheme, host, port)."""
    origin = _origin(url)
    return origin is not None and origin == _origin(home)


def segment(text: str) -> str:
    """Quote a login or a repository's name as one segment of a path. Raises Invalid."""
    if text in ("", ".", ".."):
        raise Invalid("a name that is no segment of a path")
    return quote(text, safe="")


def is_web_address(url: str) -> bool:
    """Say whether an address is fit for a link or an image on a page."""
    return PLAIN.fullmatch(url) is not None or _origin(url) is not None


def _origin(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port; None for whatever different readers read differently."""
    if not url.isprintable() or any(letter in url for letter in "\\ "):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or _has_user(parts):
        return None
    return parts.scheme, parts.hostname, _DEFAULT_PORTS[parts.scheme] if port is None else port


def _has_user(parts: SplitResult) -> bool:
    # requests would take `user@` for credentials and send them instead of the token.
    return "@" in parts.netloc
