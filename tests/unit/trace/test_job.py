"""The hops through the job, read from a real checkpoint; tests/e2e/test_trace_job.py runs a job."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pacifictool.analytics.state.checkpoint import Checkpoint
from pacifictool.analytics.state.queries import InvalidRecord, OffsetRange
from pacifictool.analytics.state.store import BatchOutcome
from pacifictool.analytics.windows import PartialSum
from pacifictool.kafka.records import Record
from pacifictool.runtime.ports import free_ports
from pacifictool.scenario import tutorial_scenario
from pacifictool.trace.hops import TraceStopped
from pacifictool.trace.job import Arrival, JobHops

SCENARIO = tutorial_scenario()
WINDOW_MS = 2000
IDENTITY = {
    "topic": SCENARIO.kafka.topic,
    "topic_id": "id",
    "window_ms": WINDOW_MS,
    "value_key": "windSpeed",
    "valid": [0, 1000],
    "target": f"rest http://127.0.0.1:{free_ports(1)[0]}",
}


def arrival(value: bytes | None, age_ms: int = 60_000) -> Arrival:
    """A record at offset 5 of partition 0, written and read this long ago."""
    ts_ms = round(time.time() * 1000) - age_ms
    record = Record(partition=0, offset=5, timestamp_ms=ts_ms, broker_time=True, value=value, key=None)
    return Arrival(record, monotonic() - max(0, age_ms) / 1000)


GOOD = b'{"geoZone": "North", "windSpeed": 32.5}'


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    """Held, as by a running job."""
    with Checkpoint(tmp_path / "job", SCENARIO.kafka.topic) as found:
        yield found


@pytest.fixture
def hops(tmp_path: Path) -> Iterator[Callable[..., JobHops]]:
    made: list[JobHops] = []

    def make(deadline: float = 0.0, delivery_timeout: float = 20.0) -> JobHops:
        made.append(
            JobHops(
                platform=cast(Any, SimpleNamespace()),
                settings=cast(Any, SimpleNamespace(url="http://127.0.0.1:1")),
                scenario=SCENARIO,
                folders=[tmp_path / "job"],
                topic_id="id",
                pause=time.sleep,
                deadline=monotonic() + deadline,
                delivery_timeout=delivery_timeout,
            )
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


def count(
    checkpoint: Checkpoint, probe: Arrival, *, invalid: str | None = None, identity: dict[str, Any] = IDENTITY
) -> int:
    """Counts the record, in its window or as invalid; returns the window's end."""
    checkpoint.check_identity(identity)
    record, end_ms = probe.record, ((probe.record.timestamp_ms or 0) // WINDOW_MS + 1) * WINDOW_MS
    bad = [] if invalid is None else [InvalidRecord(SCENARIO.kafka.topic, 0, 5, invalid, 1, record.value)]
    sums = [PartialSum("North", end_ms, 1, 32_500_000_000)] if invalid is None else []
    checkpoint.store.apply(BatchOutcome((OffsetRange(0, 0, 6),), sums, invalid=bad))
    return end_ms


def code(call: Callable[[], object]) -> str:
    with pytest.raises(TraceStopped) as stopped:
        call()
    assert stopped.value.fix
    return str(stopped.value.code)


def test_a_record_that_is_counted_and_delivered_passes(checkpoint: Checkpoint, hops: Callable[..., JobHops]) -> None:
    probe, job = arrival(GOOD), hops()
    end_ms = count(checkpoint, probe)
    assert job.counted(probe).startswith("zone 'North', window ")
    checkpoint.store.mark_delivered([(end_ms, "North", 1)])
    assert job.posted(probe) == f"zone 'North' to {IDENTITY['target']}, of 1 readings"


@pytest.mark.parametrize(
    ("value", "fix"),
    [
        (b'{"geoZone": "North", "windSpeed": 2003.5}', "Widen `valid`"),
        (b'{"geoZone":"No"rth","windSpeed":2003}', "Correct the device's client attributes"),
        (b'{"geoZone": 1, "windSpeed": 50}', "Correct the device's client attributes"),
    ],
)
def test_the_record_and_not_the_text_of_the_reason_decides_the_fix(
    checkpoint: Checkpoint, hops: Callable[..., JobHops], value: bytes, fix: str
) -> None:
    probe, job = arrival(value), hops()
    count(checkpoint, probe, invalid="a reason in any language")
    with pytest.raises(TraceStopped, match="a reason in any language") as stopped:
        job.counted(probe)
    assert stopped.value.code == "rejected"
    assert (stopped.value.fix or "").startswith(fix)


def test_a_folder_without_a_job(hops: Callable[..., JobHops]) -> None:
    assert code(lambda: hops().counted(arrival(GOOD))) == "job-not-running"


def test_a_job_of_another_topic(checkpoint: Checkpoint, hops: Callable[..., JobHops]) -> None:
    checkpoint.check_identity({**IDENTITY, "topic_id": "of a topic that was deleted"})
    assert code(lambda: hops().counted(arrival(GOOD))) == "job-other-topic"


def test_a_job_that_starts_behind_the_record(checkpoint: Checkpoint, hops: Callable[..., JobHops]) -> None:
    checkpoint.check_identity(IDENTITY)
    checkpoint.store.set_starting_offsets({0: 6})
    assert code(lambda: hops().counted(arrival(GOOD))) == "job-starts-later"


@pytest.mark.parametrize(("age_ms", "expected"), [(60_000, "job-behind"), (-60_000, "window-open")])
def test_a_job_that_has_not_read_the_record_yet(
    checkpoint: Checkpoint, hops: Callable[..., JobHops], age_ms: int, expected: str
) -> None:
    checkpoint.check_identity(IDENTITY)
    assert code(lambda: hops().counted(arrival(GOOD, age_ms))) == expected


def test_a_mean_that_the_target_refuses(checkpoint: Checkpoint, hops: Callable[..., JobHops]) -> None:
    probe, job = arrival(GOOD), hops()
    end_ms = count(checkpoint, probe)
    job.counted(probe)
    checkpoint.store.mark_refused([(end_ms, "North", 1, "too big")])
    assert code(lambda: job.posted(probe)) == "result-refused"


@pytest.mark.parametrize(("age_ms", "expected"), [(60_000, "delivery-failing"), (-60_000, "window-open")])
def test_a_mean_that_is_not_delivered(
    checkpoint: Checkpoint, hops: Callable[..., JobHops], age_ms: int, expected: str
) -> None:
    probe, job = arrival(GOOD, age_ms), hops()
    count(checkpoint, probe)
    job.counted(probe)
    with pytest.raises(TraceStopped) as stopped:
        job.posted(probe)
    assert stopped.value.code == expected
    assert ("connection refused" in stopped.value.text) is (expected == "delivery-failing")


def test_means_that_do_not_go_to_the_platform(checkpoint: Checkpoint, hops: Callable[..., JobHops]) -> None:
    probe, job = arrival(GOOD), hops()
    count(checkpoint, probe, identity={**IDENTITY, "target": "console"})
    job.counted(probe)
    assert code(job.readable) == "results-elsewhere"


@pytest.mark.parametrize(
    ("value", "expected"), [(b'{"geoZone": "North"}', "North"), (b'{"geoZone": 1}', None), (b"[]", None), (None, None)]
)
def test_the_zone_of_a_record(value: bytes | None, expected: str | None) -> None:
    assert arrival(value).zone("geoZone") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'{"windSpeed": 2003.5}', True),
        (b'{"windSpeed": "-1"}', True),
        (b'{"windSpeed": 50}', False),
        (b'{"windSpeed": "fast"}', False),
        (b'{"windSpeed": null}', False),
        (b"2003", False),
        (None, False),
    ],
)
def test_only_a_number_is_outside_the_limits(value: bytes | None, expected: bool) -> None:
    assert arrival(value).is_outside(0, 1000, "windSpeed") is expected
