"""The environment, read and checked: a bad value stops the process at its start.

Each error names the variable, what it holds (never of a secret) and what it may hold. Knows what
forms a value can have, not what the settings are; that two of them agree is `manage.py ops doctor`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from email.utils import parseaddr
from typing import Any, Final, NoReturn
from urllib.parse import SplitResult, urlsplit, urlunsplit

import environ
from django.core.exceptions import ImproperlyConfigured

TRUE: Final = ("true", "on", "yes", "1")
FALSE: Final = ("false", "off", "no", "0")
# What DATABASE_URL may begin with: the engines that the tests run on.
ENGINES: Final = ("sqlite", "postgres", "postgresql", "psql", "pgsql")
# A pattern of ALLOWED_HOSTS: a name or an address, ".name" with what is below it, or all.
HOST: Final = re.compile(r"\*|\.?[\w-]+(\.[\w-]+)*|\[[0-9a-fA-F:.]+\]")
WORD: Final = re.compile(r"[\w.-]+")


class Environment(environ.Env):  # type: ignore[misc]
    """django-environ, with forms that it lets pass or doesn't know. Each reader raises
    ImproperlyConfigured.
    """

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        super().__init__()
        if values is not None:
            self.ENVIRON = values

    def get_value(self, var: str, *args: Any, **options: Any) -> Any:
        """Return a value as it stands there.

        django-environ takes one that begins with "$" for another variable's name, and where there
        is no such variable for absent: a secret may begin like that.
        """
        if var not in self.ENVIRON:
            return super().get_value(var, *args, **options)
        cast = args[0] if args else options.get("cast")
        return self.parse_value(self.ENVIRON[var].strip(), cast)

    def flag(self, name: str, *, default: bool) -> bool:
        """Read true or false. django-environ takes every word that it doesn't know for false."""
        given = self._given(name)
        if given is None:
            return default
        if given.lower() not in TRUE + FALSE:
            refuse(name, given, f"one of {', '.join(TRUE + FALSE)}")
        return given.lower() in TRUE

    def count(self, name: str, *, default: int, at_least: int) -> int:
        given = self._given(name)
        if given is None:
            return default
        if not given.isdecimal() or int(given) < at_least:
            refuse(name, given, f"a whole number, {at_least} or more")
        return int(given)

    def share(self, name: str, *, default: float) -> float:
        given = self._given(name)
        if given is None:
            return default
        if not re.fullmatch(r"[01]|[01]?\.\d+", given) or float(given) > 1:
            refuse(name, given, "a number from 0 to 1")
        return float(given)

    def choice(self, name: str, choices: Sequence[str], *, default: str) -> str:
        given = self._given(name)
        if given is None:
            return default
        found = {choice.lower(): choice for choice in choices}.get(given.lower())
        return found or refuse(name, given, f"one of {', '.join(choices)}")

    def word(self, name: str, *, default: str) -> str:
        given = self._given(name)
        if given is not None and not WORD.fullmatch(given):
            refuse(name, given, "letters, digits, '.', '_' and '-'")
        return given or default

    def listed(self, name: str) -> list[str]:
        given: str = self.str(name, default="")
        return [item for text in given.split(",") if (item := text.strip())]

    def hosts(self, name: str, *, default: Sequence[str]) -> list[str]:
        """Read what ALLOWED_HOSTS may hold. Raises for none at all: nobody would be let in."""
        found = self.listed(name) or list(default)
        form = "host names separated by commas, without scheme or port (rollcall.example.com)"
        for host in found:
            if not HOST.fullmatch(host):
                refuse(name, host, form)
        return found or refuse(name, "", form)

    def origins(self, name: str) -> list[str]:
        found = self.listed(name)
        for origin in found:
            parts = _split(origin)
            if not is_web(parts) or parts.path or parts.query or parts.username:
                refuse(name, origin, "origins separated by commas, as https://HOST")
        return found

    def web_address(self, name: str, *, default: str, is_secret: bool = False) -> str:
        """Read http(s)://HOST[/PATH]; return it without a slash at its end."""
        given = self._given(name)
        if given is None:
            return default
        parts = _split(given)
        has_more = bool(parts.query or parts.fragment or (parts.username and not is_secret))
        if not is_web(parts) or has_more:
            refuse(name, None if is_secret else given, "an address, as https://HOST")
        return given.rstrip("/")

    def secret_address(self, name: str) -> str:
        """Read an address that holds a key, or nothing."""
        has_one = bool(self.str(name, default=""))
        return self.web_address(name, default="", is_secret=True) if has_one else ""

    def site_address(self, name: str, *, default: str) -> str:
        """Read the address of a whole site: pages are not served below a path."""
        found = self.web_address(name, default=default)
        if urlsplit(found).path:
            refuse(name, found, "an address without a path, as https://HOST")
        return found

    def redis_address(self, name: str, *, default: str) -> str:
        given = self._given(name) or default
        parts = _split(given)
        is_server = parts.scheme in {"redis", "rediss"} and bool(parts.hostname)
        if not is_server or parts.path.strip("/") or not _has_sound_port(parts):
            form = "redis://[:PASSWORD@]HOST[:PORT] (or rediss://), without a database number"
            refuse(name, f"{parts.scheme}:...", form)
        return urlunsplit(parts._replace(path=""))

    def database(self, name: str, *, default: str) -> dict[str, Any]:
        """Read DATABASE_URL into Django's own form: SQLite by its file, or PostgreSQL."""
        given = self._given(name) or default
        try:
            found: dict[str, Any] = self.db_url_config(given)
        except ValueError:  # its port is no number
            found = {}
        # One in memory would be another one in each process.
        if _scheme_of(given) not in ENGINES or found.get("NAME", "") in {"", ":memory:"}:
            form = "sqlite:///FILE or postgres://USER:PASSWORD@HOST:PORT/NAME"
            refuse(name, f"{_scheme_of(given)}:...", form)
        return found

    def email(self, name: str, *, default: str) -> dict[str, Any]:
        """Read EMAIL_URL into Django's own settings, by their names."""
        given = self._given(name) or default
        parts = _split(given)
        is_server = parts.scheme.startswith("smtp")
        is_whole = _has_sound_port(parts) and (bool(parts.hostname) or not is_server)
        if parts.scheme not in self.EMAIL_SCHEMES or not is_whole:
            form = f"SCHEME://USER:PASSWORD@HOST:PORT, with {', '.join(self.EMAIL_SCHEMES)}"
            refuse(name, f"{parts.scheme}:...", form)
        found: dict[str, Any] = self.email_url_config(given)
        return found

    def sender(self, name: str, *, default: str) -> str:
        given = self._given(name) or default
        local, _, domain = parseaddr(given)[1].rpartition("@")
        return given if local and domain else refuse(name, given, "NAME <ADDRESS@HOST>")

    def fernet_keys(self, name: str) -> list[str]:
        found = self.listed(name)
        for number, key in enumerate(found, start=1):
            if not _is_fernet_key(key):
                refuse(f"{name} (number {number})", None, "a Fernet key: 32 bytes, URL-safe base64")
        return found

    def all_or_none(self, *names: str) -> None:
        """Refuse to start with a part of what only works together."""
        missing = [name for name in names if not self.str(name, default="")]
        if missing and len(missing) < len(names):
            raise ImproperlyConfigured(
                f"{' and '.join(names)} belong together. Missing: {', '.join(missing)}."
            )

    def _given(self, name: str) -> str | None:
        """Return what is set, or None. Set to nothing is no value of any of these forms."""
        given: str | None = self.ENVIRON.get(name)
        if given is not None and not given.strip():
            raise ImproperlyConfigured(f"{name} is set, and empty. Give it a value, or unset it.")
        return given and given.strip()


def refuse(name: str, given: str | None, form: str) -> NoReturn:
    """Raise ImproperlyConfigured in a sentence; `given` is None where nobody may read it."""
    holds = "is not valid" if given is None else f"is {given!r}"
    raise ImproperlyConfigured(f"{name} {holds}. It has to be {form}.")


def numbered(redis_url: str, number: int) -> str:
    """Return the address of one database of a Redis; options after "?" stay."""
    return urlunsplit(urlsplit(redis_url)._replace(path=f"/{number}"))


def _split(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError:  # a bracket without its other half
        return SplitResult("", "", "", "", "")


def _has_sound_port(parts: SplitResult) -> bool:
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


def is_web(parts: SplitResult) -> bool:
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and _has_sound_port(parts)


def _scheme_of(text: str) -> str:
    return text.partition("://")[0] if "://" in text else ""


def _is_fernet_key(text: str) -> bool:
    try:
        return len(base64.urlsafe_b64decode(text)) == 32
    except (ValueError, binascii.Error):
        return False
