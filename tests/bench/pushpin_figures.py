"""What a Pushpin before one web process holds: the same crowd as in `stream_figures.py`.

What it costs is told for each process, since Pushpin, the viewers and the web process share the
machine here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psutil
from django.conf import settings

from integrations.models import GitHubIntegration
from project.grip import read_grip_proxies
from tests.bench.crowd_control import CrowdControl
from tests.bench.stream_figures import FEW, LARGE, STREAMS, TEAMS, Web, lags_of
from tests.bench.stream_teams import REVISION, make_teams
from tests.bench.table import Row, percentile
from tests.pushpin import Pushpin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.bench.stream_teams import Seat, Teams

# Of streams that the web process has answered for, Pushpin 1.36 refuses what is beyond a hundred on
# their way to its handler ("500 Internal Server Error"). Behind nginx the web process takes those.
AT_ONCE: Final = 50
# Pushpin 1.36 ends a stream now and then that it has just let in ("message out of sequence", where
# condure's sign of life comes between its proxy and its handler): browsers open it anew.
AGAIN_AFTER_S: Final = 1
TIMEOUT_S: Final = 200
ROUNDS: Final = 8
LARGE_ROUNDS: Final = 2
# Long enough to see what renewing the holds costs, once in 60 to 90 s each.
STEADY_S: Final = 10


@dataclass(frozen=True)
class Cost:
    """What has been used, in seconds of CPU."""

    web_s: float
    pushpin_s: float

    def since(self, before: Cost) -> Cost:
        return Cost(self.web_s - before.web_s, self.pushpin_s - before.pushpin_s)

    def __str__(self) -> str:
        return f"{self.web_s:.1f} s of CPU of web, {self.pushpin_s:.1f} s of Pushpin"


def measure(directory: Path) -> list[Row]:
    """Return the rows, on the database that the settings name."""
    teams = make_teams(team_count=TEAMS, people_count=STREAMS, large_count=LARGE)
    pushpin = Pushpin()
    os.environ["GRIP_URL"] = pushpin.grip_url
    # This process publishes, as a worker does.
    settings.GRIP_PROXIES = read_grip_proxies(pushpin.grip_url)
    try:
        with Web(directory).running() as web:
            pushpin.start(web_ports=[web.port])
            measuring = _Measuring(web, pushpin)
            rows = measuring.held(teams) + measuring.one_large_team(teams)
            assert "Traceback" not in web.output, web.output[-3000:]
            return rows
    finally:
        pushpin.remove()


class _Measuring:
    def __init__(self, web: Web, pushpin: Pushpin) -> None:
        self._web, self._pushpin = web, pushpin

    def held(self, teams: Teams) -> list[Row]:
        """Open all of them; what they cost, and what ten of them hear meanwhile."""
        with CrowdControl() as crowd:
            self._open(crowd, teams.seats[:AT_ONCE])
            crowd.ask("hang_up")
            web_before, pushpin_before = self._web.load(), self._pushpin_kib()
            opened, cost = self._during(lambda: self._open(crowd, teams.seats))
            _, steady = self._during(lambda: crowd.ask("stay", seconds=STEADY_S))
            stayed = crowd.ask("stay", seconds=0)
            web_after, pushpin_after = self._web.load(), self._pushpin_kib()
            connections = self._web_connections()
            self._open(crowd, teams.seats[: FEW // 2])
            lags = self._few_hear(crowd, teams.seats[0])
        rate = opened["opened"] / opened["took_s"]
        web_kib = (web_after.resident_kib - web_before.resident_kib) / STREAMS
        return [
            Row(
                f"streams opened and held by Pushpin, {STREAMS:,} over {TEAMS:,} teams",
                f"{rate:,.0f} a second ({opened['took_s']:.1f} s, {cost}, p95 "
                f"{opened['wait_p95_s'] * 1000:.0f} ms), {stayed['again']} ended and came again, "
                f"{opened['lost']} lost" + "".join(f": {why}" for why in opened["why"]),
                "all, 0 lost",
                "-",
                opened["opened"] == STREAMS == stayed["open"] and not stayed["again"],
            ),
            Row(
                f"{STREAMS:,} held streams: web, Pushpin",
                f"{web_kib:.1f} KiB each, {web_after.threads} threads, {connections} connections; "
                f"{(pushpin_after - pushpin_before) / STREAMS:.1f} KiB each; in {STEADY_S} s "
                f"{steady}",
                "30 KiB and 20 threads of web",
                "-",
                web_kib <= 30 and web_after.threads <= 20,
            ),
            Row(
                f"event to {FEW} viewers while {STREAMS:,} are held (p95, the last of them)",
                f"{percentile(lags, 95) * 1000:.1f} ms (median {percentile(lags, 50) * 1000:.1f} "
                "ms)",
                "50 ms",
                "-",
                percentile(lags, 95) <= 0.050,
            ),
        ]

    def one_large_team(self, teams: Teams) -> list[Row]:
        with CrowdControl() as crowd:
            opened = self._open(crowd, teams.large)
            assert opened["opened"] == LARGE, (opened, self._web.output[-3000:])
            integration = GitHubIntegration.objects.get(team=teams.large[0].team)
            # Pushpin asks once more about the first streams of each channel.
            again_count = crowd.ask("stay", seconds=5)["again"]
            lags: list[float] = []

            def move() -> None:
                for _ in range(LARGE_ROUNDS):
                    lags.extend(lags_of(crowd, integration, count=LARGE))

            _, cost = self._during(move)
        each = Cost(cost.web_s / len(lags), cost.pushpin_s / len(lags))
        return [
            Row(
                f"event to {LARGE:,} viewers of one team whom Pushpin holds, the last one",
                f"{max(lags) * 1000:.0f} ms (median {percentile(lags, 50) * 1000:.0f} ms, "
                + (f"{again_count} ended and came again, " if again_count else "")
                + f"{each.web_s:.2f} s of CPU of web, {each.pushpin_s:.2f} s of Pushpin)",
                "500 ms",
                "-",
                max(lags) <= 0.5 and not again_count,
            )
        ]

    def _few_hear(self, crowd: CrowdControl, seat: Seat) -> list[float]:
        integration = GitHubIntegration.objects.get(team=seat.team)
        lags = []
        for number in range(ROUNDS):
            lags += lags_of(crowd, integration, count=FEW)
            crowd.ask("stay", seconds=0.05 + number % 7 * 0.03)
        return lags

    def _open(self, crowd: CrowdControl, seats: list[Seat]) -> dict[str, Any]:
        return crowd.ask(
            "open",
            port=self._pushpin.port,
            requests=[seat.wanted(after_id=REVISION) for seat in seats],
            at_once=AT_ONCE,
            timeout_s=TIMEOUT_S,
            again_after_s=AGAIN_AFTER_S,
        )

    def _during(self, act: Callable[[], Any]) -> tuple[Any, Cost]:
        before = self._cost()
        found = act()
        return found, self._cost().since(before)

    def _cost(self) -> Cost:
        used = [process.cpu_times() for process in self._pushpin.processes()]
        return Cost(self._web.load().cpu_s, sum(one.user + one.system for one in used))

    def _pushpin_kib(self) -> float:
        return sum(one.memory_info().rss for one in self._pushpin.processes()) / 1024

    def _web_connections(self) -> int:
        return sum(
            each.laddr.port == self._web.port and each.status == psutil.CONN_ESTABLISHED
            for each in psutil.net_connections("tcp")
            if each.laddr
        )
