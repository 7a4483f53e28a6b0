"""Tell every web process what moved, after the commit.

Publishing never fails a sync. A Redis that is down costs a log line, one that hangs a fifth of the
time; viewers then catch up from the rows (live/watch.py).
"""

from __future__ import annotations

import json
import time
from functools import cache, partial
from typing import TYPE_CHECKING, Final

import redis
import structlog
from django.conf import settings
from django.db import transaction
from django.template import TemplateDoesNotExist, TemplateSyntaxError, VariableDoesNotExist
from django.urls import NoReverseMatch
from redis.backoff import NoBackoff
from redis.retry import Retry

from integrations.constants import RunKind
from integrations.live.channels import channel_of
from integrations.live.fragments import (
    member_sync_event,
    preview_event,
    repository_sync_event,
    roster_event,
)
from integrations.live.grip_publish import publish_to_pushpins
from integrations.models import GitHubIntegration, SyncRun

if TYPE_CHECKING:
    from collections.abc import Callable

    from integrations.live.fragments import LiveEvent

logger = structlog.get_logger(__name__)

TIMEOUT_S: Final = 1
# After a failure nothing is tried for this many times as long as the failure took.
REST_FACTOR: Final = 4
NOT_RENDERED: Final = (
    TemplateDoesNotExist,
    TemplateSyntaxError,
    VariableDoesNotExist,
    NoReverseMatch,
)


def redis_channel() -> str:
    """Return the Redis channel that all processes of this installation share."""
    return f"{settings.BROKER_NAMESPACE}:live"


def run_on_commit(run: SyncRun) -> None:
    """Publish where a run's subject stands, once the transaction is committed.

    Robust: whatever fails in telling is logged, and never undoes or fails what was done.
    """
    publishing = {
        RunKind.MEMBERS: partial(publish_member_sync, run.integration_id),
        RunKind.PREVIEW: partial(publish_preview, run.integration_id),
        RunKind.REPOSITORY: partial(publish_repository_sync, run.repository_id),
    }[RunKind(run.kind)]
    transaction.on_commit(publishing, robust=True)


def publish_preview(integration_id: int) -> None:
    """Publish where an integration's preview stands now."""
    run = (
        SyncRun.objects.select_related("integration")
        .filter(integration=integration_id, kind=RunKind.PREVIEW)
        .first()
    )
    if run is not None:
        _publish(partial(preview_event, run, team_id=run.integration.team_id))


def publish_member_sync(integration_id: int) -> None:
    """Publish where an integration's member sync stands now."""
    run = (
        SyncRun.objects.select_related("integration__team")
        .filter(integration=integration_id, kind=RunKind.MEMBERS)
        .first()
    )
    if run is not None:
        _publish(partial(member_sync_event, run.integration, run))


def publish_repository_sync(repository_id: int | None) -> None:
    """Publish where a repository's sync stands now."""
    run = (
        SyncRun.objects.select_related("integration", "repository")
        .filter(repository=repository_id)
        .first()
    )
    if run is not None and run.repository is not None:
        team_id = run.integration.team_id
        _publish(partial(repository_sync_event, run.repository, run, team_id=team_id))


def publish_roster(integration_id: int) -> None:
    """Publish that somebody changed the roster by hand."""
    integration = GitHubIntegration.objects.filter(pk=integration_id).first()
    if integration is not None:
        _publish(partial(roster_event, integration))


def publish_recheck(team_id: int) -> None:
    """Have every open stream of a team check again whether its person may listen."""
    _send({"channel": channel_of(team_id), "recheck": True})


def _publish(render: Callable[[], LiveEvent]) -> None:
    committed_at_s = time.time()
    try:
        event = render()
    except NOT_RENDERED:
        logger.exception("live event not rendered")
        return
    _send(
        {
            "channel": channel_of(event.team_id),
            "event_type": event.type,
            "data": event.data,
            "pub_id": event.revision,
            "committed_at_s": committed_at_s,
        }
    )
    publish_to_pushpins(event)


def _send(message: dict[str, object]) -> None:
    _wire_to(settings.LIVE_REDIS_URL).send(message)


class _Wire:
    """The way to Redis, which rests after a failure: a sync must not wait for it at every page."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(
            url,
            socket_connect_timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._is_broken = False
        self._rests_until_s = 0.0

    def send(self, message: dict[str, object]) -> None:
        begun_s = time.monotonic()
        if begun_s < self._rests_until_s:
            return
        try:
            self._client.publish(redis_channel(), json.dumps(message))
        except redis.RedisError as exc:
            now_s = time.monotonic()
            self._rests_until_s = now_s + REST_FACTOR * (now_s - begun_s)
            if not self._is_broken:
                logger.warning("live events not published", error=str(exc))
            self._is_broken = True
        else:
            if self._is_broken:
                logger.info("live events published again")
            self._is_broken = False


@cache
def _wire_to(url: str) -> _Wire:
    return _Wire(url)
