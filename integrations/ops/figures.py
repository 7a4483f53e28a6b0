"""The shapes of what operators are shown: plain values, filled by the modules beside this one.

Durations are seconds, memory is bytes, instants are aware. Knows neither Redis nor rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Rate:
    """What ended in a stretch of the past: how many, and how many of them badly."""

    window: str  # "minute", "hour", "day"
    done_count: int
    failed_count: int
    # The window in equal buckets, the oldest first: how many ended (well or badly) in each.
    points: tuple[int, ...]

    @property
    def count(self) -> int:
        return self.done_count + self.failed_count

    @property
    def failure_percent(self) -> float:
        return 100 * self.failed_count / self.count if self.count else 0.0


@dataclass(frozen=True)
class QueueDepth:
    """A queue as the broker has it."""

    name: str
    ready_count: int
    delayed_count: int
    in_flight_count: int
    dead_count: int
    # Age of the message that has been ready longest; None when none waits or it can't be read.
    oldest_age_s: float | None
    # Payloads that are in no list and with no worker, or listed without a payload: see ops.md 5.1.
    drift_count: int


@dataclass(frozen=True)
class QueueFigures:
    """A queue with what has happened on it."""

    depth: QueueDepth
    rates: tuple[Rate, ...]  # minute, hour, day
    is_paused: bool
    paused_by: str
    # How many of the messages in flight a thread works on; the others are held by a worker.
    running_count: int
    # When it is empty at the rate of the last minute; None when it is empty or nothing moves.
    drained_in_s: float | None
    # Messages sent to it in the last minute.
    arrived_count: int = 0
    # How long its messages keep a thread; None before any has ended within a day.
    mean_ran_s: float | None = None


@dataclass(frozen=True)
class RunningMessage:
    """What a thread of a worker is at."""

    message_id: str
    actor: str
    queue: str
    arguments: str
    since: datetime
    run_id: int | None
    team_id: int | None


@dataclass(frozen=True)
class ProcessFigures:
    """A process: worker, web or scheduler."""

    id: str
    kind: str
    name: str  # host:pid
    started_at: datetime
    seen_at: datetime
    is_gone: bool
    memory_bytes: int
    thread_count: int
    # Workers.
    queues: tuple[str, ...] = ()
    worker_thread_count: int = 0
    # How many messages of one queue it works on at a time; 0 when it doesn't say.
    prefetch_count: int = 0
    dead_consumers: tuple[str, ...] = ()
    running: tuple[RunningMessage, ...] = ()
    # Web processes.
    stream_count: int = 0
    watcher_count: int = 0
    events_a_second: float = 0.0
    listener_connected: bool = True
    listener_since: datetime | None = None
    # Schedulers.
    ticked_at: datetime | None = None
    tick_took_s: float = 0.0
    is_failing: bool = False


@dataclass(frozen=True)
class RunGroup:
    """Failed runs of the last day by cause."""

    error_code: str
    sentence: str
    count: int
    team_count: int
    last_at: datetime


@dataclass(frozen=True)
class RunLine:
    """One run that an operator looks at."""

    id: int
    team_id: int
    team_name: str
    team_slug: str
    kind: str
    trigger: str
    state: str  # "pending", "running", "waiting", "stalled", "failed"
    since: datetime
    resume_at: datetime | None
    reason: str
    page_count: int
    seen_count: int
    expected_count: int | None
    claim_count: int


@dataclass(frozen=True)
class RunFigures:
    """Runs across all teams: the counts, and the first lines of each kind."""

    pending_count: int
    running_count: int
    waiting_count: int
    stalled_count: int
    failed_count: int  # last day, without the cancelled
    completed_count: int  # last day
    # Of the pending, those whose message went and that no worker has answered.
    unanswered_count: int
    lines: tuple[RunLine, ...]  # active ones, the stalled first, then by age; at most 50
    causes: tuple[RunGroup, ...]
    # Nights whose time has come and that have no run yet.
    due_night_count: int = 0


@dataclass(frozen=True)
class Budget:
    """What is left of a credential's rate budget."""

    credential_id: int
    team_name: str
    team_slug: str
    github_username: str
    resource: str
    limit: int
    remaining: int
    reset_at: datetime
    at: datetime

    @property
    def left_percent(self) -> float:
        return 100 * self.remaining / self.limit if self.limit else 100.0


@dataclass(frozen=True)
class GitHubFigures:
    """How GitHub is asked, and how it answers."""

    requests_a_minute: float
    points_a_minute: float
    # Mean time of an answer over the last minute; None without any.
    latency_s: float | None
    # Of the last hour: HTTP status, or "no answer", to how many.
    errors: tuple[tuple[str, int], ...]
    request_points: tuple[int, ...]  # the last hour, for a sparkline
    budgets: tuple[Budget, ...]  # the least left first; at most 20
    waiting_runs: tuple[RunLine, ...]


@dataclass(frozen=True)
class InboxFigures:
    """Webhook deliveries that wait, across all accounts."""

    pending_count: int
    failed_count: int
    oldest_age_s: float | None


@dataclass(frozen=True)
class QueueLoad:
    """What one queue asks of the workers."""

    name: str
    # Ready, fetched by a worker and not begun, and due nights, which become messages.
    waiting_count: int
    arrivals_a_second: float
    mean_ran_s: float
    # With the workers that are alive; None: it only grows.
    drained_in_s: float | None

    @property
    def busy_threads(self) -> float:
        """How many threads what arrives keeps busy: Little's law, L = λ W."""
        return self.arrivals_a_second * self.mean_ran_s


@dataclass(frozen=True)
class Capacity:
    """How many workers there should be."""

    loads: tuple[QueueLoad, ...]
    alive_count: int
    wanted_count: int
    # With the wanted ones.
    drained_in_s: float | None
    # More workers would wait for GitHub's limits.
    is_bound_by_github: bool
    # What a person is told, in English, and what they should know beside it.
    sentence: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """Something that is wrong now, and what to do."""

    code: str  # "no_worker", "dead_consumer", "drift", "stuck_acks", ...
    tone: str  # "bad" or "warn"
    sentence: str
    mend: str
    subject: str = ""
    # A path below /ops/, or empty.
    link: str = ""


@dataclass(frozen=True)
class Snapshot:
    """Everything on the dashboard at one instant. A part that could not be read is None, and why
    stands in `unreadable`: "redis", "rabbitmq" or "database" to a sentence."""

    at: datetime
    queues: tuple[QueueFigures, ...] | None
    processes: tuple[ProcessFigures, ...] | None
    runs: RunFigures | None
    github: GitHubFigures | None
    inboxes: InboxFigures | None
    problems: tuple[Problem, ...] = ()
    unreadable: dict[str, str] = field(default_factory=dict)
    took_s: float = 0.0
    is_rabbitmq: bool = False
    capacity: Capacity | None = None
    # Streams that Pushpins hold, beside those of the web processes; None without a Pushpin.
    held_count: int | None = None

    def of_kind(self, kind: str) -> tuple[ProcessFigures, ...]:
        return tuple(one for one in self.processes or () if one.kind == kind)

    @property
    def workers(self) -> tuple[ProcessFigures, ...]:
        return self.of_kind("worker")

    @property
    def webs(self) -> tuple[ProcessFigures, ...]:
        return self.of_kind("web")

    @property
    def schedulers(self) -> tuple[ProcessFigures, ...]:
        return self.of_kind("scheduler")
