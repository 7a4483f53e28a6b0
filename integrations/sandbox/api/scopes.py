"""OAuth scopes: which one brings which others with it.

https://docs.github.com/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps
"""

from __future__ import annotations

from collections.abc import Iterable

_BROUGHT_ALONG: dict[str, tuple[str, ...]] = {
    "repo": ("public_repo",),
    "admin:org": ("write:org", "read:org"),
    "write:org": ("read:org",),
    "user": ("read:user", "user:email"),
}
KNOWN_SCOPES = frozenset({*_BROUGHT_ALONG, "public_repo", "read:org", "read:user", "user:email"})


def parse_scopes(text: str) -> list[str]:
    """Return the known scopes of a list with spaces or commas; GitHub drops unknown ones."""
    wanted = text.replace(",", " ").split()
    return [scope for scope in dict.fromkeys(wanted) if scope in KNOWN_SCOPES]


def with_brought_along(scopes: Iterable[str]) -> frozenset[str]:
    granted = frozenset(scopes)
    return granted.union(*(_BROUGHT_ALONG.get(scope, ()) for scope in granted))
