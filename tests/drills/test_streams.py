"""Valkey away under open streams: every viewer has the present state soon after its return."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.drills.harness import IS_FULL, full_only, marks, now, outage_s, pass_time

if TYPE_CHECKING:
    from tests.drills.harness import Drill

pytestmark = [*marks("web", "worker", "scheduler"), full_only]


def test_viewers_have_the_present_state_after_an_outage(drill: Drill) -> None:
    """Runs end meanwhile, which nobody can be told of: the rows know, and the streams read them."""
    sites = drill.sites_at_work(8)
    audience = drill.watch(sites, each=15 if IS_FULL else 2)
    drill.valkey.stop()
    pass_time(outage_s(75, 5))
    drill.valkey.start()
    back_at = now()
    reopened = sum(viewer.opened_count > 1 for viewer in audience.viewers)
    drill.finish("Valkey away under streams", since=back_at, cuts_allowed=2, reopened=reopened)
