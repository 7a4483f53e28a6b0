"""Middleware that writes the history of messages: one row an attempt, in one statement.

It stands before the retries in the list, so that it hears after them whether the attempt was the
last. Secrets are masked before anything is kept. A database that is away costs the row, never the
message.
"""

from __future__ import annotations

import json
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog
from django.apps import apps
from django.db import DatabaseError, InterfaceError
from django.utils import timezone
from dramatiq import Middleware
from dramatiq.middleware import SkipMessage
from redis.exceptions import RedisError

from integrations.constants import MessageOutcome
from integrations.masking import masked
from integrations.telemetry.counters import counters
from integrations.telemetry.current import CurrentWork, running
from integrations.telemetry.processes import Identity
from integrations.telemetry.redis_clients import broker_client
from integrations.telemetry.skipping import is_to_be_skipped

if TYPE_CHECKING:
    from dramatiq import Broker
    from dramatiq.broker import MessageProxy

logger = structlog.get_logger(__name__)

TRACEBACK_LENGTH: Final = 20_000
ERROR_LENGTH: Final = 500
ARGUMENTS_LENGTH: Final = 4_000
# Written into a message: when it could be worked on, which its creation does not say.
READY_AT: Final = "ready_at"
FAILED_AT: Final = "failed_at"
ERROR: Final = "error"
# Options that say where a message is rather than what it is.
_PLACE_OPTIONS: Final = frozenset({"traceback", ERROR, FAILED_AT})


class MessageHistory(Middleware):
    """Keeps what is running, how each attempt ended, and a dead letter's last traceback."""

    def __init__(self) -> None:
        self._worker_name = ""

    def after_worker_boot(self, broker: Broker, worker: Any) -> None:
        identity = Identity("", "")
        self._worker_name = f"{identity.host}:{identity.pid}"

    def before_enqueue(self, broker: Broker, message: Any, delay: int | None) -> None:
        message.options[READY_AT] = _now_ms() + (delay or 0)

    def after_enqueue(self, broker: Broker, message: Any, delay: int | None) -> None:
        counters.count_over_time(f"queue:{message.queue_name}:sent")

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        running.begin(
            CurrentWork(
                message_id=message.message_id,
                actor=message.actor_name,
                queue=message.queue_name,
                arguments=arguments_of(message),
                started_at=timezone.now(),
                # The retries count this attempt before they are asked what became of it.
                number=int(message.options.get("retries", 0)) + 1,
            )
        )
        if is_to_be_skipped(message.message_id):
            raise SkipMessage("deleted by an operator")

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: object = None,
        exception: BaseException | None = None,
    ) -> None:
        if exception is None:
            outcome = MessageOutcome.DONE
        elif message.failed:
            outcome = MessageOutcome.DEAD
        else:
            outcome = MessageOutcome.RETRIED
        self._note(message, outcome, exception)

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        self._note(message, MessageOutcome.SKIPPED, None)

    def after_nack(self, broker: Broker, message: MessageProxy) -> None:
        """Put the last traceback into the dead letter, which holds the message as it was sent."""
        exception = getattr(message, "_exception", None)
        if FAILED_AT not in message.options:
            # It never came to an attempt: nobody here knows its actor.
            self._note(message, MessageOutcome.DEAD, exception)
        if "redis_message_id" not in message.options:
            # RabbitMQ keeps the letter as it was sent; the row says why it died.
            return
        try:
            _keep_in_dead_letter(broker, message)
        except RedisError as exc:
            logger.warning("dead letter without its traceback", error=str(exc))

    def _note(
        self, message: MessageProxy, outcome: MessageOutcome, exception: BaseException | None
    ) -> None:
        work = running.end()
        now = timezone.now()
        started_at = work.started_at if work is not None else now
        ready_at = _instant(message.options.get(READY_AT, message.message_timestamp))
        ran_s = (now - started_at).total_seconds()
        _count(message, outcome, waited_s=(started_at - ready_at).total_seconds(), ran_s=ran_s)
        error, trace = words_of(exception)
        if outcome == MessageOutcome.DEAD:
            message.options.update({FAILED_AT: _now_ms(), ERROR: error, "traceback": trace})
        # Dramatiq's settings name this module before Django has any models.
        attempt = apps.get_model("integrations", "MessageAttempt")(
            message_id=message.message_id[:36],
            queue=message.queue_name[:60],
            actor=message.actor_name[:100],
            number=1 if work is None else work.number,
            outcome=outcome,
            arguments=arguments_of(message),
            options=_options_of(message),
            error=error,
            traceback=trace,
            enqueued_at=_instant(message.message_timestamp),
            started_at=started_at,
            finished_at=now,
            waited_ms=max(0, round((started_at - ready_at).total_seconds() * 1000)),
            ran_ms=max(0, round(ran_s * 1000)),
            worker=self._worker_name,
            run_id=work.run_id if work is not None else None,
            team_id=work.team_id if work is not None else None,
        )
        try:
            attempt.save(force_insert=True)
        except (DatabaseError, InterfaceError, ValueError) as exc:
            logger.warning("attempt not written down", error=masked(str(exc)))


def arguments_of(message: Any) -> str:
    """Return a message's arguments as JSON, masked and of bounded length."""
    arguments = {"args": list(message.args), "kwargs": dict(message.kwargs)}
    return masked(json.dumps(arguments, default=repr))[:ARGUMENTS_LENGTH]


def words_of(exception: BaseException | None) -> tuple[str, str]:
    """Return an exception's line and its traceback, masked and of bounded length."""
    if exception is None:
        return "", ""
    line = f"{type(exception).__name__}: {exception}".splitlines()[0].replace("\0", "")
    trace = "".join(traceback.format_exception(exception)).replace("\0", "")
    return masked(line)[:ERROR_LENGTH], masked(trace)[-TRACEBACK_LENGTH:]


def _count(
    message: MessageProxy, outcome: MessageOutcome, *, waited_s: float, ran_s: float
) -> None:
    queue, actor = message.queue_name, message.actor_name
    counters.count("messages", outcome=outcome.value, queue=queue, actor=actor)
    counters.observe("message_seconds", ran_s, queue=queue, actor=actor)
    counters.observe("message_wait_seconds", max(0.0, waited_s), queue=queue)
    counters.count_over_time(f"queue:{queue}:{outcome.value}")
    counters.count_over_time(f"queue:{queue}:seconds", ran_s)


def _keep_in_dead_letter(broker: Broker, message: MessageProxy) -> None:
    name = f"{getattr(broker, 'namespace', '')}:{message.queue_name.removesuffix('.DQ')}.XQ.msgs"
    letter_id = message.options["redis_message_id"]
    client = broker_client()
    if client.hexists(name, letter_id):
        client.hset(name, letter_id, message.encode())


def _options_of(message: MessageProxy) -> str:
    kept = {name: value for name, value in message.options.items() if name not in _PLACE_OPTIONS}
    return masked(json.dumps(kept, default=repr))[:ARGUMENTS_LENGTH]


def _now_ms() -> int:
    return round(datetime.now(UTC).timestamp() * 1000)


def _instant(milliseconds: float) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
