"""Messages that threads work on now, by what their workers said at their last beat."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from integrations.masking import masked
from integrations.ops.message_places import live_processes
from integrations.ops.message_shapes import RUNNING, BrokerMessage, Subject
from integrations.ops.subjects import Addressed, subjects_of

if TYPE_CHECKING:
    from integrations.ops.message_shapes import MessageQuery
    from integrations.telemetry.processes import ProcessReport


def running_messages() -> list[BrokerMessage]:
    """Return what runs, the longest first. Raises redis.RedisError."""
    at_work = [
        (report, one) for report in live_processes() for one in report.state.get("running", ())
    ]
    subjects = subjects_of(
        Addressed(one["message_id"], one["actor"], _args(one)) for _, one in at_work
    )
    found = [
        _message(report, one, subjects.get(one["message_id"], Subject())) for report, one in at_work
    ]
    return sorted(found, key=lambda one: one.started_at or datetime.max.replace(tzinfo=UTC))


def is_wanted(message: BrokerMessage, query: MessageQuery) -> bool:
    """Say whether a running message matches a query."""
    subject, text = message.subject, query.text.strip().lower()
    team = query.team.lower()
    return (
        query.queue in {"", message.queue}
        and query.actor.lower() in message.actor.lower()
        and (not text or text in f"{message.message_id}\n{message.arguments}".lower())
        and (not team or team in {subject.team_slug.lower(), subject.team_name.lower()})
        and query.run in {None, subject.run_id}
    )


def _args(one: dict[str, Any]) -> list[Any]:
    if one.get("run_id") is not None:
        return [one["run_id"]]
    try:
        args = json.loads(one["arguments"])["args"]
    except (ValueError, LookupError, TypeError):
        # A report holds the beginning of the arguments only.
        return []
    return args if isinstance(args, list) else []


def _message(report: ProcessReport, one: dict[str, Any], subject: Subject) -> BrokerMessage:
    if subject == Subject():
        subject = replace(subject, run_id=one.get("run_id"), team_id=one.get("team_id"))
    return BrokerMessage(
        key=one["message_id"],
        message_id=one["message_id"],
        queue=one["queue"],
        actor=one["actor"],
        arguments=masked(one["arguments"]),
        options="",
        state=RUNNING,
        is_held=True,
        subject=subject,
        started_at=datetime.fromtimestamp(one["started_at"], UTC),
        worker=report.name,
    )
