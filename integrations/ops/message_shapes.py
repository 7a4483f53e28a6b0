"""The shapes of messages as operators see them: plain values, every text in them masked.

Durations are seconds, instants are aware. Knows neither Redis nor rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

READY: Final = "ready"
# Not due yet: sent for later, or (retrying) put off after an attempt that failed.
DELAYED: Final = "delayed"
RETRYING: Final = "retrying"
RUNNING: Final = "running"
DEAD: Final = "dead"
# Every attempt that is over, from the history.
DONE: Final = "done"
STATES: Final = (READY, DELAYED, RETRYING, RUNNING, DEAD, DONE)

PAGE_SIZE: Final = 50


@dataclass(frozen=True)
class MessageQuery:
    """What an operator looks for. Empty filters match everything; unknown values match nothing."""

    state: str = READY
    queue: str = ""
    # Part of the actor's name.
    actor: str = ""
    # Anywhere in arguments, error, traceback or the message's id; case does not count.
    text: str = ""
    # A team's slug or name.
    team: str = ""
    run: int | None = None
    # How an attempt ended (MessageOutcome); for "done" only.
    outcome: str = ""
    page: int = 1

    @property
    def is_filtered(self) -> bool:
        """Say whether payloads have to be read to know what matches."""
        return bool(self.actor or self.text or self.team or self.run is not None)


class MessageRef(NamedTuple):
    """Where a message lies at the broker: enough to act on it."""

    queue: str
    state: str
    # Its id in Redis: a new one at each enqueueing, unlike the message's own.
    key: str


@dataclass(frozen=True)
class Subject:
    """Which run and team a message is about, as far as it is known."""

    run_id: int | None = None
    team_id: int | None = None
    team_name: str = ""
    team_slug: str = ""


@dataclass(frozen=True)
class BrokerMessage:
    """One message: where it is and what is known of it. What could not be decoded says so."""

    key: str
    message_id: str
    queue: str
    actor: str
    # {"args": [...], "kwargs": {...}} and the options, as JSON. The raw text when undecodable.
    arguments: str
    options: str
    state: str
    created_at: datetime | None = None
    ready_at: datetime | None = None
    # Delayed and retrying: not before this.
    eta: datetime | None = None
    # The attempt under way, or the next one; for dead and done, the last one.
    attempt: int = 1
    failed_at: datetime | None = None
    error: str = ""
    traceback: str = ""
    is_decodable: bool = True
    # A worker has fetched it already.
    is_held: bool = False
    subject: Subject = field(default_factory=Subject)
    # Running: since when, and on which worker. Done: how it ended and how long it took.
    started_at: datetime | None = None
    finished_at: datetime | None = None
    worker: str = ""
    outcome: str = ""
    ran_s: float | None = None

    @property
    def ref(self) -> MessageRef:
        return MessageRef(self.queue, self.state, self.key)

    @property
    def spec(self) -> str:
        """The reference in one word, for a form: `ready:interactive:<key>`."""
        return f"{self.state}:{self.queue}:{self.key}"


@dataclass(frozen=True)
class MessagePage:
    """One page of what a query matches."""

    messages: tuple[BrokerMessage, ...]
    # How many match; of those searched when the search is not complete.
    total_count: int
    # False: time ran out after `searched_count` messages, and there may be more matches.
    is_complete: bool
    searched_count: int
    page: int = 1

    @property
    def page_count(self) -> int:
        return max(1, -(-self.total_count // PAGE_SIZE))


@dataclass(frozen=True)
class AttemptLine:
    """One attempt that is over."""

    id: int
    message_id: str
    queue: str
    actor: str
    number: int
    outcome: str
    arguments: str
    options: str
    error: str
    traceback: str
    enqueued_at: datetime
    started_at: datetime
    finished_at: datetime
    waited_s: float
    ran_s: float
    worker: str
    subject: Subject


@dataclass(frozen=True)
class MessageDetail:
    """One message: where it is now (None: no longer at the broker), and all its attempts."""

    message_id: str
    current: BrokerMessage | None
    # The latest first.
    attempts: tuple[AttemptLine, ...]
    subject: Subject
    # False: time ran out while the broker was searched for it, or the database is away.
    is_complete: bool = True
