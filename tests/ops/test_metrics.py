"""Metrics are right across processes, bounded, told to few, and there whatever is away."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import yaml
from django.test import Client
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from integrations import tasks
from integrations.constants import RunTrigger
from integrations.live.grip_register import LAPSE_S, register_key
from integrations.models import GitHubIntegration, User
from integrations.services import transitions
from integrations.services.runs import start_run
from integrations.telemetry.counters import Counters, counters, write
from integrations.telemetry.redis_clients import telemetry_client
from project.grip import GripProxy
from tests.factories import UserFactory
from tests.processes import REPOSITORY, Valkey
from tests.webhook_deliveries import membership_payload, person, post, work

TOKEN = "a-token-of-this-test-alone"
DOCS = REPOSITORY / "docs" / "ops"
PATIENCE_S = 4.0


@pytest.fixture(autouse=True)
def _token(settings: Any) -> None:
    settings.METRICS_TOKEN = TOKEN


@pytest.fixture(autouse=True)
def _nothing_counted() -> None:
    """What the test before counted and did not tell is not this test's."""
    counters.take()


def scrape(client: Client) -> dict[str, Metric]:
    response = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert response.status_code == 200
    families = text_string_to_metric_families(response.content.decode())
    return {family.name: family for family in families}


def value(families: dict[str, Metric], name: str, **labels: str) -> float | None:
    """Return a sample's value; None when there is no such sample."""
    for family in families.values():
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    return None


def tell(own: Counters | None = None) -> None:
    """Write what a process counted, as its beat does."""
    with telemetry_client().pipeline() as pipeline:
        write((own or counters).take(), pipeline)
        pipeline.execute()


@pytest.mark.django_db
class TestWhoMayRead:
    def test_the_bearer_of_the_token(self, client: Client) -> None:
        assert "rollcall_up" in scrape(client)

    def test_staff(self, client: Client) -> None:
        client.force_login(UserFactory(is_staff=True))
        assert client.get("/metrics").status_code == 200

    def test_nobody_else(self, client: Client, alice: User) -> None:
        assert client.get("/metrics").status_code == 404
        client.force_login(alice)
        assert client.get("/metrics").status_code == 404

    @pytest.mark.parametrize("header", ["Bearer wrong", "Bearer ", TOKEN, f"Basic {TOKEN}"])
    def test_no_other_token(self, client: Client, header: str) -> None:
        assert client.get("/metrics", headers={"Authorization": header}).status_code == 404

    def test_no_token_without_a_setting(self, client: Client, settings: Any) -> None:
        settings.METRICS_TOKEN = ""
        assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404

    def test_a_post_is_refused(self, client: Client) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert client.post("/metrics", headers=headers).status_code == 405


@pytest.mark.django_db
class TestTotals:
    def test_they_are_the_sums_of_all_processes(self, client: Client) -> None:
        one, another = Counters(), Counters()
        one.count("github_requests", 2, resource="rest", status="200")
        another.count("github_requests", 3, resource="rest", status="200")
        tell(one)
        tell(another)
        found = scrape(client)
        name = "rollcall_github_requests_total"
        assert value(found, name, resource="rest", status="200") == 5

    def test_histograms_are_cumulated(self, client: Client) -> None:
        for seconds in (0.004, 0.02, 0.02, 1000.0):
            counters.observe("event_lag_seconds", seconds)
        tell()
        found, name = scrape(client), "rollcall_event_lag_seconds"
        assert value(found, f"{name}_bucket", le="0.0025") == 0
        assert value(found, f"{name}_bucket", le="0.005") == 1
        assert value(found, f"{name}_bucket", le="0.025") == 3
        assert value(found, f"{name}_bucket", le="300.0") == 3
        assert value(found, f"{name}_bucket", le="+Inf") == 4
        assert value(found, f"{name}_count") == 4
        assert value(found, f"{name}_sum") == pytest.approx(1000.044)

    def test_labels_are_bounded(self, client: Client) -> None:
        actor = tasks.sync_github_members_task.actor_name
        for index in range(3):
            labels = {"actor": f"poison-{index}", "queue": f"q{index}", "outcome": "dead"}
            counters.count("messages", **labels)
        counters.count("messages", actor=actor, queue="interactive.DQ", outcome="dead")
        counters.count("github_requests", resource="ghp_abcdef", status="ghp_abcdef")
        tell()
        found, name = scrape(client), "rollcall_messages_total"
        assert value(found, name, actor="other", queue="other", outcome="dead") == 3
        assert value(found, name, actor=actor, queue="interactive", outcome="dead") == 1
        request_name = "rollcall_github_requests_total"
        assert value(found, request_name, resource="other", status="other") == 1


@pytest.mark.django_db(transaction=True)
class TestWhatHappens:
    def test_a_run_is_counted_when_it_starts_waits_and_ends(
        self, client: Client, integration: GitHubIntegration
    ) -> None:
        run = start_run(integration, trigger=RunTrigger.MANUAL).run
        lease = transitions.claim(run.pk)
        assert lease is not None
        transitions.wait(lease, resume_at=run.created_at, reason="rate_limited")
        lease = transitions.claim(run.pk)
        assert lease is not None
        transitions.complete(lease, result={})
        other = start_run(integration, trigger=RunTrigger.MANUAL).run
        assert transitions.cancel(other, person=None)
        tell()
        found, ends = scrape(client), "rollcall_runs_finished_total"
        assert value(found, ends, kind="members", outcome="complete", reason="") == 1
        assert value(found, ends, kind="members", outcome="cancelled", reason="cancelled") == 1
        waits = "rollcall_run_waits_total"
        assert value(found, waits, kind="members", reason="rate_limited") == 1
        assert value(found, "rollcall_run_queue_seconds_count", kind="members") == 1
        labels = {"kind": "members", "outcome": "complete"}
        assert value(found, "rollcall_run_seconds_count", **labels) == 1

    def test_a_webhook_is_counted_when_it_is_applied(
        self, client: Client, integration: GitHubIntegration
    ) -> None:
        post(client, "organization", membership_payload(integration, "member_added", person(7)))
        found = scrape(client)
        assert value(found, "rollcall_webhook_inbox_pending") == 1
        work()
        tell()
        found = scrape(client)
        assert value(found, "rollcall_webhook_inbox_pending") == 0
        assert value(found, "rollcall_webhook_deliveries_total", outcome="applied") == 1
        assert value(found, "rollcall_webhook_apply_seconds_count") == 1
        assert value(found, "rollcall_webhook_arrival_seconds_count") == 1

    def test_active_runs_are_told_by_state(
        self, client: Client, integration: GitHubIntegration
    ) -> None:
        start_run(integration, trigger=RunTrigger.MANUAL)
        found = scrape(client)
        assert value(found, "rollcall_runs", state="pending") == 1
        assert value(found, "rollcall_runs", state="stalled") == 0

    def test_held_streams_are_told_where_there_is_a_pushpin(
        self, client: Client, settings: Any
    ) -> None:
        now_s = time.time()
        lapsed_s = now_s - LAPSE_S - 1
        holds = {"one": now_s, "another": now_s - 100, "gone": lapsed_s}
        telemetry_client().zadd(register_key(), holds)
        assert value(scrape(client), "rollcall_held_streams") is None
        settings.GRIP_PROXIES = [GripProxy("http://127.0.0.1:1", "rollcall", "k" * 32)]
        found = scrape(client)
        assert value(found, "rollcall_held_streams") == 2
        assert value(found, "rollcall_streams") == 0

    def test_queues_and_workers_are_told(
        self, client: Client, worker: dramatiq.Worker, wait_until: Callable[..., None]
    ) -> None:
        wait_until(
            lambda: value(scrape(client), "rollcall_processes", kind="worker", state="alive") == 1
        )
        tasks.search_deliveries_task.send()
        actor = tasks.search_deliveries_task.actor_name
        labels = {"queue": "scheduled", "actor": actor, "outcome": "done"}
        wait_until(lambda: value(scrape(client), "rollcall_messages_total", **labels) == 1)
        found = scrape(client)
        assert value(found, "rollcall_queue_messages", queue="scheduled", state="ready") == 0
        assert value(found, "rollcall_dead_consumers") == 0
        assert value(found, "rollcall_worker_threads", state="idle") == 2
        wait = "rollcall_message_wait_seconds_count"
        assert value(found, wait, queue="scheduled") == 1


@pytest.mark.django_db
class TestWhenItIsBad:
    def test_it_says_that_redis_is_away(self, client: Client, valkey: Valkey) -> None:
        valkey.stop()
        begun_s = time.monotonic()
        found = scrape(client)
        assert time.monotonic() - begun_s < PATIENCE_S
        assert value(found, "rollcall_up", part="redis") == 0
        assert value(found, "rollcall_up", part="database") == 1
        assert value(found, "rollcall_runs", state="stalled") == 0
        assert "rollcall_messages" not in found

    def test_it_says_that_redis_hangs(self, client: Client, valkey: Valkey) -> None:
        with valkey.hanging():
            begun_s = time.monotonic()
            found = scrape(client)
            took_s = time.monotonic() - begun_s
        assert took_s < PATIENCE_S
        assert value(found, "rollcall_up", part="redis") == 0

    def test_it_tells_no_token(self, client: Client, integration: GitHubIntegration) -> None:
        counters.count("run_waits", kind="members", reason="ghp_16C7e42F292c6912E7710c838347")
        counters.count("stream_events", type="ghp_16C7e42F292c6912E7710c838347")
        tell()
        text = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).content.decode()
        assert "ghp_" not in text
        assert TOKEN not in text


@pytest.mark.django_db
class TestTheFilesBesideIt:
    """docs/ops/: a dashboard, alerts and a runbook that fit what is exported."""

    @pytest.fixture
    def exported(self, client: Client) -> set[str]:
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
        return {
            family.name + suffix
            for family in scrape(client).values()
            for suffix in suffixes.get(family.type, [""])
        }

    @pytest.mark.parametrize("name", ["grafana.json", "alerts.yml"])
    def test_every_metric_they_name_is_exported(self, name: str, exported: set[str]) -> None:
        named = set(re.findall(r"\brollcall_\w+", (DOCS / name).read_text()))
        assert named
        assert named - exported == set()

    def test_the_dashboard_can_be_imported(self) -> None:
        dashboard = json.loads((DOCS / "grafana.json").read_text())
        assert dashboard["templating"]["list"][0]["type"] == "datasource"
        rows = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
        assert rows == ["Queues", "Workers", "Runs", "GitHub", "Streams", "Webhooks"]
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(ids) == len(set(ids))
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                assert target["datasource"]["uid"] == "${datasource}"

    def test_every_alert_says_what_to_do(self) -> None:
        runbook = (DOCS / "README.md").read_text()
        groups = yaml.safe_load((DOCS / "alerts.yml").read_text())["groups"]
        alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
        assert len(alerts) >= 11
        for alert in alerts:
            notes = alert["annotations"]
            assert set(notes) == {"summary", "description", "runbook"}
            assert notes["runbook"] == f"docs/ops/README.md#{alert['alert'].lower()}"
            assert f"### {alert['alert']}\n" in runbook
            assert alert["labels"]["severity"] in {"page", "ticket"}

    def test_the_runbook_names_every_alert_once(self) -> None:
        groups = yaml.safe_load((DOCS / "alerts.yml").read_text())["groups"]
        alerts = [rule["alert"] for group in groups for rule in group["rules"]]
        headings = re.findall(r"^### (\w+)$", Path(DOCS / "README.md").read_text(), re.MULTILINE)
        assert sorted(headings) == sorted(alerts)
