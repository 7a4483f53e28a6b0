"""How many workers the queues need: the formula's values, its band, and what bounds it."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from django.test import Client
from django.utils import timezone

from integrations import tasks
from integrations.ops import capacity, terminal
from integrations.ops import snapshot as snapshots
from integrations.ops.capacity import capacity_of
from integrations.ops.figures import (
    Budget,
    Capacity,
    GitHubFigures,
    ProcessFigures,
    QueueDepth,
    QueueFigures,
    RunFigures,
    Snapshot,
)
from integrations.ops.pieces import pieces_of
from integrations.telemetry.counters import counters, write
from integrations.telemetry.redis_clients import telemetry_client
from tests.factories import GitHubIntegrationFactory, UserFactory
from tests.processes import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable

    import dramatiq

NOW = timezone.now()


def worker(number: int = 0, **facts: Any) -> ProcessFigures:
    known: dict[str, Any] = {
        "id": f"w{number}", "kind": "worker", "name": f"host:{number}", "started_at": NOW,
        "seen_at": NOW, "is_gone": False, "memory_bytes": 1, "thread_count": 1,
        "worker_thread_count": 12, "prefetch_count": 4,
    }  # fmt: skip
    return ProcessFigures(**(known | facts))


def queue(
    name: str = "scheduled", *, ready: int = 0, held: int = 0, running: int = 0,
    arrived: int = 0, ran_s: float | None = 1.0, is_paused: bool = False,
) -> QueueFigures:  # fmt: skip
    return QueueFigures(
        QueueDepth(name, ready, 0, held, 0, None, 0), (), is_paused, "", running, None,
        arrived_count=arrived, mean_ran_s=ran_s,
    )  # fmt: skip


def needs(
    *queues: QueueFigures, workers: int = 1, due: int = 0, waiting: int = 0,
    budgets: tuple[Budget, ...] = (),
) -> Capacity:  # fmt: skip
    found = capacity_of(
        Snapshot(
            at=NOW,
            queues=queues,
            processes=tuple(worker(number) for number in range(workers)),
            runs=RunFigures(0, 0, waiting, 0, 0, 0, 0, (), (), due_night_count=due),
            github=GitHubFigures(0, 0, None, (), (), budgets, ()),
            inboxes=None,
        )
    )
    assert found is not None
    return found


def budget(remaining: int, *, reset_in: timedelta, number: int = 1) -> Budget:
    return Budget(number, "Acme", "acme", "octo", "graphql", 5_000, remaining, NOW + reset_in, NOW)


class TestTheFormula:
    def test_an_idle_product_needs_one_worker(self) -> None:
        found = needs(queue())
        assert (found.wanted_count, found.drained_in_s) == (1, 0.0)
        assert found.sentence == "1 worker is enough."

    def test_what_waits_is_to_be_gone_in_five_minutes(self) -> None:
        # 2,400 s of work on 4 threads a worker: 10 minutes with one, 5 with two.
        found = needs(queue(ready=1_200, ran_s=2.0))
        assert found.loads[0].drained_in_s == 600
        assert (found.wanted_count, found.drained_in_s) == (2, 300)
        assert found.sentence == "1 worker would take 10 min; 2 workers would drain this in 5 min."

    def test_what_arrives_keeps_threads_busy(self) -> None:
        # 600 a minute of 1 s each are 10 threads (Little), and at 70 % of them 14.3: 4 workers.
        found = needs(queue(arrived=600), workers=3)
        assert found.loads[0].busy_threads == pytest.approx(10)
        assert found.wanted_count == 4

    def test_a_queue_that_only_grows_is_told_as_that(self) -> None:
        found = needs(queue(ready=10, arrived=600))
        assert found.loads[0].drained_in_s is None
        assert found.sentence == ("1 worker can't keep up; 4 workers would drain this in 1 min.")

    def test_due_nights_wait_too_and_what_is_sent_comes_out_of_them(self) -> None:
        found = needs(queue(ready=200, arrived=500, ran_s=0.5), due=9_800)
        assert found.loads[0].waiting_count == 10_000
        assert found.loads[0].arrivals_a_second == 0
        # 5,000 s of work in 300 s: 16.7 threads.
        assert found.wanted_count == 5

    def test_what_a_worker_fetched_and_has_not_begun_waits(self) -> None:
        found = needs(queue(ready=5, held=6, running=4))
        assert found.loads[0].waiting_count == 7

    def test_all_queues_together_need_threads(self) -> None:
        # 12 of 12 threads may work on one queue: 2 workers for each, and 4 for all 38.6.
        taken = Snapshot(
            at=NOW,
            queues=tuple(queue(n, arrived=540) for n in ("interactive", "scheduled", "webhooks")),
            processes=(worker(prefetch_count=12),), runs=None, github=None, inboxes=None,
        )  # fmt: skip
        found = capacity_of(taken)
        assert found is not None
        assert found.wanted_count == 4
        assert found.sentence == "1 worker is kept too busy; 4 workers would do."

    def test_few_long_messages_need_no_more_threads_than_they_are(self) -> None:
        assert needs(queue(ready=2, ran_s=900.0)).wanted_count == 1

    def test_a_paused_queue_needs_none(self) -> None:
        assert needs(queue(ready=100_000, is_paused=True)).wanted_count == 1

    def test_without_a_worker_the_procfile_s_is_assumed(self) -> None:
        found = needs(queue(ready=2_400, ran_s=None), workers=0)
        assert (found.alive_count, found.wanted_count) == (0, 2)
        assert found.sentence == ("No worker is alive; 2 workers would drain this in 5 min.")

    def test_a_worker_without_a_bound_gives_a_queue_all_its_threads(self) -> None:
        taken = Snapshot(
            at=NOW, queues=(queue(ready=3_600),), processes=(worker(prefetch_count=0),),
            runs=None, github=None, inboxes=None,
        )  # fmt: skip
        found = capacity_of(taken)
        assert found is not None
        assert found.drained_in_s == 300

    def test_what_can_t_be_read_is_not_judged(self) -> None:
        taken = Snapshot(NOW, (queue(),), (worker(),), None, None, None)
        assert capacity_of(taken) is not None
        assert capacity_of(dataclasses.replace(taken, queues=None)) is None
        assert capacity_of(dataclasses.replace(taken, processes=None)) is None


class TestTheBand:
    """Up above 70 % busy, down below 50 %: in between the number stays."""

    @pytest.mark.parametrize(
        ("arrived", "workers", "wanted"),
        [
            # 5.8 busy threads of 8 are 73 %; 5.5 are 69 %; 4.1 of 12 (three workers) are 34 %.
            (348, 2, 3),
            (330, 2, 2),
            (246, 3, 3),
            (234, 3, 2),
            (114, 3, 1),
        ],
    )  # fmt: skip
    def test_it_holds_between_them(self, arrived: int, workers: int, wanted: int) -> None:
        assert needs(queue(arrived=arrived), workers=workers).wanted_count == wanted

    def test_it_is_where_it_wanted_to_be_once_there(self) -> None:
        for arrived in range(0, 2_000, 37):
            wanted = needs(queue(arrived=arrived)).wanted_count
            assert needs(queue(arrived=arrived), workers=wanted).wanted_count == wanted

    def test_too_many_are_told(self) -> None:
        found = needs(queue(), workers=4)
        assert (found.wanted_count, found.sentence) == (
            1,
            "4 workers are more than it takes; 1 would do.",
        )


class TestGitHubsBound:
    def test_a_budget_that_ends_before_its_reset_is_told(self) -> None:
        # 3,000 points in 30 minutes: the other 2,000 last 20 of the 30 that are left.
        early = budget(2_000, reset_in=timedelta(minutes=30))
        lasting = budget(4_900, reset_in=timedelta(minutes=30), number=2)
        found = needs(queue(ready=9_999), budgets=(early, lasting))
        assert not found.is_bound_by_github
        assert found.wanted_count > 1
        assert found.notes == (
            "Acme uses up its graphql budget before the reset: more workers do not help there.",
        )

    def test_when_all_do_no_more_workers_are_wanted(self) -> None:
        early = budget(2_000, reset_in=timedelta(minutes=30))
        found = needs(queue(ready=9_999), workers=2, budgets=(early,))
        assert (found.is_bound_by_github, found.wanted_count) == (True, 2)
        assert "more workers do not help" in found.notes[0]

    def test_runs_that_wait_for_github_are_told_and_ask_for_nothing(self) -> None:
        found = needs(queue(), waiting=40)
        assert (found.wanted_count, found.notes) == (
            1,
            ("40 runs wait for GitHub: no worker can hurry that.",),
        )


@pytest.mark.django_db(transaction=True)
class TestWhereItIsShown:
    def test_a_real_worker_s_figures_are_counted(
        self, worker: dramatiq.Worker, wait_until: Callable[..., None]
    ) -> None:
        def loads() -> Any:
            with telemetry_client().pipeline() as pipeline:
                write(counters.take(), pipeline)
                pipeline.execute()
            found = snapshots.take().capacity
            return {load.name: load for load in found.loads} if found is not None else {}

        counters.take()
        for _ in range(6):
            tasks.search_deliveries_task.send()
        wait_until(lambda: loads()["scheduled"].mean_ran_s != capacity.SECONDS_UNKNOWN)
        assert loads()["scheduled"].mean_ran_s > 0
        # The worker's beat, in this process, may have taken the counts and not written them yet.
        wait_until(lambda: loads()["scheduled"].arrivals_a_second == pytest.approx(0.1))
        wait_until(lambda: snapshots.take().capacity.alive_count == 1)  # type: ignore[union-attr]

    def test_metrics_status_and_page_tell_it(self, client: Client) -> None:
        GitHubIntegrationFactory.create_batch(3, next_sync_at=timezone.now())
        client.force_login(UserFactory(is_staff=True))
        text = client.get("/metrics").content.decode()
        for line in (
            "rollcall_workers_wanted 1.0",
            "rollcall_workers_bound_by_github 0.0",
            'rollcall_queue_waiting{queue="scheduled"} 3.0',
            'rollcall_queue_waiting{queue="interactive"} 0.0',
            'rollcall_queue_drain_seconds{queue="scheduled"} +Inf',
            'rollcall_queue_busy_threads{queue="scheduled"} 0.0',
        ):
            assert line in text
        taken = snapshots.take()
        told = "No worker is alive; 1 worker would drain this in 1 min."
        assert json.loads(json.dumps(terminal.as_json(taken)))["capacity"]["sentence"] == told
        assert told in terminal.as_text(taken)
        assert told in pieces_of(taken)["queues"]


@pytest.mark.django_db
class TestTheManual:
    """docs/scale.md, "Autoscaling"."""

    PAGE = (REPOSITORY / "docs" / "scale.md").read_text()

    def test_every_metric_that_it_names_is_exported(self, client: Client) -> None:
        client.force_login(UserFactory(is_staff=True))
        text = client.get("/metrics").content.decode()
        exported = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
        named = set(re.findall(r"\brollcall_\w+", self.PAGE))
        assert {"rollcall_workers_wanted", "rollcall_queue_drain_seconds"} <= named
        assert named - exported == set()

    def test_its_manifests_scale_by_what_is_wanted(self) -> None:
        keda, adapter = (
            yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", self.PAGE, re.S)
        )
        [trigger] = keda["spec"]["triggers"]
        assert trigger["metadata"]["query"] == "max(rollcall_workers_wanted)"
        # Else the number of replicas would be another one than what is wanted.
        assert (trigger["metricType"], trigger["metadata"]["threshold"]) == ("AverageValue", "1")
        [rule] = adapter["rules"]["external"]
        assert rule["metricsQuery"] == trigger["metadata"]["query"]

    def test_it_has_the_figures_of_the_code(self) -> None:
        assert f"λ W / {capacity.BUSY_MAX:g} + B W / {capacity.DRAIN_WITHIN_S:.0f} s" in self.PAGE
        assert f"below {capacity.BUSY_MIN:.0%}".replace("%", " %") in self.PAGE.lower()
