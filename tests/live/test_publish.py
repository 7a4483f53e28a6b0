"""What publishing costs a sync: nothing that would fail it, and little of its time."""

from __future__ import annotations

import json
import logging
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis
from django.conf import settings as django_settings

from integrations.constants import RunTrigger
from integrations.live import publish
from integrations.services.runs import start_run
from tests.factories import GitHubIntegrationFactory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from integrations.models import GitHubIntegration, Team
    from tests.processes import Valkey

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def integration(acme: Team) -> GitHubIntegration:
    found: GitHubIntegration = GitHubIntegrationFactory(team=acme)
    return found


@pytest.fixture
def silent_redis(settings: Any) -> Iterator[None]:
    """Something that takes connections and never says a word, as a Redis that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.LIVE_REDIS_URL = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        yield


class TestPublishing:
    def test_it_says_what_moved_and_nothing_beside(self, integration: GitHubIntegration) -> None:
        with (
            redis.Redis.from_url(django_settings.LIVE_REDIS_URL) as client,
            client.pubsub(ignore_subscribe_messages=True) as pubsub,
        ):
            pubsub.subscribe(publish.redis_channel())
            pubsub.get_message(timeout=5)
            start_run(integration, trigger=RunTrigger.MANUAL)
            message = pubsub.get_message(timeout=5)
        assert message is not None
        published = json.loads(message["data"])
        assert published["channel"] == f"team-{integration.team_id}"
        assert (published["event_type"], published["pub_id"]) == ("member-sync", 1)
        assert 'data-state="pending"' in published["data"]

    def test_a_redis_that_hangs_is_not_waited_for_again_and_again(
        self, silent_redis: None, integration: GitHubIntegration
    ) -> None:
        begun = time.monotonic()
        for _ in range(20):
            publish.publish_roster(integration.pk)
        assert time.monotonic() - begun < 2 * publish.TIMEOUT_S

    def test_a_redis_that_is_away_costs_one_line_and_is_used_when_it_is_back(
        self, integration: GitHubIntegration, valkey: Valkey, caplog: pytest.LogCaptureFixture
    ) -> None:
        publish.publish_roster(integration.pk)
        valkey.stop()
        with caplog.at_level(logging.WARNING, logger=publish.__name__):
            for _ in range(20):
                publish.publish_roster(integration.pk)
        valkey.start()
        # The line that says so when it is back may be of a test before this one.
        warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
        assert len([r for r in warnings if r.name == publish.__name__]) == 1
        with (
            redis.Redis.from_url(django_settings.LIVE_REDIS_URL) as client,
            client.pubsub(ignore_subscribe_messages=True) as pubsub,
        ):
            pubsub.subscribe(publish.redis_channel())
            pubsub.get_message(timeout=5)
            publish.publish_roster(integration.pk)
            assert pubsub.get_message(timeout=5) is not None

    def test_a_template_that_is_broken_fails_no_sync(
        self, integration: GitHubIntegration, settings: Any, tmp_path: Path
    ) -> None:
        broken = tmp_path / "integrations/partials/member_sync_progress.html"
        broken.parent.mkdir(parents=True)
        broken.write_text("{% nonsense %}")
        [engine] = settings.TEMPLATES
        settings.TEMPLATES = [{**engine, "DIRS": [tmp_path]}]
        assert start_run(integration, trigger=RunTrigger.MANUAL).run.is_active
