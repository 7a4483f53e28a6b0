"""Requeue, delete and run now: for one message, for those ticked, or for all that match.

What reaches far, or can't be taken back, is asked again on a page that says how many; and once more
when there are others by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.contrib import messages
from django.http import HttpResponseBadRequest
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST
from redis.exceptions import RedisError

from integrations.constants import OperatorActKind
from integrations.numbers import whole_number
from integrations.ops import acts, broker_acts
from integrations.ops.broker_acts import ActRefused
from integrations.ops.message_shapes import MessageQuery, MessageRef
from integrations.ops.views.access import operator_required
from integrations.ops.views.messages import FILTERS, acts_in, list_context, query_of, query_string

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.http import HttpResponse

    from integrations.ops.views.access import OperatorRequest

DOING: Final[dict[str, Callable[[Sequence[MessageRef]], int]]] = {
    OperatorActKind.REQUEUE: lambda refs: broker_acts.requeue(refs),
    OperatorActKind.DELETE: lambda refs: broker_acts.delete(refs),
    OperatorActKind.RUN_NOW: lambda refs: broker_acts.run_now(refs),
}
DONE_WORDS: Final[dict[str, str]] = {
    OperatorActKind.REQUEUE: "requeued",
    OperatorActKind.DELETE: "deleted",
    OperatorActKind.RUN_NOW: "told to run now",
}
NO_REDIS: Final = "Redis doesn't answer: it may or may not have been done. Look again in a moment."


@dataclass(frozen=True)
class _Wish:
    """What was asked for: an act, and on which messages."""

    act: str
    query: MessageQuery
    specs: tuple[str, ...]
    # All that match instead of those ticked.
    is_everything: bool
    # The number that the operator saw and agreed to.
    confirmed_count: int | None

    @property
    def needs_confirmation(self) -> bool:
        return self.is_everything or self.act == OperatorActKind.DELETE


@operator_required
@require_POST
def ops_messages_act(request: OperatorRequest) -> HttpResponse:
    """Do it, or ask first."""
    wish = _wish_of(request)
    if wish.act not in acts_in(wish.query.state):
        return HttpResponseBadRequest("This can't be done to messages in this state.\n")
    try:
        refs = _refs_of(wish)
        if not refs:
            messages.info(request, "No message was chosen, or none matches any more.")
        elif wish.needs_confirmation and wish.confirmed_count != len(refs):
            return _confirm(request, wish, len(refs))
        else:
            _do(request, wish, refs)
    except RedisError:
        messages.error(request, NO_REDIS)
    except (ActRefused, ValueError) as exc:
        messages.error(request, str(exc))
    return redirect(f"{reverse('ops_messages')}?{query_string(wish.query)}")


def _wish_of(request: OperatorRequest) -> _Wish:
    return _Wish(
        act=request.POST.get("act", ""),
        query=query_of(request.POST),
        specs=tuple(dict.fromkeys(request.POST.getlist("message"))),
        is_everything="everything" in request.POST,
        confirmed_count=whole_number(request.POST.get("confirmed", "")),
    )


def _refs_of(wish: _Wish) -> list[MessageRef]:
    """Return the messages that are meant. Raises redis.RedisError, ValueError."""
    if wish.is_everything:
        return broker_acts.matching(wish.query)
    return [broker_acts.ref_from(spec) for spec in wish.specs]


def _confirm(request: OperatorRequest, wish: _Wish, count: int) -> HttpResponse:
    context: dict[str, Any] = {
        **list_context(wish.query),
        "wish": wish,
        "act": OperatorActKind(wish.act),
        "count": count,
        "fields": [("state", wish.query.state), *_filters(wish.query)],
        "filters": _filters(wish.query),
    }
    return render(request, "ops/messages_confirm.html", context)


def _filters(query: MessageQuery) -> list[tuple[str, str]]:
    values = ((name, getattr(query, name)) for name in FILTERS)
    return [(name, str(value)) for name, value in values if value not in ("", None)]


def _do(request: OperatorRequest, wish: _Wish, refs: list[MessageRef]) -> None:
    """Act and write it down. Raises redis.RedisError, ActRefused."""
    count = DOING[wish.act](refs)
    missed_count = len(refs) - count
    if count:
        acts.note(request.user, wish.act, _subject(wish, refs), count=count)
        plural = "message was" if count == 1 else "messages were"
        messages.success(request, f"{count:,} {plural} {DONE_WORDS[wish.act]}.")
    if missed_count > 0:
        messages.info(request, f"{missed_count:,} had moved on by then.")


def _subject(wish: _Wish, refs: list[MessageRef]) -> str:
    """Say in words what was acted on."""
    if not wish.is_everything:
        return ", ".join(f"{ref.queue} {ref.key}" for ref in refs)
    filters = "".join(f", {name} {value}" for name, value in _filters(wish.query))
    return f"all {wish.query.state}{filters}"
