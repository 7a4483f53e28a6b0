"""A process's one connection to RabbitMQ for whatever is not consuming: publish, declare, count.

A thread of its own holds it, answers heartbeats, and connects anew. Whoever asks waits a bounded
time, however long RabbitMQ would take. pika's connections belong to one thread; one for each thread
that ever sent something would never be closed.
"""

from __future__ import annotations

import logging
import queue
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pika
import structlog
from dramatiq.errors import ConnectionClosed
from pika.exceptions import AMQPError

from integrations.rabbitmq.tls import options_of, told_of_tls

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.adapters.blocking_connection import BlockingChannel

logger = structlog.get_logger(__name__)
# It writes a traceback for each connection that could not be made; ours says it in one line.
logging.getLogger("pika").setLevel(logging.CRITICAL)

T = TypeVar("T")

# A request or a ticker would rather hear "no" within 3 s than wait for RabbitMQ.
PATIENCE_S: Final = 3.0
CONNECT_TIMEOUT_S: Final = 1.0
HANDSHAKE_TIMEOUT_S: Final = 2.0
# Both sides give up a peer that is silent for about twice as long.
HEARTBEAT_S: Final = 15
# How often an idle connection's heartbeats are seen to.
IDLE_LOOK_S: Final = 1.0
STOP_PATIENCE_S: Final = 3.0
# What pika raises when a connection can't be made or breaks; it asserts where it could say so.
FAULTS: Final = (AMQPError, OSError, AssertionError)


def parameters_of(url: str) -> pika.URLParameters:
    """Return how every connection of ours is made. Raises ValueError for a URL that is none.

    With TLS also what `tls.options_of` raises.
    """
    url, told = told_of_tls(url)
    parameters = pika.URLParameters(url)
    if told and parameters.ssl_options is not None:
        parameters.ssl_options = options_of(told)
    parameters.connection_attempts = 1
    parameters.socket_timeout = CONNECT_TIMEOUT_S
    parameters.stack_timeout = HANDSHAKE_TIMEOUT_S
    # RabbitMQ blocks publishers while its memory or disk is short.
    parameters.blocked_connection_timeout = PATIENCE_S
    parameters.heartbeat = HEARTBEAT_S
    return parameters


class Link:
    """The connection and its thread, which starts with the first question."""

    def __init__(self, parameters: pika.URLParameters) -> None:
        self._parameters = parameters
        self._jobs: queue.SimpleQueue[tuple[Callable[[Any], Any], Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._connection: pika.BlockingConnection | None = None
        self._channel: BlockingChannel | None = None

    def ask(self, job: Callable[[BlockingChannel], T], *, patience_s: float = PATIENCE_S) -> T:
        """Have the thread do something with a confirming channel, and return what it returns.

        Where a connection turns out to be dead it is done once more on a new one, so that a message
        may be published twice. Raises dramatiq.errors.ConnectionClosed: it may or may not be done.
        """
        answer: Future[T] = Future()
        self._start()
        self._jobs.put((job, answer))
        try:
            return answer.result(timeout=patience_s)
        except TimeoutError:
            # What has not begun never will; a job that is under way may still be done.
            answer.cancel()
            raise closed(f"no answer from RabbitMQ within {patience_s} s") from None
        except FAULTS as exc:
            raise closed(exc) from exc

    def close(self) -> None:
        """Close the connection in order. The next question opens another."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._jobs.put(None)
        if thread is not None:
            thread.join(STOP_PATIENCE_S)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="rabbitmq", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                asked = self._jobs.get(timeout=IDLE_LOOK_S)
            except queue.Empty:
                self._see_to_heartbeats()
                continue
            if asked is None:
                self._drop()
                return
            job, answer = asked
            if answer.set_running_or_notify_cancel():
                self._answer(job, answer)

    def _answer(self, job: Callable[[Any], Any], answer: Future[Any]) -> None:
        try:
            answer.set_result(self._done(job))
        except BaseException as exc:
            answer.set_exception(exc)

    def _done(self, job: Callable[[Any], T]) -> T:
        had_connection = self._connection is not None
        try:
            return job(self._opened())
        except FAULTS:
            self._drop()
            if not had_connection:
                raise
        try:
            return job(self._opened())
        except FAULTS:
            self._drop()
            raise

    def _opened(self) -> BlockingChannel:
        if self._connection is None:
            self._connection = pika.BlockingConnection(self._parameters)
        if self._channel is None or not self._channel.is_open:
            self._channel = self._connection.channel()
            self._channel.confirm_delivery()
        return self._channel

    def _see_to_heartbeats(self) -> None:
        if self._connection is not None:
            try:
                self._connection.process_data_events(time_limit=0)
            except FAULTS as exc:
                logger.info("RabbitMQ closed an idle connection", error=str(exc))
                self._drop()

    def _drop(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None and connection.is_open:
            try:
                connection.close()
            except FAULTS as exc:
                logger.info("connection to RabbitMQ not closed in order", error=str(exc))


def closed(error: object) -> ConnectionClosed:
    """Return Dramatiq's word for a broker that can't be reached."""
    words = str(error) or type(error).__name__
    found: ConnectionClosed = ConnectionClosed(words)  # type: ignore[no-untyped-call]
    return found
