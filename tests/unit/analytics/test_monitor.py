"""What probes and Prometheus get of a job, from before its first batch on."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from pacifictool.analytics.batches import BatchReport
from pacifictool.analytics.job_metrics import PREFIX, job_metrics
from pacifictool.analytics.job_progress import JobProgress
from pacifictool.analytics.monitor import JobMonitor
from pacifictool.analytics.waiting import wait_until_reachable
from pacifictool.errors import KafkaUnreachable
from pacifictool.progress import SILENT


def progress(**given: Any) -> JobProgress:
    numbers: dict[str, Any] = {each.name: 0 for each in dataclasses.fields(JobProgress)}
    absent = dict.fromkeys(("delivery_failure", "last_function_failure", "last_invalid", "lag", "delivered_at"))
    return JobProgress(**numbers | absent | {"phase": "running", "gained": {}, "last_posted": ()} | given)


def samples(monitor: JobMonitor) -> dict[str, float]:
    """By name and labels, as Prometheus reads them."""

    class Job(Collector):
        def collect(self) -> Any:
            return job_metrics(monitor, {"topic": "t"})

    registry = CollectorRegistry()
    registry.register(Job())
    return {
        " ".join([sample.name.removeprefix(f"{PREFIX}_"), *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def report(records: int, seconds: float, ends: Mapping[int, int]) -> BatchReport:
    return BatchReport(1, records, records, {}, None, without_timestamp=False, ends=ends, seconds=seconds)


def test_there_are_numbers_before_the_first_batch() -> None:
    found = samples(JobMonitor())
    assert found["info t"] == found["healthy"] == 1
    names = (
        "records_read_total",
        "records_late_total",
        "batch_seconds_count",
        "open_windows",
        "delivery_failures_total",
    )
    assert [found[name] for name in names] == [0] * 5
    assert found["last_batch_timestamp_seconds"] == 0


def test_numbers_of_a_running_job() -> None:
    monitor = JobMonitor()
    monitor.tracker.looked({0: 10, 1: 25})
    monitor.tracker.add(report(20, 0.3, {0: 10, 1: 10}))
    monitor.tracker.add(report(20, 400.0, {0: 10, 1: 20}))
    gained = {"valid": 33, "invalid:empty": 4, "invalid:too late: its window was closed for good": 3, "posted": 6}
    monitor.note(progress(gained=gained, open_windows=2, failed_attempts=5, delivered_at=1.5, state_bytes=4096))
    found = samples(monitor)
    assert (found["records_read_total"], found["records_valid_total"], found["records_late_total"]) == (40, 33, 3)
    assert found["records_invalid_total empty"] == 4
    assert (found["lag_records 0"], found["lag_records 1"]) == (0, 5)
    assert (found["batch_seconds_bucket 0.25"], found["batch_seconds_bucket 0.5"]) == (0, 1)
    assert (found["batch_seconds_bucket +Inf"], found["batch_seconds_sum"]) == (2, 400.3)
    assert (found["results_delivered_total"], found["delivery_failures_total"], found["open_windows"]) == (6, 5, 2)
    assert (found["last_delivery_timestamp_seconds"], found["state_store_bytes"]) == (1.5, 4096)
    assert found["last_batch_timestamp_seconds"] >= found["last_look_timestamp_seconds"] > 1e9


def test_the_lag_is_known_before_the_first_batch() -> None:
    monitor = JobMonitor()
    monitor.tracker.looked({0: 10, 1: 5})
    assert monitor.tracker.lag is None
    monitor.tracker.counted_before({0: 7})
    assert (samples(monitor)["lag_records 0"], samples(monitor)["lag_records 1"]) == (3, 5)


def test_a_job_is_well_while_it_starts_counts_or_waits_for_data() -> None:
    monitor = JobMonitor()
    assert monitor.problem() is None
    monitor.tracker.looked({0: 0})
    monitor.note(progress())
    assert monitor.problem() is None


def test_what_fails_is_one_sentence_until_it_works_again() -> None:
    monitor = JobMonitor()
    tracker = monitor.tracker
    tracker.looked(None, "Kafka at x does not respond.")
    assert monitor.problem() == "Nothing is counted: Kafka at x does not respond."
    assert samples(monitor)["healthy"] == 0
    tracker.looked({0: 1})
    monitor.note(progress(delivery_failure="HTTP 503."))
    assert monitor.problem() == "Nothing is delivered: HTTP 503."
    monitor.note(progress())
    assert monitor.problem() is None
    tracker.idle = "No executor has taken the work for 15 s."
    assert "No executor" in (monitor.problem() or "")


def test_a_batch_that_never_ends_is_not_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = JobMonitor()
    monitor.tracker.looked({0: 1})
    monitor.tracker.active_at -= 599
    assert monitor.problem() is None
    monitor.tracker.active_at -= 2
    assert "has not ended" in (monitor.problem() or "")
    assert monitor.hang() == monitor.problem()


def test_only_a_batch_that_never_ends_asks_for_a_restart() -> None:
    monitor = JobMonitor()
    tracker = monitor.tracker
    tracker.active_at -= 3600  # Spark's start, or a server that a start waits for
    tracker.failed("Kafka at x does not respond.")
    assert (monitor.problem() is None, monitor.hang()) == (False, None)
    tracker.looked(None, "Kafka at x does not respond.")
    tracker.active_at -= 3600
    assert (monitor.problem() is None, monitor.hang()) == (False, None)
    tracker.looked({0: 1})
    monitor.note(progress(delivery_failure="HTTP 503."))
    assert (monitor.problem() is None, monitor.hang()) == (False, None)
    tracker.idle = "No executor has taken the work for 15 s."
    tracker.active_at -= 3600
    assert (monitor.problem() is None, monitor.hang()) == (False, None)


def test_a_start_that_waits_for_a_server_is_not_well() -> None:
    monitor, stop, problems = JobMonitor(), threading.Event(), list[str | None]()
    attempts = iter([KafkaUnreachable("Kafka at x does not respond."), None])

    def attempt() -> str:
        if (error := next(attempts)) is not None:
            raise error
        return "found"

    def failed(failure: str | None) -> None:
        monitor.tracker.failed(failure)
        problems.append(monitor.problem())
        if failure is not None:
            stop.set()

    assert wait_until_reachable(attempt, stop, SILENT, waits=True, failed=failed) is None
    assert wait_until_reachable(attempt, stop, SILENT, waits=True, failed=failed) == "found"
    assert problems == ["Nothing is counted: Kafka at x does not respond.", None]
