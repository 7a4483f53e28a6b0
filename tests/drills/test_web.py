"""Web processes killed under open streams, and with clicks on their way."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import requests
from django.urls import reverse

from integrations.constants import SYNC_STATUS_PENDING
from integrations.models import StatusTransition, SyncRun
from tests.drills.harness import IS_FULL, LATENCY_MS, SIZE, marks, now, outage_s, pass_time
from tests.drills.viewers import admin_of
from tests.kills import Site
from tests.processes import wait_until

if TYPE_CHECKING:
    from integrations.models import User
    from tests.drills.harness import Drill

pytestmark = marks("web", "worker", "scheduler")

KILLS = 3 if IS_FULL else 1
CLICKS = 24 if IS_FULL else 12


def test_streams_of_a_killed_web_process_go_on_in_the_next(drill: Drill) -> None:
    # Long enough to be under way when the next web process is there.
    sites = drill.sites_at_work(size=2 * SIZE * (1 + KILLS))
    audience = drill.watch(sites, each=5 if IS_FULL else 2)
    for _ in range(KILLS):
        drill.stack.web.kill()
        pass_time(outage_s(2, 0.5))
        drill.stack.start(["web"])
        back_at = now()
        audience.wait_open()
    reopened = sum(viewer.opened_count > KILLS for viewer in audience.viewers)
    drill.finish("web killed", since=back_at, kills=KILLS, reopened=reopened)
    assert reopened == len(audience)


def test_a_click_in_flight_leaves_nothing_or_a_whole_run(drill: Drill) -> None:
    """Each click had its answer, or its connection broke: then the run is there, or nothing is."""
    sites = [Site.make(drill.sandbox, size=SIZE, latency_ms=LATENCY_MS) for _ in range(CLICKS)]
    people = [admin_of(site.integration.team) for site in sites]
    begun = threading.Semaphore(0)

    def click(site: Site, cookies: dict[str, str]) -> bool:
        begun.release()
        try:
            answer = requests.post(
                f"{drill.stack.url}"
                f"{reverse('github_members_sync', args=[site.integration.team.slug])}",
                cookies=cookies,
                headers={"X-CSRFToken": "t" * 32, "Referer": drill.stack.url, "HX-Request": "true"},
                timeout=20,
            )
        except requests.RequestException:
            return False
        assert answer.ok, (answer.status_code, answer.text[:300])
        return True

    def cookies_of(person: User) -> dict[str, str]:
        with drill.stack.browser_session(person) as session:
            return dict(session.cookies.get_dict())

    cookies = [cookies_of(person) for person in people]
    with ThreadPoolExecutor(CLICKS) as pool:
        answers = [pool.submit(click, *pair) for pair in zip(sites, cookies, strict=True)]
        begun.acquire()
        # Some have their run, the others are on their way.
        wait_until(lambda: SyncRun.objects.count() >= CLICKS // 3)
        drill.stack.web.kill()
        killed_at = now()
    drill.stack.start(["web"])
    answered = [future.result() for future in answers]
    for site, was_answered in zip(sites, answered, strict=True):
        site.run = SyncRun.objects.filter(integration=site.integration).first()
        assert site.run is not None or not was_answered
        if site.run is None:
            site.integration.refresh_from_db()
            assert site.integration.member_sync_status == SYNC_STATUS_PENDING
            assert not StatusTransition.objects.filter(team=site.integration.team).exists()
    drill.sites = [site for site in sites if site.run is not None]
    drill.finish(
        "web killed, clicks in flight",
        since=killed_at,
        within_s=30,
        clicks=CLICKS,
        answered=sum(answered),
        left_nothing=CLICKS - len(drill.sites),
    )
