"""What a scenario calls things, and which group an entity belongs to."""

from __future__ import annotations

import pytest

from pacifictool.scenario import Scenario, parse_scenario, tutorial_scenario

ROOMS = """
units = { temperature = "°C", energy = "kWh" }
labels = { device = "battery", temperature = "air temperature", site = "house" }
[forwarding]
topic = "rooms"
attributes = ["site", "room"]
telemetry = ["temperature", "energy"]
device = true
[[analytics]]
name = "rooms"
group_by = ["site", "room"]
window = "5m"
telemetry = { temperature = "mean(temperature)", hottest = "p95(temperature)", power = "rate(energy)", readings = "count()" }
[[analytics]]
name = "all"
group_by = []
entity = "All sites"
window = "1h"
telemetry = { temperature = "mean(temperature)" }
[[analytics]]
name = "own"
group_by = ["deviceName"]
entity = "{deviceName} (1 h)"
entity_kind = "device"
window = "1h"
telemetry = { temperature = "max(temperature)" }
"""


@pytest.fixture
def rooms() -> Scenario:
    return parse_scenario(ROOMS, source="test")


def test_words_come_from_the_labels(rooms: Scenario) -> None:
    by_room = rooms.analytics[0]
    assert (rooms.device_word(), rooms.device_word(2)) == ("battery", "batteries")
    assert [rooms.group_word(each, 2) for each in rooms.analytics] == ["house / rooms", "groups", "batteries"]
    assert [rooms.result_word(each, 2) for each in rooms.analytics] == ["results", "means", "results"]
    titles = [rooms.result_title(by_room, key) for key in by_room.telemetry]
    assert titles == ["air temperature (°C)", "hottest (°C)", "power (kWh/s)", "readings"]
    tutorial = tutorial_scenario()
    assert tutorial.group_word(tutorial.analytics[0], 2) == "zones"
    assert tutorial.result_word(tutorial.analytics[0]) == "mean"


@pytest.mark.parametrize(
    ("index", "name", "group"),
    [
        (0, "North / 1", ("North", "1")),
        (0, "North", None),
        (1, "All sites", ()),
        (1, "Some sites", None),
        (2, "Sensor (2) (1 h)", ("Sensor (2)",)),
        (2, "Sensor", None),
    ],
)
def test_the_name_of_an_entity_gives_its_group(
    rooms: Scenario, index: int, name: str, group: tuple[str, ...] | None
) -> None:
    assert rooms.analytics[index].group_of_entity(name) == group


def test_a_key_that_the_pattern_names_twice_has_one_value() -> None:
    text = ROOMS.replace('group_by = ["site", "room"]', 'group_by = ["site", "room"]\nentity = "{site}-{room}-{site}"')
    by_room = parse_scenario(text, source="test").analytics[0]
    assert by_room.group_of_entity("N-1-N") == ("N", "1")
    assert by_room.group_of_entity("N-1-S") is None
