"""GitHub's JSON read with care: what has another shape raises UnexpectedAnswer, nothing else does.

The only modules that see JSON are those that read with this one.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Final, TypeAlias

from integrations.github.addresses import is_web_address
from integrations.github.errors import UnexpectedAnswer

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
JSONObject: TypeAlias = "dict[str, JSON]"

LOGIN_LENGTH: Final = 100
NAME_LENGTH: Final = 255
# RFC 5321, section 4.5.3.1.3, with the erratum 1690: 256 less the angle brackets.
EMAIL_LENGTH: Final = 254
URL_LENGTH: Final = 500
# A BIGINT column's.
_ID_MAX: Final = 2**63 - 1
# More than GitHub counts of anything, and little enough for every type a count is put into.
_COUNT_MAX: Final = 10**12


def parse_json(content: bytes) -> JSON:
    try:
        parsed: JSON = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise UnexpectedAnswer("no JSON") from exc
    return parsed


def as_object(value: JSON) -> JSONObject:
    if not isinstance(value, dict):
        raise UnexpectedAnswer("no object where one belongs")
    return value


def as_list(value: JSON) -> list[JSON]:
    if not isinstance(value, list):
        raise UnexpectedAnswer("no list where one belongs")
    return value


def read_object(record: JSONObject, key: str) -> JSONObject:
    value = record.get(key)
    if not isinstance(value, dict):
        raise _wrong(key)
    return value


def read_list(record: JSONObject, key: str) -> list[JSON]:
    value = record.get(key)
    if not isinstance(value, list):
        raise _wrong(key)
    return value


def read_optional_id(record: JSONObject, key: str) -> int | None:
    value = record.get(key)
    if value is None:
        return None
    # bool is a subclass of int.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _ID_MAX:
        raise _wrong(key)
    return value


def read_id(record: JSONObject, key: str) -> int:
    value = read_optional_id(record, key)
    if value is None:
        raise _wrong(key)
    return value


def read_count(record: JSONObject, key: str) -> int:
    value = record.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _COUNT_MAX:
        raise _wrong(key)
    return value


def read_optional_flag(record: JSONObject, key: str) -> bool | None:
    value = record.get(key)
    if value is not None and not isinstance(value, bool):
        raise _wrong(key)
    return value


def read_flag(record: JSONObject, key: str) -> bool:
    value = read_optional_flag(record, key)
    if value is None:
        raise _wrong(key)
    return value


def read_text(record: JSONObject, key: str, *, length: int | None = None) -> str:
    """Return a text that a database takes, cut to `length`; null and absent are empty."""
    value = record.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(key)
    return storable(value)[:length]


def read_required_text(record: JSONObject, key: str, *, length: int | None = None) -> str:
    text = read_text(record, key, length=length)
    if not text:
        raise _wrong(key)
    return text


def read_email(record: JSONObject, key: str) -> str:
    """Return an e-mail address; one too long to be one is left out, not cut to a wrong one."""
    text = read_text(record, key)
    return text if len(text) <= EMAIL_LENGTH else ""


def read_url(record: JSONObject, key: str) -> str:
    """Return an address fit for a link; anything else, `javascript:` too, is left out."""
    return web_address(read_text(record, key), length=URL_LENGTH)


def read_instant(record: JSONObject, key: str) -> datetime | None:
    """Return an ISO 8601 time with its zone, as GitHub writes them, in UTC."""
    text = read_text(record, key)
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as exc:
        raise _wrong(key) from exc


def web_address(text: str, *, length: int) -> str:
    return text if len(text) <= length and is_web_address(text) else ""


def storable(text: str) -> str:
    """Drop what PostgreSQL refuses in a text: NUL, and halves of surrogate pairs."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _wrong(key: str) -> UnexpectedAnswer:
    return UnexpectedAnswer(f"`{key}` is missing or of another type than GitHub documents")
