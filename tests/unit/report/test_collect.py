from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest

from pacifictool.analytics.state.queries import CountedBatch, OffsetRange
from pacifictool.kafka.records import Record
from pacifictool.report.collect import _facts, _groups_to_show, _series
from pacifictool.report.facts import GroupFacts, RunFacts
from pacifictool.report.topic import TopicReadings
from pacifictool.report.wording import figures, notes
from pacifictool.scenario import Scenario, parse_scenario, tutorial_scenario

WINDOW_MS = 10_000
T0 = 1_795_477_550_000
TUTORIAL = tutorial_scenario()
[ZONES] = TUTORIAL.analytics


def record(offset: int, timestamp_ms: int | None, value: bytes | None) -> Record:
    return Record(0, offset, timestamp_ms, broker_time=True, key=None, value=value)


def reading(offset: int, timestamp_ms: int, speed: object, zone: object = "Zone A") -> Record:
    return record(offset, timestamp_ms, json.dumps({"geoZone": zone, "windSpeed": speed}).encode())


def test_records_fall_into_windows_and_batches() -> None:
    batches = [
        CountedBatch(5, T0, done_ms=T0 + 5_000, records=2, ranges=(OffsetRange(0, 2, 4),)),
    ]
    topic = TopicReadings(TUTORIAL.forwarding, [ZONES], T0, batches)
    topic.add(reading(0, T0 - 1, "99"))  # before the time that is read
    topic.add(reading(1, T0, "30"))  # of a batch whose begin is no longer known
    topic.add(reading(2, T0 + 1_000, "33"))
    topic.add(reading(3, T0 + 4_000, 36))
    topic.add(reading(4, T0 + WINDOW_MS, "41", "Zone B"))  # not counted yet
    for useless in (None, b"{", b"[]", b'{"geoZone": 1, "windSpeed": 2}', b'{"geoZone": "Zone A", "windSpeed": "NaN"}'):
        topic.add(record(5, T0 + 5_000, useless))
    topic.add(reading(6, T0 + 5_000, -1))  # outside the valid range
    topic.add(record(7, None, b"{}"))

    assert topic.groups(ZONES) == [("Zone A",), ("Zone B",)]
    [series] = _series(TUTORIAL, ZONES, ("Zone A",), topic, {"windSpeed": {T0 + WINDOW_MS: 33.0}})
    [window] = series.windows
    assert (window.end_ms, window.readings, window.lowest, window.highest) == (T0 + WINDOW_MS, 3, 30, 36)
    assert window.agrees
    assert [band.device for band in series.bands] == ["Wind Turbine 1", "Wind Turbine 2"]
    (batch,) = topic.batches()
    assert (batch.records, batch.median_wait_seconds, batch.longest_wait_seconds) == (2, 2.5, 4.0)


def test_a_mean_without_records_is_shown() -> None:
    topic = TopicReadings(TUTORIAL.forwarding, [ZONES], T0, [])
    [series] = _series(TUTORIAL, ZONES, ("Zone A",), topic, {"windSpeed": {T0 + WINDOW_MS: 33.0}})
    [window] = series.windows
    assert (window.value, window.readings) == (33.0, 0)
    assert not window.agrees


SEVERAL = """
units = { temperature = "°C" }
[forwarding]
topic = "rooms"
attributes = ["site", "room"]
telemetry = ["temperature", "energy"]
device = true
[[analytics]]
name = "rooms"
group_by = ["site", "room"]
window = "20s"
slide = "5s"
telemetry = { all = "count()", n = "count(energy)", total = "sum(temperature)", mean = "mean(temperature)", low = "min(temperature)", high = "max(temperature)", wide = "range(temperature)", spread = "stddev(temperature)", first = "first(energy)", last = "last(energy)", used = "delta(energy)", power = "rate(energy)", middle = "median(temperature)", most = "p90(temperature)", sensors = "count_distinct(deviceName)" }
[[analytics]]
name = "everything"
entity = "All sites"
window = "10s"
telemetry = { mean = "mean(temperature)" }
"""


@pytest.fixture
def several() -> Scenario:
    return parse_scenario(SEVERAL, source="test")


def test_every_function_is_computed_again_over_sliding_windows(several: Scenario) -> None:
    rooms, everything = several.analytics
    topic = TopicReadings(several.forwarding, several.analytics, T0, [])
    rng, sent = random.Random(1), []
    for offset in range(400):
        at = T0 + offset * 100
        values: dict[str, Any] = {}
        if rng.random() < 0.8:
            values["temperature"] = round(rng.uniform(2, 8), 2)
        if rng.random() < 0.5 or not values:
            values["energy"] = str(1000 + offset)
        device = f"Sensor {offset % 3}"
        document = {"site": "North", "room": "1", "deviceName": device, "ts": at, **values}
        topic.add(record(offset, at, json.dumps(document).encode()))
        sent.append((at, device, values))
    windows = dict(topic.windows(rooms, ("North", "1")))
    assert min(windows) == T0 + 20_000, "windows that began before are left out"
    for end_ms, found in windows.items():
        inside = [each for each in sent if end_ms - 20_000 <= each[0] < end_ms]
        temperatures = sorted(each[2]["temperature"] for each in inside if "temperature" in each[2])
        energy = [(each[0], float(each[2]["energy"])) for each in inside if "energy" in each[2]]
        mean = sum(temperatures) / len(temperatures)
        rank = 0.9 * (len(temperatures) - 1)
        low = temperatures[int(rank)]
        most = low + (temperatures[min(int(rank) + 1, len(temperatures) - 1)] - low) * (rank - int(rank))
        half = len(temperatures) // 2
        expected = {
            "all": len(inside),
            "n": len(energy),
            "total": sum(temperatures),
            "mean": mean,
            "low": temperatures[0],
            "high": temperatures[-1],
            "wide": temperatures[-1] - temperatures[0],
            "spread": math.sqrt(sum((value - mean) ** 2 for value in temperatures) / (len(temperatures) - 1)),
            "first": energy[0][1],
            "last": energy[-1][1],
            "used": energy[-1][1] - energy[0][1],
            "power": (energy[-1][1] - energy[0][1]) * 1000 / (energy[-1][0] - energy[0][0]),
            "middle": temperatures[half] if len(temperatures) % 2 else sum(temperatures[half - 1 : half + 1]) / 2,
            "most": most,
            "sensors": 3,
        }
        assert {key: found.result(each) for key, each in rooms.telemetry.items()} == pytest.approx(expected)
    assert len(dict(topic.windows(everything, ()))) == 4


def test_groups_are_cut_and_can_be_chosen(several: Scenario) -> None:
    rooms = several.analytics[0]
    topic = TopicReadings(several.forwarding, several.analytics, T0, [])
    for number in range(30):
        document = {"site": "North", "room": f"{number:02d}", "deviceName": "S", "ts": T0, "temperature": 5}
        topic.add(record(number, T0, json.dumps(document).encode()))
    shown, left_out = _groups_to_show(several, rooms, topic, ())
    assert (len(shown), left_out) == (12, 18)
    assert _groups_to_show(several, rooms, topic, ("North / 29",)) == ([(("North", "29"), "North / 29")], 29)


def test_results_of_a_function_are_shown_and_not_computed_again() -> None:
    scenario = parse_scenario(
        """
[forwarding]
topic = "rooms"
attributes = ["site"]
telemetry = ["temperature"]
[[analytics]]
name = "scores"
group_by = ["site"]
window = "10s"
function = "scoring:score"
""",
        source="test",
    )
    [scores] = scenario.analytics
    topic = TopicReadings(scenario.forwarding, [scores], T0, [])
    topic.add(record(0, T0, b'{"site": "North", "temperature": 5}'))
    [series] = _series(scenario, scores, ("North",), topic, {"score": {T0 + WINDOW_MS: 0.5}})
    assert (series.key, series.is_recomputed, series.bands) == ("score", False, ())
    [window] = series.windows
    assert (window.value, window.readings, window.topic_value) == (0.5, 1, None)

    groups = (GroupFacts("North", (series,)),)
    facts = RunFacts("http://h", "rooms", T0, T0 + WINDOW_MS, 1, (_facts(scenario, scores, groups, 0),), None)
    assert (facts.posted, facts.compared, facts.agreeing) == (1, 0, 0)
    assert ("Equal to the topic", "0 of 0") in figures(facts)
    assert "The results of scores come from functions" in "".join(notes(facts))
    assert "differ" not in "".join(notes(facts))
