"""Middleware by which a worker process tells what it runs and holds, and whether it is well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dramatiq import Middleware
from dramatiq.common import q_name

from integrations.telemetry import processes
from integrations.telemetry.beat import Beat
from integrations.telemetry.current import running
from integrations.telemetry.processes import Identity

if TYPE_CHECKING:
    from dramatiq import Broker, Worker
    from dramatiq.broker import MessageProxy

# How long the arguments of a running message may be in the report.
ARGUMENTS_LENGTH: Final = 200


class WorkerReport(Middleware):
    """Starts the worker's beat, and has it obey when a queue is paused.

    Its state holds `queues`, `threads`, `prefetch` (how many messages of one queue it works on at a
    time), `dead_consumers` (queues whose consumer thread is gone: no
    message of theirs is ever fetched again), `paused`, `held` (of each queue, how
    many messages were fetched and not acknowledged) and `running`, a list of what each thread works
    on.
    """

    def __init__(self) -> None:
        self._beat: Beat | None = None
        self._worker: Worker | None = None
        self._broker: Broker | None = None

    def after_worker_boot(self, broker: Broker, worker: Worker) -> None:
        self._worker, self._broker = worker, broker
        # Dramatiq's own id of the process: its acks are found by it.
        broker_id = getattr(broker, "broker_id", "")
        identity = Identity(broker_id, processes.WORKER) if broker_id else None
        if identity is not None:
            self._beat = Beat(identity, self.describe, obey=self._obey)
            self._beat.start()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        if self._beat is not None:
            self._beat.stop()
        self._beat = self._worker = None

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        if self._beat is not None:
            self._beat.wake()

    def describe(self) -> dict[str, Any]:
        """Return the state of the worker; see the class."""
        worker = self._worker
        consumers = dict(worker.consumers) if worker is not None else {}
        return {
            "queues": sorted({q_name(name) for name in consumers}),
            "threads": worker.worker_threads if worker is not None else 0,
            "prefetch": worker.queue_prefetch if worker is not None else 0,
            "dead_consumers": sorted(n for n, one in consumers.items() if not one.is_alive()),
            "paused": sorted(getattr(self._broker, "paused_queues", ())),
            # Redis knows by itself; RabbitMQ would tell on its management port only.
            "held": {
                name: len(held) for name, held in dict(getattr(self._broker, "held", {})).items()
            },
            "running": [
                {
                    "message_id": work.message_id,
                    "actor": work.actor,
                    "queue": work.queue,
                    "arguments": work.arguments[:ARGUMENTS_LENGTH],
                    "started_at": work.started_at.timestamp(),
                    "run_id": work.run_id,
                    "team_id": work.team_id,
                }
                for work in running.all()
            ],
        }

    def _obey(self, paused: frozenset[str]) -> None:
        # The consumers look at it before every fetch (broker.py).
        self._broker.paused_queues = paused  # type: ignore[union-attr]
