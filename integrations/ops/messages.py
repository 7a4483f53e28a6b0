"""Messages as operators look for them: by state and by what they are about; and one of them whole.

Answers within two seconds, however many there are: a search stops when its time is used up, and
says how far it got. Everything returned is masked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog
from django.db import Error

from integrations.constants import MessageOutcome
from integrations.ops.broker_keys import QueueKeys, known_queues
from integrations.ops.history import attempts_of, find_attempts
from integrations.ops.message_places import (
    Located,
    held_messages,
    locate,
    locate_page,
)
from integrations.ops.message_scan import Criteria, Progress, scan
from integrations.ops.message_shapes import (
    DEAD,
    DELAYED,
    DONE,
    PAGE_SIZE,
    READY,
    RETRYING,
    RUNNING,
    STATES,
    BrokerMessage,
    MessageDetail,
    MessagePage,
    MessageRef,
    Subject,
)
from integrations.ops.payloads import decoded, message_of
from integrations.ops.reachability import is_database_away
from integrations.ops.running_messages import is_wanted, running_messages
from integrations.ops.subjects import Addressed, DatabaseAway, subjects_of
from integrations.rabbitmq.broker import quorum_broker
from integrations.telemetry.redis_clients import broker_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integrations.ops.message_shapes import AttemptLine, MessageQuery

logger = structlog.get_logger(__name__)

# Of the two seconds that a page has.
BUDGET_S: Final = 1.0
BUDGET_S_OF_ONE: Final = 1.4
NOTHING_SEARCHED: Final = MessagePage((), total_count=0, is_complete=False, searched_count=0)


def find(query: MessageQuery) -> MessagePage:
    """Return a page of what matches: the waiting in queue order, the dead newest first.

    What needs the database while that is away is found by none and not complete. Raises
    redis.RedisError, and ValueError for a state that is none.
    """
    if query.state not in STATES:
        raise ValueError(f"There is no state {query.state!r}; there are {', '.join(STATES)}.")
    try:
        if query.state == DONE:
            return NOTHING_SEARCHED if is_database_away() else find_attempts(query)
        if query.state == RUNNING:
            return _page_of_running(query)
        if quorum_broker() is not None:
            return _page_without_a_list(query)
        return _page_at_broker(query)
    except (DatabaseAway, Error) as exc:
        logger.warning("messages not searched", error=str(exc))
        return NOTHING_SEARCHED


def get(message_id: str) -> MessageDetail | None:
    """Return one message by its key in Redis, at once, or by its id; None when there is none.

    Where time ran out before it was found, that is all that is returned. Raises redis.RedisError.
    """
    progress = Progress(BUDGET_S_OF_ONE)
    current = _current(message_id, progress)
    attempts, is_history_known = _attempts(current.message_id if current else message_id)
    is_complete = progress.is_complete and is_history_known
    if current is None and not attempts and is_complete:
        return None
    subject = current.subject if current is not None else Subject()
    if subject == Subject() and attempts:
        subject = attempts[0].subject
    return MessageDetail(
        message_id=current.message_id if current is not None else message_id,
        current=current,
        attempts=attempts,
        subject=subject,
        is_complete=is_complete,
    )


def _page_without_a_list(query: MessageQuery) -> MessagePage:
    """Return what rows know, where the broker lets nobody list messages: what died, and when."""
    if query.state != DEAD:
        return MessagePage((), total_count=0, is_complete=True, searched_count=0)
    if is_database_away():
        return NOTHING_SEARCHED
    return find_attempts(replace(query, outcome=MessageOutcome.DEAD))


def _page_at_broker(query: MessageQuery) -> MessagePage:
    first = (query.page - 1) * PAGE_SIZE
    progress = Progress(BUDGET_S)
    if query.state in {READY, DEAD} and not query.is_filtered:
        stretch, count = locate_page(query, first, PAGE_SIZE)
        searched_count = count
    else:
        found = locate(query, progress)
        stretch, count = found[first : first + PAGE_SIZE], len(found)
        searched_count = progress.searched_count
    return MessagePage(
        messages=_messages(stretch),
        total_count=count,
        is_complete=progress.is_complete,
        searched_count=searched_count,
        page=query.page,
    )


def _messages(located: Sequence[Located]) -> tuple[BrokerMessage, ...]:
    """Read the payloads that are still to be read; who has moved on meanwhile is left out."""
    with broker_client().pipeline(transaction=False) as pipeline:
        for one in located:
            if one.raw is None:
                pipeline.hget(_payloads(one.ref), one.ref.key)
        answers = iter(pipeline.execute())
    raws = [next(answers) if one.raw is None else one.raw for one in located]
    subjects = subjects_of(
        Addressed(payload.message_id, payload.actor, payload.args)
        for payload in map(decoded, raws)
        if payload is not None
    )
    messages = (
        _message(one, raw) for one, raw in zip(located, raws, strict=True) if raw is not None
    )
    return tuple(replace(one, subject=subjects.get(one.message_id, Subject())) for one in messages)


def _message(one: Located, raw: bytes) -> BrokerMessage:
    return message_of(
        raw,
        key=one.ref.key,
        queue=one.ref.queue,
        state=one.ref.state,
        died_at_ms=one.died_at_ms,
        is_held=one.is_held,
    )


def _payloads(ref: MessageRef) -> str:
    keys = QueueKeys(ref.queue)
    if ref.state == READY:
        return keys.ready_payloads
    return keys.dead_payloads if ref.state == DEAD else keys.delayed_payloads


def _page_of_running(query: MessageQuery) -> MessagePage:
    running = running_messages()
    wanted = [one for one in running if is_wanted(one, query)]
    first = (query.page - 1) * PAGE_SIZE
    return MessagePage(
        messages=tuple(wanted[first : first + PAGE_SIZE]),
        total_count=len(wanted),
        is_complete=True,
        searched_count=len(running),
        page=query.page,
    )


def _current(message_id: str, progress: Progress) -> BrokerMessage | None:
    """Return where a message is now: first where a look is cheap, then by searching."""
    running = [one for one in running_messages() if one.message_id == message_id]
    if running:
        return running[0]
    if quorum_broker() is not None:
        return None
    queues = known_queues()
    located = _by_key(message_id, queues) or _searched(message_id, queues, progress)
    messages = _messages([located]) if located is not None else ()
    return messages[0] if messages else None


def _by_key(key: str, queues: Sequence[str]) -> Located | None:
    places = [MessageRef(queue, state, key) for queue in queues for state in (DEAD, READY, DELAYED)]
    with broker_client().pipeline(transaction=False) as pipeline:
        for ref in places:
            pipeline.hget(_payloads(ref), key)
        answers = pipeline.execute()
    found = (
        _located(ref, raw) for ref, raw in zip(places, answers, strict=True) if raw is not None
    )
    return next(found, None)


def _searched(message_id: str, queues: Sequence[str], progress: Progress) -> Located | None:
    criteria = Criteria(text=message_id.lower())
    for held in held_messages(queues, criteria):
        if _is_it(held.raw, message_id):
            return held
    for place in (DEAD, DELAYED, READY):
        for queue in queues:
            if progress.is_over():
                return None
            for one in scan(queue, place, criteria, progress=progress, wants_payload=True):
                if _is_it(one.raw, message_id):
                    died_at_ms = one.figures[0] if place == DEAD else None
                    ref = MessageRef(queue, place, one.key)
                    return _located(ref, one.raw)._replace(died_at_ms=died_at_ms)
    return None


def _is_it(raw: bytes | None, message_id: str) -> bool:
    payload = decoded(raw)
    return payload is not None and payload.message_id == message_id


def _located(ref: MessageRef, raw: bytes) -> Located:
    """Return a message's place, the delayed ones told apart."""
    payload = decoded(raw)
    if ref.state == DELAYED and payload is not None and payload.retry_count:
        ref = ref._replace(state=RETRYING)
    return Located(ref, raw=raw)


def _attempts(message_id: str) -> tuple[tuple[AttemptLine, ...], bool]:
    """Return the attempts, and whether they could be read."""
    if is_database_away():
        return (), False
    try:
        return attempts_of(message_id), True
    except Error as exc:
        logger.warning("attempts not read", error=str(exc))
        return (), False
