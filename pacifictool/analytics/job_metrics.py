"""The numbers of a running job for Prometheus. docs/howto/service.md lists them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from pacifictool.analytics.engine.records import TOO_LATE
from pacifictool.analytics.job_progress import BATCH_SECONDS, BatchDurations
from pacifictool.analytics.monitor import JobMonitor

PREFIX: Final = "pacifictool_aggregate"

_COUNTERS: Final = (
    ("results_delivered", "posted", "Results that the target has accepted, corrections included"),
    ("results_corrected", "corrections", "Results that replaced an earlier value of the same window"),
    ("results_refused", "refused", "Results that the target will never take"),
    ("function_failures", "function_failures", "Windows for which a function gave no results"),
    ("alarms_raised", "alarms_raised", "Alarms raised"),
    ("alarms_cleared", "alarms_cleared", "Alarms cleared"),
    ("alarms_refused", "alarms_refused", "Alarms that the platform will never take as they are wanted"),
)
"""Name, counter of the state store, and meaning."""

_GAUGES: Final = (
    ("open_windows", "open_windows", "(Window, group) pairs not delivered yet"),
    ("alarms_active", "alarms", "Alarms that are active at present"),
    ("state_store_bytes", "state_bytes", "Size of the state store's files"),
)
"""Name, attribute of JobProgress, and meaning."""


def job_metrics(monitor: JobMonitor, facts: Mapping[str, str]) -> Iterator[Metric]:
    """What the job has done since it was started, before its first batch too. `facts` say which job it is."""
    tracker, progress = monitor.tracker, monitor.progress
    gained: Mapping[str, int] = {} if progress is None else progress.gained
    invalid = {} if progress is None else progress.invalid
    yield InfoMetricFamily(PREFIX, "The job", dict(facts))
    yield GaugeMetricFamily(
        f"{PREFIX}_healthy", "1: /health is 200; 0: batches or deliveries fail", float(monitor.problem() is None)
    )
    valid = gained.get("valid", 0)
    yield _counter("records_read", "Records read from the topic", valid + sum(invalid.values()))
    yield _counter("records_valid", "Records without any fault", valid)
    reasons = CounterMetricFamily(f"{PREFIX}_records_invalid", "Invalid records by reason", labels=["reason"])
    for reason, number in sorted(invalid.items()):
        reasons.add_metric([reason], number)
    yield reasons
    late = sum(number for reason, number in invalid.items() if reason.startswith(TOO_LATE))
    yield _counter("records_late", "Invalid records whose window takes no more", late)
    lag = GaugeMetricFamily(f"{PREFIX}_lag_records", "Records of the topic not counted yet", labels=["partition"])
    for partition, records in tracker.lag_by_partition.items():
        lag.add_metric([str(partition)], records)
    yield lag
    yield _histogram(tracker.durations)
    for name, counter, text in _COUNTERS:
        yield _counter(name, text, gained.get(counter, 0))
    failed = 0 if progress is None else progress.failed_attempts
    yield _counter("delivery_failures", "Attempts to deliver results or alarms that failed", failed)
    for name, attribute, text in _GAUGES:
        yield _gauge(name, text, 0 if progress is None else getattr(progress, attribute))
    yield _gauge("last_look_timestamp_seconds", "When Kafka last said where the topic ends", tracker.looked_at)
    yield _gauge("last_batch_timestamp_seconds", "When a batch was last applied", tracker.counted_at)
    delivered_at = None if progress is None else progress.delivered_at
    yield _gauge("last_delivery_timestamp_seconds", "When the target last accepted results", delivered_at)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"{PREFIX}_{name}", f"{text}, since the start", value)


def _gauge(name: str, text: str, value: float | None) -> Metric:
    """0 for what is not known yet, as for a time that has not come: an alert sees that as long ago."""
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value or 0.0)


def _histogram(durations: BatchDurations) -> Metric:
    counts, total = list(durations.counts), durations.total
    bounds = [*(f"{bound:g}" for bound in BATCH_SECONDS), "+Inf"]
    return HistogramMetricFamily(
        f"{PREFIX}_batch_seconds",
        "How long batches took, from their plan to the state store",
        buckets=list(zip(bounds, map(float, accumulate(counts)), strict=True)),
        sum_value=total,
    )
