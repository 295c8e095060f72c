"""The hops through the job, read from a real checkpoint; tests/e2e/test_trace_job.py runs a job."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pacifictool.analytics.state.checkpoint import Checkpoint
from pacifictool.analytics.state.outcome_store import WindowOutcome
from pacifictool.analytics.state.outcomes import KeptOutcome
from pacifictool.analytics.state.queries import InvalidRecord
from pacifictool.kafka.records import Record
from pacifictool.problems import ProblemCode
from pacifictool.runtime.ports import free_ports
from pacifictool.scenario import parse_scenario
from pacifictool.trace.hops import TraceStopped
from pacifictool.trace.job import JobHops
from pacifictool.trace.windows import Arrival, ResultWindow, taking
from tests.support.job_folders import count_windows, job_checkpoint, job_identity

SCENARIO = parse_scenario(
    (resources.files("pacifictool") / "resources" / "tutorial.toml")
    .read_text(encoding="utf-8")
    .replace('window = "10s"', 'window = "2s"')
    .replace("max = 1e9", "max = 1000"),
    source="test",
)
WINDOW_MS = 2000
IDENTITY = job_identity(SCENARIO, target=f"rest http://127.0.0.1:{free_ports(1)[0]}", topic_id="id")


def arrival(value: bytes | None, age_ms: int = 60_000) -> Arrival:
    """A record at offset 5 of partition 0, written and read this long ago."""
    ts_ms = round(time.time() * 1000) - age_ms
    record = Record(partition=0, offset=5, timestamp_ms=ts_ms, broker_time=True, value=value, key=None)
    return Arrival(record, monotonic() - max(0, age_ms) / 1000)


GOOD = b'{"geoZone": "North", "windSpeed": 32.5}'


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    """Held, as by a job that runs."""
    with job_checkpoint(tmp_path / "job", SCENARIO) as found:
        yield found


@pytest.fixture
def hops(tmp_path: Path) -> Iterator[Callable[..., JobHops]]:
    made: list[JobHops] = []

    def make(deadline: float = 0.0, delivery_timeout: float = 20.0) -> JobHops:
        made.append(
            JobHops(
                platform=cast(Any, SimpleNamespace()),
                settings=cast(Any, SimpleNamespace(url="http://127.0.0.1:1", mqtt=None)),
                scenario=SCENARIO,
                folders=[tmp_path / "job"],
                key="windSpeed",
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
    bad = [] if invalid is None else [InvalidRecord(SCENARIO.forwarding.topic, 0, 5, invalid, 1, record.value)]
    count_windows(checkpoint, SCENARIO, {} if bad else {("zones", ("North",), end_ms): 1}, end=6, invalid=bad)
    return end_ms


def code(call: Callable[[], object]) -> str:
    with pytest.raises(TraceStopped) as stopped:
        call()
    assert stopped.value.fix
    return str(stopped.value.code)


def test_a_record_that_is_counted_and_delivered_passes(checkpoint: Checkpoint, hops: Callable[..., JobHops]) -> None:
    probe, job = arrival(GOOD), hops()
    count(checkpoint, probe)
    assert job.counted(probe).startswith("zone 'North', window ")
    checkpoint.store.mark_delivered(checkpoint.store.due(None, 10))
    assert job.posted(probe) == f"zone 'North' to {IDENTITY['target']}, of 1 readings"


@pytest.mark.parametrize(
    ("value", "fix"),
    [
        (b'{"geoZone": "North", "windSpeed": 2003.5}', "Widen `valid`"),
        (b'{"geoZone":"No"rth","windSpeed":2003}', "Correct the device's attributes"),
        (b'{"geoZone": 1, "windSpeed": 50}', "Correct the device's attributes"),
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
    count(checkpoint, probe)
    job.counted(probe)
    checkpoint.store.mark_refused(checkpoint.store.due(None, 10), "too big")
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
    ("value", "expected"),
    [(b'{"geoZone": "North"}', ("North",)), (b'{"geoZone": 1}', None), (b"[]", None), (None, None)],
)
def test_the_group_of_a_record(value: bytes | None, expected: tuple[str, ...] | None) -> None:
    assert arrival(value).group(SCENARIO.analytics[0]) == expected


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


SEVERAL = """
labels = { site = "shop" }
[forwarding]
topic = "rooms"
attributes = ["site"]
telemetry = ["temperature", "humidity"]
device = true
[[analytics]]
name = "sites"
group_by = ["site"]
window = "6s"
slide = "2s"
telemetry = { temperature = "mean(temperature)" }
[[analytics]]
name = "sensors"
group_by = ["deviceName"]
entity = "{deviceName} 1 h"
entity_kind = "device"
window = "1h"
ts = "start"
telemetry = { temperature = "mean(temperature)" }
[[analytics]]
name = "damp"
group_by = ["site"]
window = "2s"
telemetry = { humidity = "mean(humidity)" }
"""


def test_a_reading_is_followed_through_every_analytics_of_its_key(tmp_path: Path) -> None:
    scenario = parse_scenario(SEVERAL, source="test")
    assert [each.name for each in taking(scenario.analytics, "temperature")] == ["sites", "sensors"]
    assert [each.name for each in taking(scenario.analytics, "humidity")] == ["damp"]
    probe = arrival(b'{"site": "North", "deviceName": "S1", "ts": 1, "temperature": 5.5}', age_ms=3000)
    written_ms = probe.record.timestamp_ms or 0
    ends = {"sites": (written_ms // 2000 + 1) * 2000, "sensors": (written_ms // 3_600_000 + 1) * 3_600_000}
    found: dict[str, list[str]] = {"assets": [], "devices": []}

    def entities(kind: str) -> Any:
        def find(name: str) -> Any:
            found[kind].append(name)
            return SimpleNamespace(name=name, noun=kind[:-1], type=scenario.entity_type(cast(Any, kind[:-1])))

        return SimpleNamespace(find=find)

    points = SimpleNamespace(range=lambda _entity, key, *_: [SimpleNamespace(value=5.25)] if key != "humidity" else [])
    platform = SimpleNamespace(assets=entities("assets"), devices=entities("devices"), telemetry=points)
    job = JobHops(
        platform=cast(Any, platform),
        settings=cast(Any, SimpleNamespace(url="http://127.0.0.1:1", mqtt=None)),
        scenario=scenario,
        folders=[tmp_path / "job"],
        key="temperature",
        topic_id="id",
        pause=time.sleep,
        deadline=monotonic() + (1 if ends["sensors"] - written_ms > 10_000 else 0),
        delivery_timeout=20,
    )
    with job_checkpoint(tmp_path / "job", scenario) as checkpoint:
        checkpoint.check_identity(job_identity(scenario, target="rest http://127.0.0.1:1", topic_id="id"))
        windows: dict[tuple[str, tuple[str, ...], int], int] = {
            ("sites", ("North",), ends["sites"]): 3,
            ("sensors", ("S1",), ends["sensors"]): 3,
        }
        count_windows(checkpoint, scenario, windows, end=6)
        text = job.counted(probe)
        assert text.startswith("sites: shop 'North', window ")
        assert "; sensors: device 'S1 1 h', window " in text
        checkpoint.store.mark_delivered(checkpoint.store.due(None, 10))
        assert job.posted(probe) == "sites: shop 'North' to rest http://127.0.0.1:1, of 3 readings"
        read, notes = job.readable()
    job.close()
    assert read == "sites: 5.25 on asset 'North'"
    assert found == {"assets": ["North"], "devices": []}
    [note] = notes
    assert note.startswith("sensors: the window of device 'S1 1 h' ends at ")


def test_a_job_that_computes_nothing_of_the_key(tmp_path: Path) -> None:
    scenario = parse_scenario(SEVERAL, source="test")
    probe = arrival(b'{"site": "North", "deviceName": "S1", "ts": 1, "temperature": 5.5}')
    job = JobHops(
        platform=cast(Any, SimpleNamespace()),
        settings=cast(Any, SimpleNamespace(url="http://127.0.0.1:1", mqtt=None)),
        scenario=scenario,
        folders=[tmp_path / "job"],
        key="temperature",
        topic_id="id",
        pause=time.sleep,
        deadline=monotonic(),
        delivery_timeout=20,
    )
    only = scenario.only(["damp"])
    with job_checkpoint(tmp_path / "job", only) as checkpoint:
        checkpoint.check_identity(job_identity(only, topic_id="id"))
        count_windows(checkpoint, only, {}, end=6)
        assert code(lambda: job.counted(probe)) == "job-other-analytics"
    job.close()


# --- functions -------------------------------------------------------------------------------------------------------

FUNCTION = parse_scenario(
    (resources.files("pacifictool") / "resources" / "tutorial.toml")
    .read_text(encoding="utf-8")
    .replace('telemetry = { windSpeed = "mean(windSpeed)" }', 'function = "scoring:score"')
    .replace('window = "10s"', 'window = "2s"'),
    source="test",
)


@pytest.mark.parametrize(
    ("outcome", "wanted"),
    [
        (KeptOutcome(3, {"score": 1.0, "other": 2.0}), ["score", "other"]),
        (KeptOutcome(3, None, (("asset", "Elsewhere", {"score": 1.0}),)), "none: scoring:score returned no result"),
        (KeptOutcome(3, failure="scoring:score raised ValueError: no"), ProblemCode.FUNCTION_FAILED),
    ],
)
def test_what_a_function_gave_is_what_is_read_back(tmp_path: Path, outcome: KeptOutcome, wanted: object) -> None:
    [analytics] = FUNCTION.analytics
    assert taking(FUNCTION.analytics, "windSpeed") == [analytics]
    with job_checkpoint(tmp_path / "job", FUNCTION) as checkpoint:
        checkpoint.check_identity(job_identity(FUNCTION))
        checkpoint.store.keep_outcomes([WindowOutcome(analytics.name, "North", 2000, outcome)])
        hops = JobHops(
            platform=cast(Any, None), settings=cast(Any, None), scenario=FUNCTION, folders=[tmp_path / "job"],
            key="windSpeed", topic_id="x", pause=time.sleep, deadline=0, delivery_timeout=0,
        )  # fmt: skip
        hops._open(tmp_path / "job")
        window = ResultWindow(analytics, ("North",), 2000, 2000, "zone", "result")
        if isinstance(wanted, ProblemCode):
            with pytest.raises(TraceStopped) as stopped:
                hops._without_results(window)
            assert stopped.value.code is wanted
            assert "raised ValueError: no" in str(stopped.value)
        elif isinstance(wanted, list):
            assert hops._without_results(window) is None
            assert hops._keys(window) == wanted
        else:
            assert str(wanted) in (hops._without_results(window) or "")
        hops.close()
