"""What a web process tells of its streams: how many are open, what they carry, who hears Redis."""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from typing import Any

from integrations.live.audience import audience
from integrations.live.listener import listener
from integrations.telemetry import processes
from integrations.telemetry.beat import Beat
from integrations.telemetry.counters import counters
from integrations.telemetry.processes import Identity


class WebReport:
    """Counts what the streams of this process sent; its beat tells of it.

    The state holds `streams`, `watchers` (operators who look at /ops/), `events_a_second`,
    `listener_connected` and `listener_since` (an instant, as seconds).
    """

    def __init__(self) -> None:
        self._beat: Beat | None = None
        # Type and lag of each event since the last beat.
        self._sent: deque[tuple[str, float | None]] = deque()
        self._told_at_s = time.monotonic()
        self.watcher_count = 0

    def start(self) -> None:
        """Start the beat, once."""
        if self._beat is None:
            self._beat = Beat(Identity(str(uuid.uuid4()), processes.WEB), self.describe)
            self._beat.start()

    def stop(self) -> None:
        if self._beat is not None:
            self._beat.stop()
            self._beat = None

    def note_sent(self, event_type: str, *, committed_at_s: float | None) -> None:
        """Count an event that a stream sends, and how long ago it was committed, if that is known.

        `committed_at_s` is an instant by the publisher's clock, as of time.time().
        """
        lag_s = None if committed_at_s is None else max(0.0, time.time() - committed_at_s)
        # Counted at the next beat: eight thousand viewers of one event must not wait for it.
        self._sent.append((event_type, lag_s))

    def describe(self) -> dict[str, Any]:
        """Return the state; see the class."""
        now_s = time.monotonic()
        passed_s, self._told_at_s = max(0.001, now_s - self._told_at_s), now_s
        sent_count = self._count_sent()
        return {
            "streams": audience.count,
            "watchers": self.watcher_count,
            "events_a_second": round(sent_count / passed_s, 1),
            "listener_connected": listener.is_connected,
            "listener_since": listener.since.timestamp(),
        }

    def _count_sent(self) -> int:
        """Add up what was sent since the last time; return how many that were."""
        # The event loop goes on adding at the other end.
        sent = [self._sent.popleft() for _ in range(len(self._sent))]
        for event_type, count in Counter(event_type for event_type, _ in sent).items():
            counters.count("stream_events", count, type=event_type)
        # To the millisecond, of which there are few however many viewers there are.
        lags = Counter(round(lag_s, 3) for _, lag_s in sent if lag_s is not None)
        for lag_s, count in lags.items():
            counters.observe_many("event_lag_seconds", lag_s, count)
        if sent:
            counters.count_over_time("stream events", len(sent))
        return len(sent)


web_report = WebReport()
