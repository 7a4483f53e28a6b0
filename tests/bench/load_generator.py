"""Requests by a timetable, whatever becomes of the ones before: an open loop in its own process.

`python -m tests.bench.load_generator` reads one timetable as JSON on its standard input and answers
with what came of it. Of several web processes the one with the fewest requests under way gets the
next, as of docs/deploy/nginx.conf. Each latency counts from when the request was due, so that a
server that stalls delays nobody's clock ("coordinated omission"). Knows no Django: it is told what
to send, byte for byte.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Any, Final, cast

import uvloop
from httptools import HttpParserError, HttpResponseParser

# As a few dozen browsers with six connections each. Who finds none free waits, on the clock.
CONNECTIONS_MAX: Final = 256
# uvicorn closes a connection that was idle for five seconds; one that it may be closing isn't used.
IDLE_MAX_S: Final = 4.0
TIMEOUT_S: Final = 10.0
REASONS_TOLD: Final = 50


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """One request: when it is due (seconds from the start), and what is right to be answered."""

    due_s: float
    kind: str
    request: str
    status: int


@dataclass
class Outcome:
    """What came of a timetable. Latencies in milliseconds, by kind."""

    latencies_ms: dict[str, list[float]] = field(default_factory=dict)
    # By kind and reason.
    errors: Counter[str] = field(default_factory=Counter)
    # How late the generator itself was with each.
    late_ms: list[float] = field(default_factory=list)
    connection_count: int = 0
    cpu_s: float = 0.0


class _Connection(asyncio.Protocol):
    """One connection that is kept; it carries one request at a time."""

    def __init__(self, traffic: Traffic, web: _Web) -> None:
        self._traffic, self.web = traffic, web
        self._parser: HttpResponseParser | None = None
        self._transport: asyncio.Transport | None = None
        self.arrival: Arrival | None = None
        self.idle_since_s = 0.0

    def ask(self, arrival: Arrival) -> None:
        assert self._transport is not None
        self.arrival, self._parser = arrival, HttpResponseParser(self)
        self.web.under_way += 1
        self._transport.write(arrival.request.encode())

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's own, which asyncio's class knows nothing of.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._parser is not None:
            try:
                self._parser.feed_data(data)
            except HttpParserError as error:
                self._end(f"no HTTP ({error})")
                self.close()

    def on_message_complete(self) -> None:
        assert self._parser is not None
        status, is_kept = self._parser.get_status_code(), self._parser.should_keep_alive()
        expected = 0 if self.arrival is None else self.arrival.status
        self._end("" if status == expected else f"status {status}")
        if is_kept:
            self._traffic.is_free(self)
        else:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"connection lost ({exc})")
        self._traffic.is_gone(self)

    def _end(self, error: str) -> None:
        arrival, self.arrival, self._parser = self.arrival, None, None
        if arrival is not None:
            self.web.under_way -= 1
            self._traffic.note(arrival, error)


class _Web:
    """One web process: its port, the connections to it that are idle, and what is under way."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.idle: deque[_Connection] = deque()
        self.under_way = 0


class Traffic:
    """Sends what is due, over connections that are kept."""

    def __init__(self, ports: list[int]) -> None:
        # The one asked the longest ago comes first.
        self._webs = deque(_Web(port) for port in ports)
        self._loop = asyncio.get_running_loop()
        self._begun_s = self._loop.time()
        self._open: set[_Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._waiting: deque[Arrival] = deque()
        self._missing: set[Arrival] = set()
        self.is_over = asyncio.Event()
        self.outcome = Outcome()

    async def run(self, arrivals: list[Arrival], *, seconds: float) -> Outcome:
        """Send them all when they are due; what has no answer long after counts as an error."""
        self._begun_s = self._loop.time()
        self._missing = set(arrivals)
        for arrival in arrivals:
            self._loop.call_at(self._begun_s + arrival.due_s, self._send, arrival)
        try:
            async with asyncio.timeout(seconds + TIMEOUT_S):
                await self.is_over.wait()
        except TimeoutError:
            for arrival in tuple(self._missing):
                self.note(arrival, f"no answer after {TIMEOUT_S:.0f} s")
        for connection in tuple(self._open):
            connection.close()
        used = resource.getrusage(resource.RUSAGE_SELF)
        self.outcome.cpu_s = used.ru_utime + used.ru_stime
        return self.outcome

    def note(self, arrival: Arrival, error: str) -> None:
        if arrival not in self._missing:
            return
        self._missing.discard(arrival)
        took_ms = (self._loop.time() - self._begun_s - arrival.due_s) * 1000
        self.outcome.latencies_ms.setdefault(arrival.kind, []).append(took_ms)
        if error:
            self.outcome.errors[f"{arrival.kind}: {error}"] += 1
        if not self._missing:
            self.is_over.set()

    def is_free(self, connection: _Connection) -> None:
        if self._waiting:
            connection.ask(self._waiting.popleft())
        else:
            connection.idle_since_s = self._loop.time()
            connection.web.idle.append(connection)

    def is_gone(self, connection: _Connection) -> None:
        self._open.discard(connection)
        if connection in connection.web.idle:
            connection.web.idle.remove(connection)
        if self._waiting:
            self._connect(self._waiting.popleft(), self._next_web())

    def _send(self, arrival: Arrival) -> None:
        now_s = self._loop.time()
        self.outcome.late_ms.append((now_s - self._begun_s - arrival.due_s) * 1000)
        web = self._next_web()
        while web.idle:
            # The one used last, as browsers do: the others may be closed.
            connection = web.idle.pop()
            if now_s - connection.idle_since_s < IDLE_MAX_S:
                connection.ask(arrival)
                return
            connection.close()
        if len(self._open) + len(self._opening) < CONNECTIONS_MAX:
            self._connect(arrival, web)
        else:
            self._waiting.append(arrival)

    def _next_web(self) -> _Web:
        web = min(self._webs, key=lambda each: each.under_way)
        self._webs.remove(web)
        self._webs.append(web)
        return web

    def _connect(self, arrival: Arrival, web: _Web) -> None:
        self.outcome.connection_count += 1
        web.under_way += 1
        opening = self._loop.create_task(self._connected(arrival, web))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _connected(self, arrival: Arrival, web: _Web) -> None:
        try:
            _, connection = await self._loop.create_connection(
                lambda: _Connection(self, web), "127.0.0.1", web.port
            )
        except OSError as error:
            self.note(arrival, f"no connection ({error})")
        else:
            self._open.add(connection)
            connection.ask(arrival)
        finally:
            web.under_way -= 1


async def _run(command: dict[str, Any]) -> Outcome:
    arrivals = [Arrival(*each) for each in command["arrivals"]]
    return await Traffic(command["ports"]).run(arrivals, seconds=command["seconds"])


def main() -> None:
    outcome = uvloop.run(_run(json.load(sys.stdin)))
    told = asdict(outcome) | {"errors": dict(outcome.errors.most_common(REASONS_TOLD))}
    told["error_count"] = outcome.errors.total()
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
