"""A report while results are posted: topic and platform are read one after the other, and both grow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import time
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from pacifictool.kafka.records import Record
from pacifictool.report import collect as module
from pacifictool.report.collect import collect
from pacifictool.rest import Asset
from pacifictool.rest.telemetry import Point
from pacifictool.scenario import tutorial_scenario
from pacifictool.settings import KafkaEndpoint

WINDOW_MS = 10_000
ZONE = Asset(id=str(uuid4()), name="Zone A", created_time=0, tenant_id=str(uuid4()), raw={}, type="WeatherStation")


class RunningJob:
    """Zone A's readings, and a platform that gets the mean of a window as soon as somebody reads its results."""

    def __init__(self) -> None:
        self.begin_ms = (int(time() * 1000) // WINDOW_MS - 2) * WINDOW_MS
        self.records: list[Record] = []
        self.add(1000, 30)
        self.add(2000, 32)
        self.url = "http://platform"
        self.assets = SimpleNamespace(find=lambda name: ZONE if name == ZONE.name else None)
        self.devices = SimpleNamespace(find=lambda _name: None)
        self.telemetry = SimpleNamespace(range=self.range)
        self.alarms = SimpleNamespace(of_many=lambda *_, **__: [])

    def add(self, ms: int, speed: int) -> None:
        value = json.dumps({"geoZone": "Zone A", "windSpeed": speed}).encode()
        self.records.append(Record(0, len(self.records), self.begin_ms + ms, broker_time=True, key=None, value=value))

    def range(self, *_: Any) -> list[Point]:
        # Another reading comes, its window ends, and the job posts: while the report is being made.
        self.add(9000, 40)
        return [Point(self.begin_ms + WINDOW_MS, 34.0)]

    def offsets(self, _topic: str, at: int | str = "end") -> dict[int, int]:
        return {0: len(self.records) if at == "end" else 0}

    def read(
        self, _kafka: object, _topic: str, *, start: Mapping[int, int], end: Mapping[int, int]
    ) -> Iterator[Record]:
        yield from self.records[start[0] : end[0]]


def test_a_result_that_is_posted_after_the_topic_was_read_does_not_differ_from_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job = RunningJob()
    monkeypatch.setattr(module, "KafkaAdmin", lambda _kafka: job)
    monkeypatch.setattr(module, "read_records", job.read)
    platform: Any = job
    facts = collect(platform, KafkaEndpoint("kafka:9092"), tutorial_scenario(), job_folder=tmp_path, last_seconds=60)
    assert (facts.posted, facts.compared, facts.agreeing) == (1, 1, 1)
    assert facts.readings == 3
