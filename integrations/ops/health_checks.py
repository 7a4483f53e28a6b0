"""What readiness means: database, Redis, migrations, a worker. Each check answers within a second.

The words go to whoever asks, without signing in: no hosts, no versions, no exceptions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from dramatiq.errors import BrokerConnectionError
from health_check.base import HealthCheck
from health_check.exceptions import HealthCheckException, ServiceUnavailable
from redis.exceptions import RedisError

from integrations.ops.reachability import is_database_away
from integrations.ops.single_flight import SingleFlight
from integrations.rabbitmq.broker import quorum_broker
from integrations.telemetry.processes import WORKER, ProcessReport, read_processes
from integrations.telemetry.redis_clients import broker_client, telemetry_client

PATIENCE_S: Final = 1.0
WORKER_HEARD_WITHIN: Final = timedelta(minutes=1)
# For a worker's own check: its beat comes each second.
OWN_WORKER_HEARD_WITHIN: Final = timedelta(seconds=10)


class Check(HealthCheck):  # type: ignore[misc]
    """One thing that has to hold; `subject` is what people and machines call it."""

    # The library waits a second longer than this.
    timeout = timedelta(seconds=0.8)
    subject = ""
    good_words = ""

    def complaint(self) -> str:
        """Return what is wrong; empty when nothing is."""
        try:
            self.run()
        except HealthCheckException as exc:
            return str(exc.message)
        return ""


@dataclass
class DatabaseCheck(Check):
    """The database answers."""

    subject = "database"
    good_words = "The database answers."

    def run(self) -> None:
        if is_database_away():
            raise ServiceUnavailable("The database does not answer.")


@dataclass
class MigrationsCheck(Check):
    """The database has the tables that this code expects."""

    subject = "migrations"
    good_words = "The database is up to date."

    def run(self) -> None:
        if is_database_away():
            raise ServiceUnavailable("Migrations can't be read: the database does not answer.")
        try:
            missing_count = _missing.ask(patience_s=PATIENCE_S)
        except (DatabaseFailure, TimeoutError) as exc:
            raise ServiceUnavailable("Migrations can't be read at present.") from exc
        if missing_count:
            raise ServiceUnavailable("The database lacks migrations: run manage.py migrate.")


@dataclass
class RedisCheck(Check):
    """Both databases of Redis answer."""

    subject = "redis"
    good_words = "Redis answers."

    def run(self) -> None:
        try:
            _pings.ask(patience_s=PATIENCE_S)
        except (RedisError, TimeoutError) as exc:
            raise ServiceUnavailable("Redis does not answer.") from exc


@dataclass
class RabbitMQCheck(Check):
    """RabbitMQ answers, where it is the broker."""

    subject = "rabbitmq"
    good_words = "RabbitMQ answers."

    def run(self) -> None:
        broker = quorum_broker()
        try:
            if broker is not None:
                broker.link.ask(lambda channel: channel.is_open, patience_s=PATIENCE_S)
        except BrokerConnectionError as exc:
            raise ServiceUnavailable("RabbitMQ does not answer.") from exc


@dataclass
class WorkerCheck(Check):
    """A worker was heard of within a minute, and none that lives has lost a consumer."""

    subject = "worker"
    good_words = "A worker is at work."

    def run(self) -> None:
        try:
            reports = read_reports(patience_s=PATIENCE_S)
        except (RedisError, TimeoutError) as exc:
            raise ServiceUnavailable("Workers are not heard of: Redis does not answer.") from exc
        complaint = complaint_of(reports, heard_within=WORKER_HEARD_WITHIN)
        if complaint:
            raise ServiceUnavailable(complaint)


_OF_BROKER: Final = () if settings.BROKER_REDIS_URL else (RabbitMQCheck,)
CHECKS: Final = (DatabaseCheck, MigrationsCheck, RedisCheck, *_OF_BROKER, WorkerCheck)


def read_reports(*, patience_s: float) -> list[ProcessReport]:
    """Return the register of processes. Raises redis.RedisError and TimeoutError."""
    return _reports.ask(patience_s=patience_s)


def complaint_of(reports: list[ProcessReport], *, heard_within: timedelta) -> str:
    """Return what is wrong with the workers among these processes; empty when they are well."""
    now = timezone.now()
    heard = [one for one in reports if one.kind == WORKER and now - one.seen_at <= heard_within]
    # What a dead worker last said of its consumers is history.
    has_dead_consumer = any(
        one.state.get("dead_consumers") for one in heard if not one.is_gone(now)
    )
    if not heard:
        return f"No worker was heard of within {heard_within.total_seconds():.0f} s."
    if has_dead_consumer:
        return "A worker has lost a consumer thread and has to be restarted."
    return ""


class _Migrations:
    """How many migrations are missing. None is missing for as long as this code runs."""

    def __init__(self) -> None:
        self._is_complete = False

    def count_missing(self) -> int:
        if self._is_complete:
            return 0
        try:
            executor = MigrationExecutor(connection)
            plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        finally:
            connections.close_all()
        self._is_complete = not plan
        return len(plan)


def _ping_both() -> bool:
    is_well = bool(telemetry_client().ping())
    return is_well and (quorum_broker() is not None or bool(broker_client().ping()))


def _read_reports() -> list[ProcessReport]:
    return read_processes(telemetry_client())


_missing: Final = SingleFlight(_Migrations().count_missing, name="migrations-probe")
_pings: Final = SingleFlight(_ping_both, name="redis-probe")
_reports: Final = SingleFlight(_read_reports, name="workers-probe")
