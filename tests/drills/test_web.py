"""Web processes killed under open streams, and with clicks on their way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import requests
from django.urls import reverse

from integrations.constants import SYNC_STATUS_PENDING
from integrations.models import StatusTransition, SyncRun
from tests.drills.harness import (
    IS_FULL,
    LATENCY_MS,
    OVER_WITHIN_AFTER_DEATH_S,
    SIZE,
    marks,
    now,
    outage_s,
    pass_time,
)
from tests.drills.viewers import admin_of
from tests.kills import Site
from tests.processes import wait_until

if TYPE_CHECKING:
    from tests.drills.harness import Drill

pytestmark = marks("web", "worker", "scheduler")

SITES = 8 if IS_FULL else 6
KILLS = 3 if IS_FULL else 1
CLICKS = 24 if IS_FULL else 12


def test_streams_of_a_killed_web_process_go_on_in_the_next(drill: Drill) -> None:
    # Long enough to be under way when the next web process is there.
    sites = drill.sites_at_work(SITES, size=4 * SIZE)
    audience = drill.watch(sites, each=15 if IS_FULL else 2)
    for kills in range(1, KILLS + 1):
        drill.stack.web.kill()
        pass_time(outage_s(2, 0.5))
        drill.stack.start(["web"])
        back_at = now()
        audience.wait_open(times=kills + 1)
    reopened = sum(viewer.opened_count > KILLS for viewer in audience.viewers)
    drill.finish("web killed", since=back_at, kills=KILLS, reopened=reopened)
    assert reopened == len(audience)


def click(address: str, cookies: dict[str, str]) -> bool:
    """Ask for a sync; return whether an answer came. Any that comes must be a good one."""
    headers = {"X-CSRFToken": "t" * 32, "Referer": address, "HX-Request": "true"}
    try:
        answer = requests.post(address, cookies=cookies, headers=headers, timeout=20)
    except requests.RequestException:
        return False
    assert answer.ok, (answer.status_code, answer.text[:300])
    return True


def click_of(drill: Drill, site: Site) -> tuple[str, dict[str, str]]:
    """Return what a click on a site's button sends."""
    team = site.integration.team
    with drill.stack.browser_session(admin_of(team)) as session:
        address = f"{drill.stack.url}{reverse('github_members_sync', args=[team.slug])}"
        return address, dict(session.cookies.get_dict())


def run_of_click(site: Site, *, was_answered: bool) -> SyncRun | None:
    """Return the run that a click left; without one it must have left nothing at all."""
    run = SyncRun.objects.filter(integration=site.integration).first()
    assert run is not None or not was_answered
    if run is None:
        site.integration.refresh_from_db()
        assert site.integration.member_sync_status == SYNC_STATUS_PENDING
        assert not StatusTransition.objects.filter(team=site.integration.team).exists()
    return run


def test_a_click_in_flight_leaves_nothing_or_a_whole_run(drill: Drill) -> None:
    sites = [Site.make(drill.sandbox, size=SIZE, latency_ms=LATENCY_MS) for _ in range(CLICKS)]
    clicks = [click_of(drill, site) for site in sites]
    with ThreadPoolExecutor(CLICKS) as pool:
        answers = [pool.submit(click, *one) for one in clicks]
        # Some have their run, the others are on their way.
        wait_until(lambda: SyncRun.objects.count() >= CLICKS // 3)
        drill.stack.web.kill()
        killed_at = now()
    drill.stack.start(["web"])
    answered = [answer.result() for answer in answers]
    for site, was_answered in zip(sites, answered, strict=True):
        site.run = run_of_click(site, was_answered=was_answered)
    drill.sites = [site for site in sites if site.run is not None]
    drill.finish(
        "web killed, clicks in flight",
        since=killed_at,
        within_s=OVER_WITHIN_AFTER_DEATH_S,
        clicks=CLICKS,
        answered=sum(answered),
        left_nothing=CLICKS - len(drill.sites),
    )
