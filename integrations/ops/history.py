"""Attempts that are over, from their rows: looked for by what they were about.

The rows were masked when they were written (`telemetry/history.py`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Max, Q

from integrations.models import MessageAttempt, Team
from integrations.ops.message_shapes import (
    DONE,
    PAGE_SIZE,
    AttemptLine,
    BrokerMessage,
    MessagePage,
    Subject,
)
from integrations.ops.subjects import subjects_by_team

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet

    from integrations.ops.message_shapes import MessageQuery

# A text is looked for in the latest so many: no index helps with it.
TEXT_ROWS: Final = 50_000
# Counting stops here; nobody leafs through more.
COUNT_MAX: Final = 10_000
# Of one message.
ATTEMPTS_MAX: Final = 100


def find_attempts(query: MessageQuery) -> MessagePage:
    """Return a page of the attempts that a query matches, the latest first.

    Raises django.db.Error.
    """
    rows, is_complete = _rows(query)
    count = rows[: COUNT_MAX + 1].count()
    first = (query.page - 1) * PAGE_SIZE
    lines = _lines(rows[first : first + PAGE_SIZE])
    return MessagePage(
        messages=tuple(map(_as_message, lines)),
        total_count=min(count, COUNT_MAX),
        is_complete=is_complete and count <= COUNT_MAX,
        searched_count=TEXT_ROWS if not is_complete else count,
        page=query.page,
    )


def attempts_of(message_id: str) -> tuple[AttemptLine, ...]:
    """Return all attempts at one message, the latest first. Raises django.db.Error."""
    return _lines(MessageAttempt.objects.filter(message_id=_fit(message_id))[:ATTEMPTS_MAX])


def _rows(query: MessageQuery) -> tuple[QuerySet[MessageAttempt], bool]:
    """Return the rows, and whether all were looked at."""
    rows, is_complete = MessageAttempt.objects.all(), True
    exact = {"queue": query.queue, "outcome": query.outcome, "run_id": query.run}
    rows = rows.filter(**{name: _fit(v) for name, v in exact.items() if v not in {"", None}})
    if query.actor:
        rows = rows.filter(actor__icontains=_fit(query.actor))
    if query.team:
        rows = rows.filter(team_id__in=_team_ids(query.team))
    if query.text:
        newest: Any = MessageAttempt.objects.aggregate(newest=Max("pk"))["newest"] or 0
        is_complete = not MessageAttempt.objects.filter(pk__lte=newest - TEXT_ROWS).exists()
        text = _fit(query.text.strip())
        rows = rows.filter(pk__gt=newest - TEXT_ROWS).filter(
            Q(arguments__icontains=text)
            | Q(error__icontains=text)
            | Q(traceback__icontains=text)
            | Q(message_id__iexact=text)
        )
    return rows, is_complete


def _team_ids(name: str) -> QuerySet[Team, Any]:
    fit = _fit(name)
    return Team.objects.filter(Q(slug__iexact=fit) | Q(name__iexact=fit)).values("pk")


def _fit(value: Any) -> Any:
    """Return a filter's value without what PostgreSQL refuses in a text."""
    return value.replace("\0", "") if isinstance(value, str) else value


def _lines(rows: Iterable[MessageAttempt]) -> tuple[AttemptLine, ...]:
    attempts = list(rows)
    teams = subjects_by_team({one.team_id for one in attempts if one.team_id is not None})
    return tuple(
        AttemptLine(
            id=one.pk,
            message_id=one.message_id,
            queue=one.queue,
            actor=one.actor,
            number=one.number,
            outcome=one.outcome,
            arguments=one.arguments,
            options=one.options,
            error=one.error,
            traceback=one.traceback,
            enqueued_at=one.enqueued_at,
            started_at=one.started_at,
            finished_at=one.finished_at,
            waited_s=one.waited_ms / 1000,
            ran_s=one.ran_ms / 1000,
            worker=one.worker,
            subject=replace(teams.get(one.team_id or 0, Subject()), run_id=one.run_id),
        )
        for one in attempts
    )


def _as_message(line: AttemptLine) -> BrokerMessage:
    return BrokerMessage(
        key=str(line.id),
        message_id=line.message_id,
        queue=line.queue,
        actor=line.actor,
        arguments=line.arguments,
        options=line.options,
        state=DONE,
        created_at=line.enqueued_at,
        attempt=line.number,
        failed_at=line.finished_at if line.error else None,
        error=line.error,
        traceback=line.traceback,
        subject=line.subject,
        started_at=line.started_at,
        finished_at=line.finished_at,
        worker=line.worker,
        outcome=line.outcome,
        ran_s=line.ran_s,
    )
