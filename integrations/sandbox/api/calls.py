"""One call to the API while it is being answered, and the list of those that were.

Knows nothing of what the call asks for.
"""

from __future__ import annotations

import secrets
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from starlette.requests import Request

from integrations.sandbox.api.limits import Bucket
from integrations.sandbox.api.tokens import Token
from integrations.sandbox.api.viewers import Viewer
from integrations.sandbox.faults.registry import Fault

CallKind = Literal["rest", "graphql"]

_CALLS_KEPT = 50_000


def _new_request_id() -> str:
    """Return an id as GitHub writes them; people quote it when they report a problem."""
    digits = secrets.token_hex(16).upper()
    return f"{digits[:4]}:{digits[4:10]}:{digits[10:16]}:{digits[16:22]}:{digits[22:30]}"


@dataclass
class Call:
    request: Request
    kind: CallKind
    token: Token | None = None
    viewer: Viewer = field(default_factory=Viewer)
    # What the call asks about, in lower case; faults and latency are found by it.
    organization: str | None = None
    # How many members a GraphQL page asks for; None when it asks for no page.
    page_size: int | None = None
    # The name of a GraphQL document's operation.
    operation: str | None = None
    # What it costs of the primary rate limit.
    points: int = 1
    bucket: Bucket | None = None
    faults: list[Fault] = field(default_factory=list)
    request_id: str = field(default_factory=_new_request_id)

    @property
    def origin(self) -> str:
        return str(self.request.base_url).rstrip("/")

    @property
    def path_params(self) -> dict[str, Any]:
        return self.request.path_params

    @property
    def query(self) -> dict[str, str]:
        return dict(self.request.query_params)

    def fault(self, name: str) -> Fault | None:
        return next((fault for fault in self.faults if fault.name == name), None)


@dataclass(frozen=True, slots=True)
class Logged:
    method: str
    path: str
    kind: CallKind
    status: int  # 0 when the connection was dropped
    at: float  # epoch seconds
    organization: str | None
    token: str | None
    page_size: int | None
    operation: str | None = None


class CallLog:
    def __init__(self) -> None:
        self._calls: deque[Logged] = deque(maxlen=_CALLS_KEPT)

    def add(self, logged: Logged) -> None:
        self._calls.append(logged)

    def matching(self, *, organization: str | None, token: str | None) -> Iterator[Logged]:
        for one in self._calls:
            if organization in (None, one.organization) and token in (None, one.token):
                yield one

    def report(self, *, organization: str | None, token: str | None) -> dict[str, Any]:
        calls = list(self.matching(organization=organization, token=token))
        return {
            "count": len(calls),
            "counts": Counter(one.kind for one in calls),
            "statuses": Counter(str(one.status) for one in calls),
            "requests": [asdict(one) for one in calls],
        }

    def forget(self, *, organization: str | None, token: str | None) -> None:
        gone = set(map(id, self.matching(organization=organization, token=token)))
        kept = [one for one in self._calls if id(one) not in gone]
        self._calls = deque(kept, maxlen=_CALLS_KEPT)
