"""Rates of a queue over the last minute, hour and day."""

from __future__ import annotations

from integrations.ops.rates import rates_of_queue, read_past
from integrations.telemetry.counters import HOUR, Counters, write
from integrations.telemetry.redis_clients import telemetry_client


def told(**amounts: float) -> None:
    counters = Counters()
    for name, amount in amounts.items():
        counters.count_over_time(name.replace("__", ":").replace("_", " "), amount)
    with telemetry_client().pipeline() as pipeline:
        write(counters.take(), pipeline)
        pipeline.execute()


def test_what_ended_badly_is_counted_apart() -> None:
    told(queue__interactive__done=6, queue__interactive__dead=1, queue__interactive__retried=1)
    told(queue__webhooks__done=100)
    minute, hour, day = rates_of_queue(read_past(telemetry_client()), "interactive")
    assert [rate.window for rate in (minute, hour, day)] == ["minute", "hour", "day"]
    for rate in (minute, hour, day):
        assert (rate.done_count, rate.failed_count, rate.count) == (6, 2, 8)
        assert rate.failure_percent == 25
        assert sum(rate.points) == 8
    assert [len(rate.points) for rate in (minute, hour, day)] == [12, 30, 48]


def test_a_queue_without_any_has_no_failures() -> None:
    rate, *_ = rates_of_queue(read_past(telemetry_client()), "interactive")
    assert (rate.count, rate.failure_percent) == (0, 0)


def test_series_of_a_kind_are_found_together() -> None:
    told(github_errors__502=2, github_errors__no_answer=1, github_requests=9)
    past = read_past(telemetry_client())
    assert past.beginning_with("github errors:", HOUR) == {"502": 2, "no answer": 1}
    assert past.a_minute("github requests") == 9
