"""What Prometheus is told: each counted total and histogram, and the snapshot's gauges, by name.

Labels are bounded: what is not one of the known values becomes "other". No ids of messages, runs or
people; a credential's id is the one exception, of the 20 that have the least left.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import dramatiq
from prometheus_client.core import (
    CounterMetricFamily,
    HistogramMetricFamily,
)

from integrations.constants import QUEUES, DeliveryStatus, MessageOutcome, RunKind
from integrations.reasons import REASONS
from integrations.services import run_counts
from integrations.services.webhooks import counts
from integrations.telemetry.counters import BUCKETS_S, LAST_BUCKET, Series
from integrations.telemetry.github_calls import NO_ANSWER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client import Metric

PREFIX: Final = "rollcall_"
OTHER: Final = "other"

_HTTP_STATUS: Final = re.compile(r"[1-5]\d\d")
_EVENT_TYPE: Final = re.compile(r"[a-z][a-z_-]{0,30}")
_KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "outcome": frozenset(
        {
            *MessageOutcome.values,
            *DeliveryStatus.values,
            counts.LATER,
            run_counts.COMPLETE,
            run_counts.FAILED,
            run_counts.CANCELLED,
        }
    ),
    "kind": frozenset(RunKind.values),
    "reason": frozenset({"", *REASONS}),
    "resource": frozenset({"rest", "graphql"}),
}


@dataclass(frozen=True)
class Counted:
    """A figure that the processes count: its series, its labels, and what it means."""

    series: str
    labels: tuple[str, ...]
    words: str
    # Under which name it is exported; as the series is called when empty.
    as_name: str = ""

    @property
    def name(self) -> str:
        return PREFIX + (self.as_name or self.series)


TOTALS: Final = (
    Counted("messages", ("queue", "actor", "outcome"), "Attempts at messages that ended."),
    Counted("runs", ("kind", "outcome", "reason"), "Runs that ended.", "runs_finished"),
    Counted("run_waits", ("kind", "reason"), "Waits of runs, as GitHub asked or after a fault."),
    Counted("sync_pages", ("kind",), "Pages read and written down.", "pages"),
    Counted("github_requests", ("resource", "status"), "Requests to GitHub by HTTP status."),
    Counted("github_points", (), "Points of GitHub's rate budget that pages cost."),
    Counted("stream_events", ("type",), "Events that streams sent to viewers."),
    Counted("webhook_deliveries", ("outcome",), "Webhook deliveries by what became of them."),
)
HISTOGRAMS: Final = (
    Counted("message_seconds", ("queue", "actor"), "How long attempts at messages ran."),
    Counted("message_wait_seconds", ("queue",), "From ready to started."),
    Counted("run_seconds", ("kind", "outcome"), "From a run's first worker to its end."),
    Counted("run_queue_seconds", ("kind",), "From asking for a run to its first worker."),
    Counted("github_request_seconds", ("resource",), "How long GitHub took to answer."),
    Counted("event_lag_seconds", (), "From the commit of a change to the viewer's stream."),
    Counted("webhook_apply_seconds", (), "From a webhook's arrival to its being applied."),
    Counted("webhook_arrival_seconds", (), "From the event at GitHub to its arrival here."),
)


class Cleaner:
    """Bounds the values of labels."""

    def __init__(self) -> None:
        self._actors = frozenset(dramatiq.get_broker().get_declared_actors())

    def clean(self, label: str, value: str) -> str:
        if label == "queue":
            value = value.removesuffix(".DQ")
            is_known = value in QUEUES
        elif label == "actor":
            is_known = value in self._actors
        elif label == "status":
            is_known = value == NO_ANSWER or bool(_HTTP_STATUS.fullmatch(value))
        elif label == "type":
            is_known = bool(_EVENT_TYPE.fullmatch(value))
        else:
            is_known = value in _KNOWN[label]
        return value if is_known else OTHER


def totals_of(sums: Mapping[Series, float]) -> Iterator[Metric]:
    """Yield every counter, those too that have counted nothing yet."""
    cleaner, by_name = Cleaner(), _by_name(sums)
    for counted in TOTALS:
        family = CounterMetricFamily(counted.name, counted.words, labels=counted.labels)
        amounts: dict[tuple[str, ...], float] = defaultdict(float)
        if not counted.labels:
            amounts[()] = 0.0
        for labels, amount in by_name.get(counted.series, ()):
            amounts[_values(counted, labels, cleaner)] += amount
        for values, amount in sorted(amounts.items()):
            family.add_metric(values, amount)
        yield family


def histograms_of(sums: Mapping[Series, float]) -> Iterator[Metric]:
    """Yield every histogram, with its buckets added up as Prometheus wants them."""
    cleaner, by_name = Cleaner(), _by_name(sums)
    for counted in HISTOGRAMS:
        family = HistogramMetricFamily(counted.name, counted.words, labels=counted.labels)
        buckets: dict[tuple[str, ...], dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for labels, amount in by_name.get(f"{counted.series}_bucket", ()):
            buckets[_values(counted, labels, cleaner)][labels["le"]] += amount
        seconds: dict[tuple[str, ...], float] = defaultdict(float)
        for labels, amount in by_name.get(f"{counted.series}_sum", ()):
            seconds[_values(counted, labels, cleaner)] += amount
        for values in sorted(buckets):
            family.add_metric(values, _cumulated(buckets[values]), seconds[values])
        yield family


def _by_name(
    sums: Mapping[Series, float],
) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
    for series, amount in sums.items():
        found[series.name].append((dict(series.labels), amount))
    return found


def _values(counted: Counted, labels: Mapping[str, str], cleaner: Cleaner) -> tuple[str, ...]:
    return tuple(cleaner.clean(name, labels.get(name, "")) for name in counted.labels)


def _cumulated(amounts: Mapping[str, float]) -> list[tuple[str, float]]:
    found, so_far = [], 0.0
    for end in _ends():
        so_far += amounts.get(end, 0.0)
        found.append((end, so_far))
    return found


def _ends() -> Iterable[str]:
    return (*(str(end) for end in BUCKETS_S), LAST_BUCKET)
