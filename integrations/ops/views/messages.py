"""Messages at the broker and in the history: a page of what is looked for, and a single one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django.http import Http404
from django.shortcuts import render
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

from integrations.broker import BROKER_FAULTS
from integrations.constants import MessageOutcome, OperatorActKind
from integrations.numbers import whole_number
from integrations.ops import messages, queues, rabbitmq_queues
from integrations.ops.broker_keys import declared_queues
from integrations.ops.message_shapes import (
    DEAD,
    DELAYED,
    DONE,
    READY,
    RETRYING,
    STATES,
    MessagePage,
    MessageQuery,
)
from integrations.ops.views.access import operator_required
from integrations.rabbitmq.broker import quorum_broker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpResponse

    from integrations.ops.figures import QueueDepth
    from integrations.ops.views.access import OperatorRequest

# What makes sense in which state; elsewhere a message can only be looked at.
ACTS: Final = {
    READY: (OperatorActKind.DELETE,),
    DELAYED: (OperatorActKind.RUN_NOW, OperatorActKind.DELETE),
    RETRYING: (OperatorActKind.RUN_NOW, OperatorActKind.DELETE),
    DEAD: (OperatorActKind.REQUEUE, OperatorActKind.DELETE),
}
FILTERS: Final = ("queue", "actor", "team", "run", "text", "outcome")
TEXT_LENGTH_MAX: Final = 200
# Above any message's number; what is greater matches nothing rather than failing in the database.
NUMBER_MAX: Final = 2**63 - 1
PAGE_MAX: Final = 100_000


@operator_required
@require_safe
def ops_messages(request: OperatorRequest) -> HttpResponse:
    """Show a page of the messages that match."""
    query = query_of(request.GET)
    is_unread = False
    try:
        page = messages.find(query)
    except RedisError:
        page, is_unread = MessagePage((), 0, is_complete=True, searched_count=0), True
    depths = _depths()
    context = {
        **list_context(query),
        "found": page,
        "is_unread": is_unread,
        "acts": acts_in(query.state),
        "tabs": [(state, count) for state, count in _counts(depths).items()],
        "is_rabbitmq": quorum_broker() is not None,
        "letters": rabbitmq_queues.queues_with_letters(depths or ()),
    }
    return render(request, "ops/messages.html", context)


@operator_required
@require_safe
def ops_message(request: OperatorRequest, message_id: str) -> HttpResponse:
    """Show one message with its attempts."""
    is_unread, detail = False, None
    try:
        detail = messages.get(message_id)
    except RedisError:
        is_unread = True
    if detail is None and not is_unread:
        raise Http404
    current = detail.current if detail else None
    context = {
        "nav": "messages",
        "message_id": message_id,
        "detail": detail,
        "shown": current or (detail.attempts[0] if detail and detail.attempts else None),
        "is_unread": is_unread,
        "acts": acts_in(current.state) if current else (),
    }
    return render(request, "ops/message.html", context)


def acts_in(state: str) -> tuple[OperatorActKind, ...]:
    """Return what can be done to single messages in a state: nothing at RabbitMQ."""
    return () if quorum_broker() is not None else ACTS.get(state, ())


def query_of(given: Mapping[str, Any]) -> MessageQuery:
    """Read what is looked for; a state that is none is the first one."""
    state = str(given.get("state", ""))
    texts = {
        name: str(given.get(name, "")).replace("\0", "").strip()[:TEXT_LENGTH_MAX]
        for name in ("queue", "actor", "team", "text", "outcome")
    }
    run = _number(given.get("run"), highest=NUMBER_MAX)
    page = _number(given.get("page"), highest=PAGE_MAX) or 1
    return MessageQuery(
        state=state if state in STATES else READY,
        run=run,
        page=page,
        **texts,
    )


def query_string(query: MessageQuery, **changes: Any) -> str:
    """Return the query as an address holds it, without what says nothing."""
    values = {name: getattr(query, name) for name in ("state", *FILTERS, "page")} | changes
    return urlencode({name: v for name, v in values.items() if v not in ("", None, 1)})


def list_context(query: MessageQuery) -> dict[str, Any]:
    """Return what every page about a list of messages needs."""
    return {
        "nav": "messages",
        "query": query,
        "querystring": query_string(query),
        "queues": declared_queues(),
        "outcomes": MessageOutcome.choices,
        "previous": f"?{query_string(query, page=query.page - 1)}",
        "next": f"?{query_string(query, page=query.page + 1)}",
        "is_history": query.state == DONE,
    }


def _depths() -> list[QueueDepth] | None:
    try:
        return queues.read_depths()
    except BROKER_FAULTS:
        return None


def _counts(depths: list[QueueDepth] | None) -> dict[str, int | None]:
    """Return how many messages are in each state over all queues, as far as the depths tell."""
    counts: dict[str, int | None] = dict.fromkeys(STATES)
    if depths is None:
        return counts
    counts[READY] = sum(depth.ready_count for depth in depths)
    counts[DELAYED] = sum(depth.delayed_count for depth in depths)
    counts[DEAD] = sum(depth.dead_count for depth in depths)
    return counts


def _number(given: Any, *, highest: int) -> int | None:
    number = whole_number(str(given or "").strip())
    return None if number is None else min(number, highest)
