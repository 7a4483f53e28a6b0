"""What one machine holds: nights of up to ten thousand teams, played with measured costs.

The costs are measured with a real worker. The simulation is held to a real sweep of the same jobs
first: figures for sizes that no machine here could play are worth what that comparison says.
"""

from __future__ import annotations

import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import psutil
from django.conf import settings

from integrations import tasks
from integrations.constants import SCHEDULE_HOURS, RunTrigger
from integrations.github import graphql, organization_people
from integrations.github.http import GitHubClient
from integrations.models import GitHubIntegration, SyncRun
from integrations.services.runs import start_run
from tests.bench.night import HOUR_S, Costs, Job, Night, play
from tests.bench.table import Row, Samples, percentile
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.bench.rows import Bench
    from tests.sandbox_control import SandboxOrganization

# Of a worker's twelve, those that a queue has: dramatiq_queue_prefetch in Procfile.
THREADS: Final = 4
# Two kinds of organisation tell a run's cost from a page's.
FEW_PAGES, MANY_PAGES = (60, 1), (12, 10)  # (organisations, pages of each)
PLAYED_COUNT: Final = 240
PLAYED_LATENCY_MS: Final = 100
REQUESTS_TIMED: Final = 80
TRUE_WITHIN: Final = 1.25
# As GitHub answers a page of a hundred with e-mail: some hundred milliseconds.
GITHUB_LATENCY_S: Final = 0.3
SIZES: Final = (1, 100, 1_000, 10_000)
PEOPLE: Final = 100
LARGE_PEOPLE: Final = 50_000


def scale(bench: Bench) -> list[Row]:
    """Measure the costs, hold the simulation to a real sweep, and play the nights."""
    bench.stack.start(["worker", "scheduler"])
    costs = _costs(bench)
    rows = [_truth(bench, costs)]
    as_on_github = replace(costs, latency_s=GITHUB_LATENCY_S, page_latency_s=GITHUB_LATENCY_S)
    rows += [_night(as_on_github, team_count) for team_count in SIZES]
    return [*rows, _all_at_once(as_on_github), _one_large(as_on_github), _shared(as_on_github)]


def _costs(bench: Bench) -> Costs:
    """Return what a run and a page cost, from two kinds of organisation; GitHub takes no time."""
    cpu_s, requests = [], []
    for count, pages in (FEW_PAGES, MANY_PAGES):
        _, each_cpu_s, each_requests = _sweep(bench, count=count, people=pages * PEOPLE)
        cpu_s.append(each_cpu_s)
        requests.append(each_requests)
    page_cpu_s = max(0.0, (cpu_s[1] - cpu_s[0]) / (MANY_PAGES[1] - FEW_PAGES[1]))
    return Costs(
        run_cpu_s=max(0.0, cpu_s[0] - page_cpu_s),
        page_cpu_s=page_cpu_s,
        run_requests=requests[0] - FEW_PAGES[1],
        latency_s=0.0,
        page_latency_s=0.0,
    )


def _sweep(
    bench: Bench, *, count: int, people: int, latency_ms: float = 0
) -> tuple[float, float, float]:
    """Read organisations for the second time, as every night but the first.

    Return how long it took in seconds, and the worker's CPU seconds and requests of each.
    """
    organizations = [_organization(bench, people, latency_ms) for _ in range(count)]
    integrations = [bench.connected(organization) for organization in organizations]
    mine = GitHubIntegration.objects.filter(pk__in=[one.pk for one in integrations])
    for trigger in (RunTrigger.COMMAND, RunTrigger.SCHEDULE):
        # Who else belongs to them is read after each sync, but not twice in half a minute.
        mine.update(people_read_at=None)
        asked_before = sum(len(organization.requests()) for organization in organizations)
        cpu_before_s, begun_s = _cpu_s(bench), time.perf_counter()
        for integration in integrations:
            # Sent as soon as it is begun, as everywhere: the ticker would send it as well.
            tasks.sync_github_members_later(start_run(integration, trigger=trigger).run)
        wait_until(partial(_is_over, integrations), timeout_s=300)
        took_s = time.perf_counter() - begun_s
    asked = sum(len(organization.requests()) for organization in organizations) - asked_before
    return took_s, (_cpu_s(bench) - cpu_before_s) / count, asked / count


def _is_over(integrations: list[GitHubIntegration]) -> bool:
    """Say whether every sync has ended, and the reading of everybody else that follows it."""
    runs = SyncRun.objects.active().filter(integration__in=integrations)
    people = GitHubIntegration.objects.filter(
        pk__in=[one.pk for one in integrations], people_due_at__isnull=False
    )
    return not runs.exists() and not people.exists()


def _organization(bench: Bench, people: int, latency_ms: float) -> SandboxOrganization:
    organization = bench.sandbox.organization(size=people)
    if latency_ms:
        organization.slow_down(latency_ms)
    return organization


def _cpu_s(bench: Bench) -> float:
    """Return the CPU seconds that the worker and its processes have used."""
    parent = psutil.Process(bench.stack.worker.pid)
    times = [process.cpu_times() for process in (parent, *parent.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def _request_s(bench: Bench) -> tuple[float, float]:
    """Return how long a short answer and a page take, the stand-in GitHub's own work included.

    As many ask at once as a queue has threads.
    """
    organization = _organization(bench, PEOPLE, PLAYED_LATENCY_MS)
    client = GitHubClient(token=organization.token, api_url=settings.GITHUB_API_URL)

    def ask_short() -> object:
        return organization_people.invitations(client, organization.login)

    def ask_page() -> object:
        return graphql.member_page(
            client, organization=organization.login, after=None, first=PEOPLE, with_email=True
        )

    return _mean_s(ask_short), _mean_s(ask_page)


def _mean_s(ask: Callable[[], object]) -> float:
    def timed(_number: int) -> float:
        begun_s = time.perf_counter()
        ask()
        return time.perf_counter() - begun_s

    with ThreadPoolExecutor(THREADS) as pool:
        return statistics.mean(pool.map(timed, range(REQUESTS_TIMED)))


def _truth(bench: Bench, costs: Costs) -> Row:
    """Play one sweep for real and simulated: a page of people each, all due at once."""
    real_s, _, _ = _sweep(bench, count=PLAYED_COUNT, people=PEOPLE, latency_ms=PLAYED_LATENCY_MS)
    short_s, page_s = _request_s(bench)
    played = play(
        [Job(0, PEOPLE, number) for number in range(PLAYED_COUNT)],
        costs=replace(costs, latency_s=short_s, page_latency_s=page_s),
        processes=1,
        threads=THREADS,
    )
    ratio = max(real_s, played.over_s) / min(real_s, played.over_s)
    return Row(
        f"the simulated night against a real one ({PLAYED_COUNT} teams at once)",
        f"{played.over_s:.1f} s simulated, {real_s:.1f} s real "
        f"({costs.run_cpu_s * 1000:.0f} ms of CPU a run, {costs.page_cpu_s * 1000:.0f} ms a page, "
        f"{costs.run_requests:.1f} requests beside the pages)",
        f"{TRUE_WITHIN} x apart",
        "-",
        ratio <= TRUE_WITHIN,
        Samples("x apart", TRUE_WITHIN, [ratio]),
    )


def _jobs(team_count: int, *, seed: int = 7) -> list[Job]:
    """A hundred people a team, spread over the window as services/schedule.py spreads them."""
    chosen = random.Random(seed)
    return [
        Job(chosen.uniform(0, SCHEDULE_HOURS * HOUR_S), PEOPLE, number)
        for number in range(team_count)
    ]


def _night(costs: Costs, team_count: int) -> Row:
    jobs = _jobs(team_count)
    played = play(jobs, costs=costs, processes=1, threads=THREADS)
    late_s = percentile(played.waited_s, 99)
    return Row(
        f"simulated night: {team_count:,} teams, {team_count * PEOPLE:,} people, one worker",
        f"{_busy(played, jobs)}, begun {late_s:.1f} s late (p99)",
        "begun 60 s late (p99)",
        "-",
        late_s <= 60,
    )


def _busy(played: Night, jobs: Sequence[Job]) -> str:
    length_s = max(played.over_s, max(job.due_s for job in jobs), 1)
    return (
        f"{played.request_count:,.0f} requests, {played.cpu_s:,.0f} s of CPU "
        f"({100 * played.cpu_s / length_s:.1f} % of a core), "
        f"{100 * played.thread_s / length_s / THREADS:.1f} % of {THREADS} threads"
    )


def _all_at_once(costs: Costs) -> Row:
    """After a day's outage every team is due at the same moment."""
    jobs = [Job(0, PEOPLE, number) for number in range(SIZES[-1])]
    took = [
        play(jobs, costs=costs, processes=processes, threads=THREADS).over_s / 60
        for processes in (1, 2, 4)
    ]
    return Row(
        f"simulated: {SIZES[-1]:,} teams due at one moment, 1, 2 and 4 workers",
        " / ".join(f"{minutes:.0f}" for minutes in took) + " minutes",
        f"{SCHEDULE_HOURS} hours with one",
        "-",
        took[0] <= SCHEDULE_HOURS * 60,
    )


def _one_large(costs: Costs) -> Row:
    """A large organisation begins first, and five hundred small ones come right after it."""
    jobs = [Job(0, LARGE_PEOPLE, 0), *(Job(0.1, 20, number) for number in range(1, 501))]
    alone = play(jobs[1:], costs=costs, processes=1, threads=THREADS).over_s
    beside = play(jobs, costs=costs, processes=1, threads=THREADS)
    small_over_s = sorted(beside.ended_s)[-2]
    return Row(
        f"simulated: 500 small teams beside one of {LARGE_PEOPLE:,} people",
        f"over in {small_over_s:.0f} s, without it {alone:.0f} s; the large one in "
        f"{beside.over_s:.0f} s",
        "1.2 x",
        "-",
        small_over_s <= 1.2 * alone,
    )


def _shared(costs: Costs) -> Row:
    """A hundred organisations of 10,000 on one person's token: GitHub's hour is what counts."""
    shared, own = (
        play(
            [Job(0, 10_000, number if is_own else 0) for number in range(100)],
            costs=costs,
            processes=1,
            threads=THREADS,
        )
        for is_own in (False, True)
    )
    # 10,000 pages at 5,000 an hour: one wait for the second half.
    return Row(
        "simulated: a million people in 100 teams on one token, and on one each",
        f"{shared.over_s / 60:.0f} minutes ({shared.wait_count} waits for GitHub's hour), "
        f"{own.over_s / 60:.0f} minutes",
        "-",
        "-",
        shared.wait_count > 0 and own.wait_count == 0,
    )
