"""A night of full reads, simulated: what this machine can't play because GitHub isn't its own.

Discrete events. A thread of a worker takes the oldest slice; a request takes GitHub's time and a
point of its credential's hour; what is read is worked on by the process's one core (the GIL), one
page after the other. What a run and a page cost is measured, not assumed (tests/bench/scale.py).
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from integrations.constants import MEMBER_PAGE_SIZE, SLICE_BESIDE_OTHERS, SLICE_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterable

# Primary limit of GraphQL: points an hour for a person's token; an installation of the App has as
# many at least. https://docs.github.com/en/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api
POINTS_AN_HOUR: Final = 5_000
HOUR_S: Final = 3_600.0


@dataclass(frozen=True)
class Costs:
    """What work costs: seconds of a worker's core, requests, and GitHub's own time for each."""

    run_cpu_s: float
    page_cpu_s: float
    # Beside the pages: the check of the access, and whatever the end asks for.
    run_requests: float
    latency_s: float
    # A page of a hundred people takes longer to put together than an answer of a few lines.
    page_latency_s: float


@dataclass(frozen=True)
class Job:
    """One organisation's read: when it is due, how many people, on whose credential."""

    due_s: float
    people: int
    credential: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.people // MEMBER_PAGE_SIZE))


@dataclass
class Night:
    """What came of it; times in seconds since its beginning."""

    ended_s: list[float] = field(default_factory=list)
    # From due to begun.
    waited_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    thread_s: float = 0.0
    request_count: float = 0.0
    wait_count: int = 0
    queue_peak: int = 0

    @property
    def over_s(self) -> float:
        return max(self.ended_s)


@dataclass
class _Credential:
    left: float = POINTS_AN_HOUR
    resets_s: float = 0.0

    def take(self, now_s: float, points: float) -> float | None:
        """Take points; return when there are some again, or None where there were enough."""
        if now_s >= self.resets_s:
            self.left, self.resets_s = POINTS_AN_HOUR, now_s + HOUR_S
        if self.left < points:
            return self.resets_s
        self.left -= points
        return None


@dataclass
class _Read:
    """A job under way: what is left of it, and since when it has a thread."""

    job: Job
    # Of those that are not fetched yet.
    pages_left: int
    # Fetched, and not written yet.
    has_page: bool = False
    again_s: float | None = None
    is_first: bool = True
    has_worked: bool = False
    slice_begun_s: float = 0.0


def play(jobs: Iterable[Job], *, costs: Costs, processes: int, threads: int) -> Night:
    """Play the night to its end with so many worker processes of so many threads."""
    return _Play(costs, processes, threads).of(jobs)


class _Play:
    """The events in their order: a read becomes due, or has done its step in a process."""

    def __init__(self, costs: Costs, processes: int, threads: int) -> None:
        self.costs = costs
        self.night = Night()
        self.credentials: dict[int, _Credential] = {}
        self.core_free_s = [0.0] * processes
        self.free = deque(process for _ in range(threads) for process in range(processes))
        self.waiting: deque[_Read] = deque()
        self.events: list[tuple[float, int, _Read, int | None]] = []
        self._order = itertools.count()  # settles who is first of two at one instant

    def of(self, jobs: Iterable[Job]) -> Night:
        for job in jobs:
            self._later(job.due_s, _Read(job, job.pages))
        while self.events:
            now_s, _, read, process = heapq.heappop(self.events)
            if process is None:
                self.waiting.append(read)
            else:
                self._go_on(read, now_s, process)
            self.night.queue_peak = max(self.night.queue_peak, len(self.waiting))
            while self.waiting and self.free:
                self._begin(self.waiting.popleft(), now_s, self.free.popleft())
        return self.night

    def _later(self, at_s: float, read: _Read, process: int | None = None) -> None:
        heapq.heappush(self.events, (at_s, next(self._order), read, process))

    def _begin(self, read: _Read, now_s: float, process: int) -> None:
        """Give it a thread; the first slice checks the access and ends with the departures."""
        read.slice_begun_s, read.again_s = now_s, None
        if not read.is_first:
            self._go_on(read, now_s, process)
            return
        read.is_first = False
        self.night.waited_s.append(now_s - read.job.due_s)
        self.night.request_count += self.costs.run_requests
        self._later(now_s + self.costs.run_requests * self.costs.latency_s, read, process)

    def _go_on(self, read: _Read, now_s: float, process: int) -> None:
        """Go on with the pages, or give the thread back: at the end, after a slice, or to wait."""
        if not read.has_worked:
            # What its own requests brought; nothing is fetched ahead meanwhile.
            read.has_worked = True
            self._later(self._on_core(now_s, self.costs.run_cpu_s, process), read, process)
            return
        if not read.has_page and not read.pages_left:
            self.night.ended_s.append(now_s)
            self._give_back(read, now_s, process, again_s=None)
        elif not read.has_page and read.again_s is not None:
            self._give_back(read, now_s, process, again_s=max(now_s, read.again_s))
        else:
            self._write_and_fetch(read, now_s, process)

    def _write_and_fetch(self, read: _Read, now_s: float, process: int) -> None:
        """Write the page in hand, if there is one, and have the next one fetched meanwhile.

        The longer of the two counts; the last page is written when nothing is fetched any more.
        """
        is_fetching = bool(read.pages_left) and self._may_fetch(read, now_s)
        written_s = self._on_core(now_s, self.costs.page_cpu_s, process) if read.has_page else now_s
        read.has_page = is_fetching
        fetched_s = now_s + self.costs.page_latency_s if is_fetching else now_s
        self._later(max(fetched_s, written_s), read, process)

    def _may_fetch(self, read: _Read, now_s: float) -> bool:
        """Take a page's point; or say when to go on, after the slice or without budget."""
        length = SLICE_BESIDE_OTHERS if self.waiting else SLICE_LENGTH
        if now_s - read.slice_begun_s >= length.total_seconds():
            read.again_s = now_s
            return False
        credential = self.credentials.setdefault(read.job.credential, _Credential())
        read.again_s = credential.take(now_s, 1)
        if read.again_s is not None:
            self.night.wait_count += 1
            return False
        read.pages_left -= 1
        self.night.request_count += 1
        return True

    def _give_back(self, read: _Read, now_s: float, process: int, *, again_s: float | None) -> None:
        self.night.thread_s += now_s - read.slice_begun_s
        self.free.append(process)
        if again_s is not None:
            self._later(again_s, read)

    def _on_core(self, now_s: float, cost_s: float, process: int) -> float:
        """Use the process's one core once it is free; return when that is done."""
        begun_s = max(now_s, self.core_free_s[process])
        self.core_free_s[process] = begun_s + cost_s
        self.night.cpu_s += cost_s
        return self.core_free_s[process]
