"""GitHub's webhooks: whether GitHub signed one, when it happened, and what it says.

https://docs.github.com/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from integrations.github.errors import UnexpectedAnswer
from integrations.github.members import ROLES, RemoteMember, read_rest_user
from integrations.github.reading import (
    JSON,
    LOGIN_LENGTH,
    JSONObject,
    as_object,
    parse_json,
    read_id,
    read_object,
    read_required_text,
    read_text,
)

WORD_LENGTH: Final = 100
# GitHub redelivers what is up to three days old; a clock may be a little ahead of ours.
_OLDEST: Final = timedelta(days=7)
_AHEAD: Final = timedelta(minutes=1)
# From 15 October 1582, in steps of 100 ns (RFC 9562, section 5.1).
_UUID_EPOCH: Final = datetime(1582, 10, 15, tzinfo=UTC)
_ID_MAX: Final = 2**63 - 1


@dataclass(frozen=True)
class Payload:
    """A delivery's content, and what it is about as far as every kind of event says it."""

    event: str
    record: JSONObject

    @property
    def action(self) -> str:
        action = self.record.get("action")
        return action[:WORD_LENGTH] if isinstance(action, str) else ""

    @property
    def account_id(self) -> int:
        """The account whose event it is; 0 for none (a ping)."""
        return (
            self._id_at("organization")
            or self._id_at("installation", "account")
            or self._id_at("account")
            or self._id_at("repository", "owner")
            or 0
        )

    @property
    def installation_id(self) -> int | None:
        return self._id_at("installation")

    @property
    def subject_id(self) -> int | None:
        """The person or repository that it is about, where it is about one."""
        return (
            self._id_at("membership", "user") or self._id_at("member") or self._id_at("repository")
        )

    def _id_at(self, *path: str) -> int | None:
        """Return the id down a path of objects; None where there is none."""
        value: JSON = self.record
        for step in (*path, "id"):
            value = value.get(step) if isinstance(value, dict) else None
        is_id = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _ID_MAX
        return value if is_id and isinstance(value, int) else None


@dataclass(frozen=True)
class MembershipNews:
    """Somebody is, or is no more, a member of the organisation."""

    person: RemoteMember
    is_member: bool


def signature_of(secret: str, body: bytes) -> str:
    """Return the value of X-Hub-Signature-256 for a body as it came.

    https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
    """
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def signed_by(secrets: Sequence[str], signature: str, body: bytes) -> int | None:
    """Return which secret signed the body, None for none of them; every one is compared.

    In constant time, and with no secret nothing is signed: an empty key is anybody's.
    """
    given = signature.encode("utf-8", "replace")
    found = None
    for index, secret in enumerate(secrets):
        if secret and hmac.compare_digest(signature_of(secret, body).encode(), given):
            found = index if found is None else found
    return found


def happened_at(guid: str, *, received_at: datetime) -> datetime:
    """Return when an event happened, as well as its delivery tells.

    Payloads carry no time of their own, and deliveries come in any order. GitHub's GUIDs are
    version-1 UUIDs, made at the event and the same when it is delivered again (as the examples on
    https://docs.github.com/webhooks/webhook-events-and-payloads#delivery-headers); of any other id,
    the time of its arrival.
    """
    try:
        parsed = uuid.UUID(guid)
    except ValueError:
        return received_at
    if parsed.version != 1:
        return received_at
    at = _UUID_EPOCH + timedelta(microseconds=parsed.time // 10)
    return min(at, received_at) if -_AHEAD < received_at - at < _OLDEST else received_at


def read_payload(event: str, body: bytes) -> Payload:
    """Read a delivery's body. Raises UnexpectedAnswer for what is no JSON object."""
    return Payload(event, as_object(parse_json(body)))


def read_membership(payload: Payload) -> MembershipNews:
    """Read organization.member_added and member_removed. Raises UnexpectedAnswer."""
    membership = read_object(payload.record, "membership")
    role = ROLES.get(read_text(membership, "role"))
    return MembershipNews(
        person=read_rest_user(read_object(membership, "user"), role=role),
        is_member=payload.action == "member_added",
    )


def read_new_login(payload: Payload, key: str) -> tuple[int, str]:
    """Read whose login changed and what it is now, from `organization` or `account`."""
    account = read_object(payload.record, key)
    return read_id(account, "id"), read_required_text(account, "login", length=LOGIN_LENGTH)


def read_sender_id(payload: Payload) -> int:
    return read_id(read_object(payload.record, "sender"), "id")


def read_requester_id(payload: Payload) -> int | None:
    """Read who had asked their owners for the installation; None when nobody had to."""
    requester = payload.record.get("requester")
    return None if requester is None else read_id(as_object(requester), "id")


def require(payload: Payload, key: str) -> JSONObject:
    """Return an object of the payload. Raises UnexpectedAnswer."""
    value = payload.record.get(key)
    if not isinstance(value, dict):
        raise UnexpectedAnswer(f"a webhook without `{key}`")
    return value
