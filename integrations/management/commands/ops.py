"""`manage.py ops`: what operators see and do, from a terminal. Exit codes tell how it went."""

from __future__ import annotations

import json
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis.exceptions import RedisError

from integrations.broker import BROKER_FAULTS
from integrations.constants import QUEUES, OperatorActKind
from integrations.masking import masked
from integrations.ops import (
    acts,
    broker_acts,
    doctor,
    draining,
    pausing,
    queues,
    rabbitmq_queues,
    snapshot,
    terminal,
)
from integrations.ops.health_checks import (
    CHECKS,
    OWN_WORKER_HEARD_WITHIN,
    PATIENCE_S,
    complaint_of,
    read_reports,
)
from integrations.ops.message_shapes import DEAD, MessageQuery, MessageRef
from integrations.rabbitmq.broker import quorum_broker
from integrations.telemetry.processes import WORKER

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from integrations.ops.draining import Drain
    from integrations.rabbitmq.broker import QuorumBroker

WATCH_EVERY_S: Final = 1.0
# Home, and clear to the end: no flicker, nothing left of the last picture.
REDRAW: Final = "\x1b[H\x1b[2J"


class Command(BaseCommand):
    help = "Shows how Rollcall is, and does what operators do."
    # It has to work while database or Redis are away.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="act", required=True)
        status = commands.add_parser("status", help="the dashboard's numbers")
        status.add_argument("--json", action="store_true", help="for scripts")
        status.add_argument("--watch", action="store_true", help="redraw each second until Ctrl-C")
        self._add_acts(commands)
        checks = commands.add_parser("doctor", help="check the configuration, and say what to mend")
        checks.add_argument("--json", action="store_true", help="for scripts")
        health = commands.add_parser("health", help="exit code 0 when all is well")
        health.add_argument(
            "--worker", action="store_true", help="only the worker of this host, for its container"
        )

    def _add_acts(self, commands: _SubParsersAction[Any]) -> None:
        requeue = commands.add_parser("requeue", help="put dead letters back")
        requeue.add_argument("ids", nargs="*", metavar="ID", help="ids of messages")
        requeue.add_argument("--queue", default="", choices=["", *QUEUES])
        requeue.add_argument("--actor", default="", help="part of the actor's name")
        requeue.add_argument("--text", default="", help="in arguments, error or traceback")
        requeue.add_argument("--dry-run", action="store_true", help="count only")
        requeue.add_argument("--yes", action="store_true", help="ask nothing")
        drain = commands.add_parser("drain", help="pause queues, and wait until nothing runs")
        drain.add_argument("queues", nargs="*", metavar="QUEUE", help="all by default")
        drain.add_argument("--timeout", type=float, metavar="SECONDS", help="give up; exit code 1")
        drain.add_argument("--resume", action="store_true", help="let them go on instead")

    def handle(self, *, act: str, **options: Any) -> None:
        {
            "status": self._status,
            "requeue": self._requeue,
            "drain": self._drain,
            "doctor": self._doctor,
            "health": self._health,
        }[act](options)

    def _status(self, options: dict[str, Any]) -> None:
        while True:
            seen = snapshot.take()
            if options["json"]:
                self.stdout.write(json.dumps(terminal.as_json(seen)))
            else:
                self.stdout.write((REDRAW if options["watch"] else "") + terminal.as_text(seen))
            self.stdout.flush()
            if not options["watch"]:
                break
            try:
                time.sleep(WATCH_EVERY_S)
            except KeyboardInterrupt:
                return
        if any(problem.tone == "bad" for problem in seen.problems):
            sys.exit(1)

    def _requeue(self, options: dict[str, Any]) -> None:
        rabbitmq = quorum_broker()
        if rabbitmq is not None:
            self._requeue_all(rabbitmq, options)
            return
        try:
            refs = _dead_letters(options)
            words = _filter_in_words(options)
            count = f"{len(refs):,} dead letter{'' if len(refs) == 1 else 's'}"
            self.stdout.write(f"{count}: {words}")
            if options["dry_run"] or not refs:
                return
            if not options["yes"] and not _confirmed(f"Requeue {count}? [y/N] "):
                raise CommandError("Nothing was done.")
            done_count = broker_acts.requeue(refs)
        except RedisError as exc:
            raise CommandError(masked(f"Redis does not answer: {exc}")) from exc
        except broker_acts.ActRefused as exc:
            raise CommandError(masked(str(exc))) from exc
        acts.note(None, OperatorActKind.REQUEUE, words, count=done_count)
        self.stdout.write(f"{done_count:,} requeued.")

    def _requeue_all(self, broker: QuorumBroker, options: dict[str, Any]) -> None:
        if options["ids"] or options["actor"] or options["text"]:
            raise CommandError("RabbitMQ can't choose among dead letters: give --queue alone.")
        try:
            for name, count in rabbitmq_queues.queues_with_letters(queues.read_depths()):
                if options["queue"] not in {"", name}:
                    continue
                self.stdout.write(f"{name}: {count:,} dead letters")
                if options["dry_run"]:
                    continue
                if not options["yes"] and not _confirmed(f"Requeue those of {name}? [y/N] "):
                    raise CommandError("Nothing more was done.")
                done_count = rabbitmq_queues.requeue_dead(broker, name)
                words = f"all dead of {name}"
                acts.note(None, OperatorActKind.REQUEUE, words, count=done_count)
                self.stdout.write(f"{done_count:,} requeued.")
        except BROKER_FAULTS as exc:
            raise CommandError(masked(f"The broker does not answer: {exc}")) from exc

    def _drain(self, options: dict[str, Any]) -> None:
        names = options["queues"] or list(QUEUES)
        try:
            if options["resume"]:
                for name in names:
                    was_paused = pausing.resume(name, None)
                    self.stdout.write(f"{name} {'goes on' if was_paused else 'was not paused'}.")
                return
            self.stdout.write(f"Paused: {', '.join(names)}. Waiting for what is in flight.")
            seen = draining.drain(names, timeout_s=options["timeout"], tell=_Teller(self))
        except ValueError as exc:
            raise CommandError(str(exc)) from exc
        except KeyboardInterrupt:
            raise CommandError("Interrupted; the queues stay paused.") from None
        if not seen.is_over:
            raise CommandError(f"Still in flight: {seen.in_flight}. The queues stay paused.")
        acts.note(None, OperatorActKind.DRAIN, ", ".join(names))
        self.stdout.write("Drained. The queues stay paused: ops drain --resume lets them go on.")

    def _doctor(self, options: dict[str, Any]) -> None:
        is_bad = False
        findings = []
        for finding in doctor.examine():
            is_bad = is_bad or finding.tone == doctor.BAD
            findings.append(finding)
            if not options["json"]:
                self.stdout.write(doctor.as_line(finding))
        if options["json"]:
            self.stdout.write(json.dumps([doctor.as_json(one) for one in findings]))
        if is_bad:
            sys.exit(1)

    def _health(self, options: dict[str, Any]) -> None:
        complaint = _complaint_of_own_worker() if options["worker"] else _complaint()
        if complaint:
            self.stderr.write(complaint)
            sys.exit(1)
        self.stdout.write("up")


class _Teller:
    """Says how far a drain is, when that changes."""

    def __init__(self, command: BaseCommand) -> None:
        self._command = command
        self._count: int | None = None

    def __call__(self, seen: Drain) -> None:
        if seen.count != self._count:
            self._count = seen.count
            self._command.stdout.write(f"In flight: {seen.count:,}")


def _dead_letters(options: dict[str, Any]) -> list[MessageRef]:
    """Return what is meant, each once. Without ids or filter all dead letters are."""
    texts = options["ids"] or [options["text"]]
    found = {
        ref.key: ref
        for text in texts
        for ref in broker_acts.matching(
            MessageQuery(state=DEAD, queue=options["queue"], actor=options["actor"], text=text)
        )
    }
    return list(found.values())


def _filter_in_words(options: dict[str, Any]) -> str:
    parts = [f"{name} {options[name]}" for name in ("queue", "actor", "text") if options[name]]
    parts += [str(one) for one in options["ids"]]
    return masked(", ".join(parts) or "all that are dead")


def _confirmed(question: str) -> bool:
    try:
        return input(question).strip().lower() in {"y", "yes"}
    except EOFError:
        return False


def _complaint_of_own_worker() -> str:
    try:
        reports = read_reports(patience_s=2 * PATIENCE_S)
    except (RedisError, TimeoutError):
        return "Redis does not answer."
    host = socket.gethostname()
    own = [one for one in reports if one.kind == WORKER and one.host == host]
    return complaint_of(own, heard_within=OWN_WORKER_HEARD_WITHIN)


def _complaint() -> str:
    return "\n".join(words for check in CHECKS if (words := check().complaint()))
