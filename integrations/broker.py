"""The Dramatiq broker as we run it: which Redis client each process uses, and our middleware.

It knows messages and actors' names, nothing of what they do.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import redis
import structlog
from dramatiq import Middleware
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import BrokerConnectionError
from dramatiq.middleware import Retries
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry

from integrations.consumer import SCRIPTS, Held, HeldByQueue, RollcallConsumer

if TYPE_CHECKING:
    from dramatiq import Broker, Worker
    from dramatiq.broker import MessageProxy

logger = structlog.get_logger(__name__)

# What a send raises when the broker can't be reached, whichever it is.
BROKER_FAULTS: Final = (redis.RedisError, BrokerConnectionError)

# A request or a ticker would rather hear "no" within 3 s than wait for Redis.
SENDER_TIMEOUT_S: Final = 3
SENDER_CONNECT_TIMEOUT_S: Final = 1
# A worker rides out about two minutes without Redis: a job that fails meanwhile is re-enqueued
# when Redis is back instead of being lost (https://github.com/Bogdanp/dramatiq/pull/545).
WORKER_RETRY_COUNT: Final = 120
WORKER_RETRY_CAP_S: Final = 1


def sender_client(url: str) -> redis.Redis:
    """Make the impatient client: no retry, since a send that raised may have sent."""
    return redis.Redis.from_url(
        url,
        socket_timeout=SENDER_TIMEOUT_S,
        socket_connect_timeout=SENDER_CONNECT_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )


def worker_client(url: str) -> redis.Redis:
    """Make the patient client.

    No socket timeout: redis-py 8 made it 5 s, and a fetch that Redis carries out after the client
    gave up leaves messages with a live worker for ever (https://github.com/redis/redis-py/issues/4091).
    """
    return redis.Redis.from_url(
        url,
        socket_timeout=None,
        socket_connect_timeout=SENDER_CONNECT_TIMEOUT_S,
        retry=Retry(ExponentialBackoff(cap=WORKER_RETRY_CAP_S, base=0.05), WORKER_RETRY_COUNT),
    )


class RollcallBroker(RedisBroker):
    """A RedisBroker that sends with one client and works with another."""

    def __init__(self, *, url: str, **options: Any) -> None:
        self.url = url
        # Queues that are left alone, as operators want it; telemetry/worker_report.py keeps it.
        self.paused_queues: frozenset[str] = frozenset()
        # What this process fetched and is not done with.
        self.held: HeldByQueue = defaultdict(Held)
        super().__init__(client=sender_client(url), **options)  # type: ignore[no-untyped-call]
        self.scripts |= {
            name: self.client.register_script(script) for name, script in SCRIPTS.items()
        }

    @property
    def consumer_class(self) -> type[RollcallConsumer]:
        return RollcallConsumer

    def empty_queues(self) -> frozenset[str]:
        """Return the queues of which Redis holds no message, waiting or being worked on.

        Raises redis.RedisError.
        """
        names = sorted(self.get_declared_queues())
        with self.client.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.hlen(f"{self.namespace}:{name}.msgs")
                pipeline.hlen(f"{self.namespace}:{name}.DQ.msgs")
            counts = pipeline.execute()
        held = zip(names, counts[::2], counts[1::2], strict=True)
        return frozenset(name for name, count, delayed_count in held if not count + delayed_count)

    def use_client(self, client: redis.Redis) -> None:
        """Send everything from now on through this client."""
        previous, self.client = self.client, client
        self.scripts = {
            name: client.register_script(script.script) for name, script in self.scripts.items()
        }
        previous.close()


class WorkerClient(Middleware):
    """Give a process the patient client while a worker runs in it."""

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        if isinstance(broker, RollcallBroker):
            broker.use_client(worker_client(broker.url))
            broker.held.clear()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        if isinstance(broker, RollcallBroker):
            broker.use_client(sender_client(broker.url))


_stopping = threading.Event()


def is_stopping() -> bool:
    """Say whether this worker was asked to stop: a long actor then makes room at its next page."""
    return _stopping.is_set()


class StopSignal(Middleware):
    """Tell running actors that the worker is going, without an exception in mid-transaction."""

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        _stopping.clear()

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        _stopping.set()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        _stopping.clear()


class LogOutcome(Middleware):
    """One line for each message: actor, how long it waited, how long it ran, how it ended."""

    def __init__(self) -> None:
        self._started = threading.local()

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        self._started.at = time.monotonic()
        structlog.contextvars.bind_contextvars(message_id=message.message_id)

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: object = None,
        exception: BaseException | None = None,
    ) -> None:
        self._log(message, _outcome(message, exception))

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        self._log(message, "skipped")

    def _log(self, message: MessageProxy, outcome: str) -> None:
        # A middleware before this one may have ended the attempt before it began here.
        now_s = time.monotonic()
        started_at_s = getattr(self._started, "at", now_s)
        self._started.__dict__.clear()
        logger.info(
            "message processed",
            actor=message.actor_name,
            args=list(message.args),
            queue=message.queue_name,
            # From its creation: a message that was redelivered has waited longer, not less.
            age_ms=round(time.time() * 1000) - message.message_timestamp,
            ran_ms=round((now_s - started_at_s) * 1000),
            outcome=outcome,
        )
        structlog.contextvars.unbind_contextvars("message_id")


def _outcome(message: MessageProxy, exception: BaseException | None) -> str:
    if exception is None:
        outcome = "done"
    elif message.failed:
        outcome = "dead"
    else:
        outcome = "failed"
    return outcome


class SafeRetries(Retries):
    """Retries whose re-enqueue cannot lose the message: it becomes a dead letter instead.

    Dramatiq swallows an exception raised here and then acknowledges the message.
    """

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: object = None,
        exception: BaseException | None = None,
    ) -> None:
        try:
            super().after_process_message(  # type: ignore[no-untyped-call]
                broker, message, result=result, exception=exception
            )
        except BROKER_FAULTS:
            logger.exception("retry could not be enqueued", actor=message.actor_name)
            message.fail()
