"""Webhook deliveries: recorded, signed, sent in the background, and sent again when asked.

https://docs.github.com/webhooks/webhook-events-and-payloads#delivery-headers
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import requests

from integrations.sandbox.apps.app import App

# "If your server takes longer than 10 seconds to respond, GitHub terminates the connection."
TIME_LIMIT_S = 10
_AT_ONCE_MAX = 20
_KEPT_MAX = 20_000
_USER_AGENT = "GitHub-Hookshot/5a4dbc5"


@dataclass
class Attempt:
    """One try at bringing a delivery; 0 is no answer, None none yet."""

    id: int
    at: float  # epoch seconds
    status_code: int | None = None
    duration_s: float = 0
    is_redelivery: bool = False


@dataclass
class Delivery:
    guid: str
    event: str
    payload: dict[str, Any]
    body: bytes
    account_id: int | None
    installation_id: int | None
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def action(self) -> str | None:
        action = self.payload.get("action")
        return action if isinstance(action, str) else None


class Deliveries:
    """Those of the one App, oldest first."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._kept: deque[Delivery] = deque(maxlen=_KEPT_MAX)
        self._attempt_ids = itertools.count(1)
        self._room = asyncio.Semaphore(_AT_ONCE_MAX)
        self._under_way: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Any:
        return iter(self._kept)

    def send(
        self,
        event: str,
        payload: dict[str, Any],
        *,
        account_id: int | None = None,
        installation_id: int | None = None,
    ) -> Delivery:
        """Record a delivery and begin to send it; called in the server's own loop."""
        delivery = Delivery(
            # Made at the event and the same when it is delivered again.
            guid=str(uuid.uuid1()),
            event=event,
            payload=payload,
            body=json.dumps(payload, separators=(",", ":")).encode(),
            account_id=account_id,
            installation_id=installation_id,
        )
        self._kept.append(delivery)
        self.attempt(delivery)
        return delivery

    def attempt(self, delivery: Delivery) -> Attempt:
        attempt = Attempt(
            id=next(self._attempt_ids), at=time.time(), is_redelivery=bool(delivery.attempts)
        )
        delivery.attempts.append(attempt)
        if self.app.deliveries_paused:
            attempt.status_code = 0
        elif self.app.webhook_url:
            task = asyncio.get_running_loop().create_task(self._bring(delivery, attempt))
            # The loop holds only a weak reference to it.
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return attempt

    def find_attempt(self, attempt_id: int) -> tuple[Delivery, Attempt] | None:
        for delivery in reversed(self._kept):
            for attempt in delivery.attempts:
                if attempt.id == attempt_id:
                    return delivery, attempt
        return None

    def headers(self, delivery: Delivery) -> dict[str, str]:
        secret = self.app.webhook_secret
        headers = {
            "Content-Type": "application/json",
            "User-Agent": _USER_AGENT,
            "X-GitHub-Delivery": delivery.guid,
            "X-GitHub-Event": delivery.event,
            "X-GitHub-Hook-ID": str(self.app.id * 10),
            "X-GitHub-Hook-Installation-Target-ID": str(self.app.id),
            "X-GitHub-Hook-Installation-Target-Type": "integration",
        }
        if secret:
            digest = hmac.new(secret.encode(), delivery.body, hashlib.sha256).hexdigest()
            headers["X-Hub-Signature-256"] = f"sha256={digest}"
        return headers

    async def _bring(self, delivery: Delivery, attempt: Attempt) -> None:
        async with self._room:
            began_at = time.monotonic()
            attempt.status_code = await asyncio.to_thread(
                _post, self.app.webhook_url, delivery.body, self.headers(delivery)
            )
            attempt.duration_s = time.monotonic() - began_at


def _post(url: str, body: bytes, headers: dict[str, str]) -> int:
    try:
        answer = requests.post(
            url, data=body, headers=headers, timeout=TIME_LIMIT_S, allow_redirects=False
        )
    except requests.RequestException:
        return 0
    return answer.status_code
