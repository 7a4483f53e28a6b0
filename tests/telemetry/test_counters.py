"""Counts of several processes add up in Redis, and none is lost while it is away."""

from __future__ import annotations

import pytest
from redis.exceptions import RedisError

from integrations.telemetry.counters import (
    DAY,
    HOUR,
    MINUTE,
    WINDOWS,
    Counters,
    Series,
    read_latest,
    read_totals,
    read_window,
    write,
)
from integrations.telemetry.redis_clients import telemetry_client
from tests.processes import Valkey


def flush(counters: Counters) -> None:
    with telemetry_client().pipeline() as pipeline:
        write(counters.take(), pipeline)
        pipeline.execute()


class TestTotals:
    def test_processes_add_up(self) -> None:
        one, other = Counters(), Counters()
        one.count("messages", queue="a", outcome="done")
        other.count("messages", 2, outcome="done", queue="a")
        flush(one)
        flush(other)
        series = Series("messages", (("outcome", "done"), ("queue", "a")))
        assert read_totals(telemetry_client()) == {series: 3}

    def test_what_was_taken_is_not_written_twice(self) -> None:
        counters = Counters()
        counters.count("messages")
        flush(counters)
        flush(counters)
        assert read_totals(telemetry_client()) == {Series("messages"): 1}

    def test_labels_may_hold_any_text(self) -> None:
        counters = Counters()
        counters.count("messages", actor='a"|\n{é}')
        flush(counters)
        assert read_totals(telemetry_client()) == {Series("messages", (("actor", 'a"|\n{é}'),)): 1}


class TestHistograms:
    @pytest.mark.parametrize(
        ("seconds", "bucket"), [(0, "0.001"), (0.001, "0.001"), (0.0011, "0.0025"), (301, "+Inf")]
    )
    def test_a_duration_falls_into_one_bucket(self, seconds: float, bucket: str) -> None:
        counters = Counters()
        counters.observe("took", seconds, kind="x")
        flush(counters)
        assert read_totals(telemetry_client()) == {
            Series("took_bucket", (("kind", "x"), ("le", bucket))): 1,
            Series("took_sum", (("kind", "x"),)): seconds,
            Series("took_count", (("kind", "x"),)): 1,
        }


class TestWindows:
    def test_an_amount_stands_in_each_window_s_present_bucket(self) -> None:
        counters = Counters()
        counters.count_over_time("events", 3)
        counters.count_over_time("events")
        flush(counters)
        for window in WINDOWS:
            buckets = read_window(telemetry_client(), window)
            assert len(buckets) == window.bucket_count
            # The test may cross into the next bucket.
            assert sum(bucket.get("events", 0) for bucket in buckets[-2:]) == 4

    def test_they_are_as_long_as_their_names_say(self) -> None:
        assert [window.length_s for window in (MINUTE, HOUR, DAY)] == [60, 3600, 86_400]

    def test_old_buckets_go_by_themselves(self) -> None:
        counters = Counters()
        counters.count_over_time("events")
        flush(counters)
        client = telemetry_client()
        keys = list(client.scan_iter("*:minute:*"))
        assert keys
        assert all(0 < client.ttl(key) <= 70 for key in keys)


class TestLatest:
    def test_the_later_value_counts(self) -> None:
        counters = Counters()
        counters.keep_latest("budgets", "1:core", {"remaining": 10})
        counters.keep_latest("budgets", "1:core", {"remaining": 9})
        flush(counters)
        assert read_latest(telemetry_client(), "budgets") == {"1:core": {"remaining": 9}}

    def test_what_was_given_back_does_not_replace_what_came_later(self) -> None:
        counters = Counters()
        counters.keep_latest("budgets", "1:core", {"remaining": 10})
        taken = counters.take()
        counters.keep_latest("budgets", "1:core", {"remaining": 9})
        counters.give_back(taken)
        flush(counters)
        assert read_latest(telemetry_client(), "budgets")["1:core"] == {"remaining": 9}


def test_sums_wait_for_a_redis_that_is_away(valkey: Valkey) -> None:
    counters = Counters()
    counters.count("messages")
    valkey.stop()
    sums = counters.take()
    with telemetry_client().pipeline() as pipeline:
        write(sums, pipeline)
        with pytest.raises(RedisError):
            pipeline.execute()
    counters.give_back(sums)
    counters.count("messages")
    valkey.start()
    flush(counters)
    assert read_totals(telemetry_client()) == {Series("messages"): 2}
