"""The Pushpins before the web processes, as GRIP_URL names them. https://pushpin.org/docs/"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from project.environment import is_web, refuse

FORM: Final = (
    "addresses of Pushpins' control ports separated by spaces or commas, as "
    "http://HOST:5561?iss=NAME&key=KEY (the key: 32 or more of letters, digits, '-' and '_')"
)
# A key for HS256 is as long as its hash. https://www.rfc-editor.org/rfc/rfc7518#section-3.2
KEY: Final = re.compile(r"[\w-]{32,}", re.ASCII)
ISSUER: Final = re.compile(r"[\w.-]+", re.ASCII)


@dataclass(frozen=True)
class GripProxy:
    """One Pushpin: where it takes what is published, and how it signs what it asks us."""

    # Without a slash at its end.
    control_url: str
    issuer: str
    # Not where settings are shown.
    key: str = field(repr=False)


def read_grip_proxies(given: str) -> list[GripProxy]:
    """Read GRIP_URL; nothing names none. Raises ImproperlyConfigured, without the key."""
    return [_proxy(urlsplit(text)) for text in re.split(r"[\s,]+", given.strip()) if text]


def _proxy(parts: SplitResult) -> GripProxy:
    options = parse_qsl(parts.query, keep_blank_values=True)
    found = dict(options)
    is_whole = (
        is_web(parts)
        and not parts.username
        and len(options) == 2
        and ISSUER.fullmatch(found.get("iss", ""))
        and KEY.fullmatch(found.get("key", ""))
    )
    if not is_whole:
        refuse("GRIP_URL", f"{parts.scheme}:...", FORM)
    address = urlunsplit(parts._replace(query="", fragment="", path=parts.path.rstrip("/")))
    return GripProxy(address, found["iss"], found["key"])
