"""`/metrics` and `/health` of a job that runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from pacifictool.analytics.job_metrics import PREFIX, job_metrics
from pacifictool.analytics.monitor import JobMonitor
from pacifictool.analytics.sinks.base import DeliveryCallback, Sink
from pacifictool.analytics.windows import WindowResult
from pacifictool.errors import PlatformUnreachable
from pacifictool.runtime.metrics_server import metrics_endpoint
from tests.support.service_files import metrics_used

pytestmark = [pytest.mark.spark, pytest.mark.kafka]

JobFactory = Any  # the fixture's class lives in conftest.py, which cannot be imported


class FailingSink(Sink):
    name = target = "failing"
    fails = False

    def deliver(self, results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
        if self.fails:
            raise PlatformUnreachable("The platform does not respond.")
        callback.accepted(results)


def scrape(url: str) -> dict[str, float]:
    return {
        " ".join([sample.name.removeprefix(f"{PREFIX}_"), *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(requests.get(f"{url}/metrics", timeout=60).text)
        for sample in family.samples
    }


def test_a_job_is_scraped_and_its_health_follows_its_deliveries(jobs: JobFactory) -> None:
    topic, sink, monitor = jobs.topic(), FailingSink(), JobMonitor()
    producer = jobs.producer()

    def produce(*values: bytes) -> None:
        for number, value in enumerate(values):
            producer.produce(topic, value, partition=number % 2)
        producer.flush()

    produce(*[b'{"geoZone":"A", "windSpeed":%d}' % number for number in range(30)], b"", b"not JSON")
    facts = {"topic": topic}
    with metrics_endpoint(lambda: job_metrics(monitor, facts), 0, health=monitor.problem, hang=monitor.hang) as url:
        assert scrape(url)["records_read_total"] == 0
        began = time.time()
        running = jobs.start(topic, sink, progress=monitor.note, tracker=monitor.tracker)
        running.wait_for(lambda: scrape(url)["results_delivered_total"] >= 1)
        running.wait_for(lambda: scrape(url)["open_windows"] == 0)
        found = scrape(url)
        assert (found["records_read_total"], found["records_valid_total"]) == (32, 30)
        assert (found["records_invalid_total empty"], found["lag_records 0"], found["lag_records 1"]) == (1, 0, 0)
        assert found["batch_seconds_count"] >= 1
        assert found["state_store_bytes"] > 4096
        times = ("last_look", "last_batch", "last_delivery")
        assert all(found[f"{name}_timestamp_seconds"] > began for name in times)
        assert requests.get(f"{url}/health", timeout=60).status_code == 200
        names = {
            sample.name
            for family in text_string_to_metric_families(requests.get(f"{url}/metrics", timeout=60).text)
            for sample in family.samples
        }
        assert metrics_used() <= names  # those of the alerts and of the dashboard in examples/service

        sink.fails = True
        produce(b'{"geoZone":"A", "windSpeed":1}')
        running.wait_for(lambda: requests.get(f"{url}/health", timeout=60).status_code == 503)
        assert (
            requests.get(f"{url}/health", timeout=60).text == "Nothing is delivered: The platform does not respond.\n"
        )
        assert requests.get(f"{url}/live", timeout=60).status_code == 200  # a restart would not help
        assert scrape(url)["delivery_failures_total"] >= 1
        sink.fails = False
        running.wait_for(lambda: requests.get(f"{url}/health", timeout=60).status_code == 200)
        summary = running.finish()
    assert summary.records == 33
