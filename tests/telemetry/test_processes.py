"""The register: who lives, who went, and that a beat outlives Redis."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from integrations.constants import PROCESS_GONE_AFTER
from integrations.telemetry import processes
from integrations.telemetry.beat import Beat
from integrations.telemetry.counters import Series, counters, read_totals
from integrations.telemetry.processes import Identity, ProcessReport
from integrations.telemetry.redis_clients import key, telemetry_client
from tests.processes import Valkey


@pytest.fixture(autouse=True)
def _nothing_counted() -> None:
    counters.take()


@pytest.fixture
def beat() -> Iterator[Beat]:
    running = Beat(Identity("one", processes.WEB), lambda: {"streams": 3})
    running.start()
    yield running
    running.stop()


def registered() -> dict[str, ProcessReport]:
    return {report.id: report for report in processes.read_processes(telemetry_client())}


class TestBeat:
    def test_it_registers_the_process(self, beat: Beat, wait_until: Callable[..., None]) -> None:
        wait_until(registered)
        report = registered()["one"]
        assert (report.kind, report.pid) == (processes.WEB, os.getpid())
        assert report.state == {"streams": 3}
        assert report.memory_bytes > 10_000_000
        assert not report.is_gone(timezone.now())

    def test_it_writes_what_was_counted(self, beat: Beat, wait_until: Callable[..., None]) -> None:
        counters.count("messages")
        beat.wake()
        wait_until(lambda: read_totals(telemetry_client()).get(Series("messages")) == 1)

    def test_it_goes_on_after_redis_was_away(
        self, beat: Beat, valkey: Valkey, wait_until: Callable[..., None]
    ) -> None:
        wait_until(registered)
        valkey.kill()
        counters.count("messages")
        beat.wake()
        valkey.start()
        wait_until(lambda: "one" in registered())
        wait_until(lambda: read_totals(telemetry_client()).get(Series("messages")) == 1)

    def test_who_stops_in_order_is_not_missed(self, wait_until: Callable[..., None]) -> None:
        counters.count("messages")
        beat = Beat(Identity("two", processes.WEB), dict)
        beat.start()
        wait_until(registered)
        counters.count("messages")
        beat.stop()
        assert registered() == {}
        assert read_totals(telemetry_client())[Series("messages")] == 2

    def test_it_hears_which_queues_are_paused(self, wait_until: Callable[..., None]) -> None:
        heard: list[frozenset[str]] = []
        telemetry_client().sadd(key("paused"), "webhooks")
        beat = Beat(Identity("three", processes.WORKER), dict, obey=heard.append)
        beat.tell()
        telemetry_client().delete(key("paused"))
        beat.tell()
        assert heard == [frozenset({"webhooks"}), frozenset()]


class TestRegister:
    def test_one_that_is_silent_is_gone(self) -> None:
        Beat(Identity("one", processes.WORKER), dict).tell()
        report = registered()["one"]
        assert report.is_gone(report.seen_at + PROCESS_GONE_AFTER + timedelta(seconds=1))

    def test_it_can_be_forgotten_once(self) -> None:
        Beat(Identity("one", processes.WORKER), dict).tell()
        assert processes.forget(telemetry_client(), "one")
        assert not processes.forget(telemetry_client(), "one")
        assert registered() == {}

    def test_nobody_is_registered_at_first(self) -> None:
        assert registered() == {}
