"""Tell every web process what moved, after the commit. A Redis that is down costs a log line.

Viewers then catch up from the rows (live/watch.py): publishing never fails a sync.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Final

import redis
import structlog
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from integrations.constants import RunKind
from integrations.live.channels import channel_of
from integrations.live.fragments import (
    member_sync_event,
    repository_sync_event,
    roster_event,
)
from integrations.models import GitHubIntegration, SyncRun

if TYPE_CHECKING:
    from integrations.live.fragments import LiveEvent

logger = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S: Final = 1
TIMEOUT_S: Final = 2


def redis_channel() -> str:
    """Return the Redis channel that all processes of this installation share."""
    return f"{settings.BROKER_NAMESPACE}:live"


def publish_member_sync(integration_id: int) -> None:
    """Publish where an integration's member sync stands now."""
    run = (
        SyncRun.objects.select_related("integration")
        .filter(integration=integration_id, kind=RunKind.MEMBERS)
        .first()
    )
    if run is not None:
        _publish(member_sync_event(run.integration, run))


def publish_repository_sync(repository_id: int) -> None:
    """Publish where a repository's sync stands now."""
    run = (
        SyncRun.objects.select_related("integration", "repository")
        .filter(repository=repository_id)
        .first()
    )
    if run is not None and run.repository is not None:
        team_id = run.integration.team_id
        _publish(repository_sync_event(run.repository, run, team_id=team_id))


def publish_roster(integration_id: int) -> None:
    """Publish that somebody changed the roster by hand."""
    integration = GitHubIntegration.objects.filter(pk=integration_id).first()
    if integration is not None:
        _publish(roster_event(integration))


def publish_recheck(team_id: int) -> None:
    """Have every open stream of a team check again whether its person may listen."""
    _send({"channel": channel_of(team_id), "recheck": True})


def _publish(event: LiveEvent) -> None:
    _send(
        {
            "channel": channel_of(event.team_id),
            "event_type": event.type,
            "data": event.data,
            "pub_id": event.revision,
        }
    )


@cache
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )


def _send(message: dict[str, object]) -> None:
    try:
        _client(settings.LIVE_REDIS_URL).publish(redis_channel(), json.dumps(message))
    except redis.RedisError as exc:
        logger.warning("live event not published", channel=message["channel"], error=str(exc))
