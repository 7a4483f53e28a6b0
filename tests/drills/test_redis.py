"""Redis away, stalled, restarted or emptied while organisations sync."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis

from integrations.constants import MessageOutcome
from integrations.models import MessageAttempt
from tests.drills.harness import MARKS, enqueue, message_of, now, outage_s, pass_time
from tests.processes import wait_until

if TYPE_CHECKING:
    from tests.drills.harness import Drill

pytestmark = MARKS


def test_jobs_that_fail_while_redis_is_away_are_tried_again(drill: Drill) -> None:
    sites = drill.sites_at_work()
    drill.valkey.stop()
    for site in sites[:3]:
        site.organization.fault("server_error", times=1)
    pass_time(outage_s(12, 4))
    drill.valkey.start()
    drill.finish("a job fails, Redis away", since=now(), cuts_allowed=2)


def test_delayed_messages_outlive_a_restart(drill: Drill) -> None:
    drill.sites_at_work()
    ids = [enqueue(message_of(drill.unsent_run()), delay_ms=3_000).message_id for _ in range(3)]
    drill.valkey.stop()
    pass_time(outage_s(5, 5))
    drill.valkey.start()
    back_at = now()
    drill.finish("delayed messages, Redis restarted", since=back_at, delayed=len(ids))
    done: Any = MessageAttempt.objects.filter(message_id__in=ids, outcome=MessageOutcome.DONE)
    wait_until(lambda: done.values("message_id").distinct().count() == len(ids))


def test_a_stall_loses_nothing(drill: Drill) -> None:
    drill.sites_at_work()
    waiting = drill.unsent_run()
    enqueue(message_of(waiting))
    drill.valkey.stall()
    try:
        pass_time(outage_s(15, 6))
    finally:
        drill.valkey.go_on()
    drill.finish("Redis stalled", since=now())


def test_an_emptied_redis_loses_nothing(drill: Drill) -> None:
    drill.sites_at_work()
    with redis.Redis.from_url(drill.valkey.url) as client:
        queued = drill.runs.filter(claim_count=0).count()
        client.flushall()
    drill.finish("Redis flushed", since=now(), queued=queued)
