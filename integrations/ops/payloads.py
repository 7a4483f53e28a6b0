"""What a message's payload says, as operators may see it: masked, cut, and read with suspicion.

A payload may be anything: whoever can write to Redis, or a version of the code that is no more,
made it. One that makes no message is shown as the text that it is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from integrations.masking import masked
from integrations.ops.message_shapes import DEAD, DELAYED, RETRYING, BrokerMessage, Subject

TEXT_LENGTH: Final = 4_000
TRACEBACK_LENGTH: Final = 20_000
# Cut before it is masked, so that a payload of megabytes costs no more; a secret that this cuts in
# two is far behind what is shown.
CUT_LENGTH: Final = 40_000
_SHOWN_ELSEWHERE: Final = frozenset({"traceback", "error", "failed_at"})

_FIELDS: Final[dict[str, Any]] = {
    "queue_name": str,
    "actor_name": str,
    "args": list,
    "kwargs": dict,
    "options": dict,
    "message_id": str,
    "message_timestamp": int | float,
}


@dataclass(frozen=True)
class Payload:
    """A message as the broker holds it. Nothing in it is masked: it stays within ops/."""

    queue: str
    actor: str
    args: list[Any]
    kwargs: dict[str, Any]
    options: dict[str, Any]
    message_id: str
    timestamp_ms: float

    @property
    def retry_count(self) -> int:
        retries = self.options.get("retries", 0)
        return retries if isinstance(retries, int) and retries > 0 else 0

    @property
    def error(self) -> str:
        """The last error in a line, masked; empty when there was none."""
        error = self.options.get("error")
        if not error:
            lines = str(self.options.get("traceback") or "").strip().splitlines()
            error = lines[-1] if lines else ""
        return shown(str(error), 500)


def decoded(raw: bytes | None) -> Payload | None:
    """Return what a payload says, or None when it makes no message."""
    try:
        fields = json.loads(raw or b"")
    except (ValueError, RecursionError):
        return None
    # Dramatiq takes no field more or less.
    if not isinstance(fields, dict) or fields.keys() != _FIELDS.keys():
        return None
    values: list[Any] = [fields[name] for name in _FIELDS]
    is_sound = all(
        isinstance(value, kind) for value, kind in zip(values, _FIELDS.values(), strict=True)
    )
    return Payload(*values) if is_sound and fields["message_id"] else None


def message_of(
    raw: bytes | None,
    *,
    key: str,
    queue: str,
    state: str,
    died_at_ms: float | None = None,
    is_held: bool = False,
) -> BrokerMessage:
    """Return a payload's message as it is shown."""
    payload = decoded(raw)
    if payload is None:
        return BrokerMessage(
            key=key,
            message_id=key,
            queue=queue,
            actor="",
            arguments=shown((raw or b"").decode(errors="backslashreplace"), TEXT_LENGTH),
            options="",
            state=state,
            failed_at=instant(died_at_ms),
            is_decodable=False,
            is_held=is_held,
        )
    options = payload.options
    return BrokerMessage(
        key=key,
        message_id=payload.message_id,
        queue=queue,
        actor=shown(payload.actor, 100),
        arguments=arguments_of(payload),
        options=_options_of(payload),
        state=state,
        created_at=instant(payload.timestamp_ms),
        ready_at=instant(options.get("ready_at", payload.timestamp_ms)),
        eta=instant(options.get("eta")) if state in {DELAYED, RETRYING} else None,
        attempt=payload.retry_count + 1,
        failed_at=instant(died_at_ms or options.get("failed_at")) if state == DEAD else None,
        error=payload.error,
        traceback=shown(str(options.get("traceback") or ""), TRACEBACK_LENGTH),
        is_held=is_held,
        subject=Subject(),
    )


def arguments_of(payload: Payload) -> str:
    """Return a message's arguments as JSON, masked and of bounded length."""
    return _as_json({"args": payload.args, "kwargs": payload.kwargs})


def is_said_in(raw: bytes | None, text: str) -> bool:
    """Say whether a payload's message shows a text, which is in lower case, of itself.

    The traceback last: masking it takes longest.
    """
    payload = decoded(raw)
    if payload is None:
        return text in shown((raw or b"").decode(errors="backslashreplace"), CUT_LENGTH).lower()
    return (
        text in payload.message_id.lower()
        or text in payload.error.lower()
        or text in arguments_of(payload).lower()
        or _is_said_in_trace(str(payload.options.get("traceback") or ""), text)
    )


def _is_said_in_trace(trace: str, text: str) -> bool:
    # Masking adds nothing but asterisks.
    may_be_said = "*" in text or text in trace.lower()
    return may_be_said and text in shown(trace, CUT_LENGTH).lower()


def shown(text: str, length: int) -> str:
    """Return a text as it may be shown: masked, of bounded length, and fit to be encoded."""
    fit = text[:CUT_LENGTH].encode(errors="backslashreplace").decode().replace("\0", "")
    return masked(fit)[:length]


def instant(milliseconds: Any) -> datetime | None:
    """Return an instant from Dramatiq's figure; None when it is none."""
    if not isinstance(milliseconds, int | float):
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _options_of(payload: Payload) -> str:
    return _as_json({n: v for n, v in payload.options.items() if n not in _SHOWN_ELSEWHERE})


def _as_json(value: dict[str, Any]) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        text = "(nested too deeply)"
    return shown(text, TEXT_LENGTH)
