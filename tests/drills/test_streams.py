"""Valkey away under open streams: every viewer has the present state soon after its return."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.drills.harness import IS_FULL, SIZE, marks, now, outage_s, pass_time

if TYPE_CHECKING:
    from tests.drills.harness import Drill

pytestmark = marks("web", "worker", "scheduler")


def test_viewers_have_the_present_state_after_an_outage(drill: Drill) -> None:
    """Runs end meanwhile, which nobody can be told of: the rows know, and the streams read them."""
    sites = drill.sites_at_work(8 if IS_FULL else 4, size=SIZE if IS_FULL else 2 * SIZE)
    audience = drill.watch(sites, each=15 if IS_FULL else 2)
    drill.valkey.stop()
    away_at = now()
    pass_time(outage_s(75, 4))
    drill.valkey.start()
    back_at = now()
    ended_meanwhile = drill.runs.filter(finished_at__range=(away_at, back_at)).count()
    reopened = sum(viewer.opened_count > 1 for viewer in audience.viewers)
    drill.finish(
        "Valkey away under streams",
        since=back_at,
        cuts_allowed=2,
        reopened=reopened,
        ended_meanwhile=ended_meanwhile,
    )
    assert ended_meanwhile
