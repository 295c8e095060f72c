"""Scenarios: what is accepted, what it means, and the sentence for each mistake."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifictool.errors import ExitCode, ScenarioError
from pacifictool.models.config import ConstantModel, NormalModel, UniformModel
from pacifictool.scenario import (
    Aggregate,
    Attribute,
    Scenario,
    check_key,
    load_scenario,
    parse_scenario,
    tutorial_scenario,
)
from pacifictool.scenario.aggregates import FUNCTIONS
from tests.support.documents import ROOT

FORWARDING = '[forwarding]\ntopic = "rooms"\nattributes = ["site", "server:tier"]\ntelemetry = ["temperature"]\n'
ANALYTICS = '[[analytics]]\nname = "sites"\ngroup_by = ["site"]\nwindow = "1m"\n'
MEAN = 'telemetry = { temperature = "mean(temperature)" }\n'
DEVICE = (
    '[[devices]]\nname = "S1"\nattributes = { site = "North" }\ntelemetry = { temperature = { min = 1, max = 2 } }\n'
)
WHOLE = FORWARDING + ANALYTICS + MEAN + DEVICE
FLEET = '[fleet]\nattributes = { site = "Site {group}" }\ntelemetry = { temperature = { min = 1, max = 2 } }\n'


def parsed(text: str) -> Scenario:
    return parse_scenario(text, source="rooms.toml")


def refusal(text: str) -> ScenarioError:
    with pytest.raises(ScenarioError) as caught:
        parsed(text)
    assert caught.value.message.startswith("rooms.toml")
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.hint
    return caught.value


def with_analytics(
    *analytics: dict[str, Any], device: bool = True, sites: tuple[str, ...] = (), **more: Any
) -> Scenario:
    """A scenario with attributes site and room, and a device in each of the places "site/room"."""
    places = [site.split("/") for site in sites]
    return Scenario.model_validate(
        {
            "forwarding": {
                "topic": "t",
                "attributes": ["site", "room"],
                "telemetry": ["temperature", "humidity"],
                "device": device,
            },
            "analytics": [
                {"name": f"a{number}", "window": "1m", "telemetry": {"mean": "mean(temperature)"}} | each
                for number, each in enumerate(analytics)
            ],
            "devices": [
                {
                    "name": f"S{number}",
                    "attributes": {"site": site, "room": room},
                    "telemetry": {"temperature": {"min": 1, "max": 2}},
                }
                for number, (site, room) in enumerate(places)
            ],
            **more,
        }
    )


def test_the_tutorial_is_what_the_tutorial_says() -> None:
    scenario = tutorial_scenario()
    assert [(d.name, dict(d.attributes), dict(d.telemetry), d.rate) for d in scenario.devices] == [
        ("Wind Turbine 1", {"geoZone": "Zone A"}, {"windSpeed": UniformModel(min=30, max=35)}, 10),
        ("Wind Turbine 2", {"geoZone": "Zone A"}, {"windSpeed": UniformModel(min=45, max=50)}, 10),
        ("Wind Turbine 3", {"geoZone": "Zone B"}, {"windSpeed": UniformModel(min=30, max=60)}, 10),
    ]
    assert [asset.name for asset in scenario.assets] == ["Zone A"]
    assert scenario.entities() == ("Zone A", "Zone B")
    assert (scenario.platform.device_type, scenario.asset_type) == ("WeatherStation", "WeatherStation")
    assert scenario.forwarding.topic == "weather-stations-data"
    [zones] = scenario.analytics
    assert (zones.name, zones.group_by, zones.window_ms, zones.slide_ms) == ("zones", ("geoZone",), 10_000, 10_000)
    assert zones.telemetry == {"windSpeed": Aggregate("mean", "windSpeed")}
    assert (scenario.device_word(), scenario.device_word(3), scenario.title("windSpeed")) == (
        "turbine",
        "turbines",
        "wind speed",
    )


# --- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[platform\n", "line 1"),
        ("a = 1\nb = = 2\n", "line 2"),
        ("", "key 'forwarding' is missing"),
        ("[forwarding]\n", "key 'forwarding.topic' is missing; key 'forwarding.telemetry' is missing"),
        (FORWARDING + "[speed]\n", "unknown key 'speed' (known: 'platform', 'forwarding', "),
        ('[platform]\ntype = "x"\n' + FORWARDING, "unknown key 'platform.type' (known: 'device_type', 'asset_type'"),
        (WHOLE.replace("group_by", "groupby"), "unknown key 'analytics[1].groupby' (did you mean 'group_by'?)"),
        (WHOLE + "rates = 2\n", "unknown key 'devices[1].rates' (did you mean 'rate'?)"),
        (
            WHOLE + 'anomalies = [{ key = "temperature", after = "1s", last = "1s", add = 1 }]\n',
            "key 'devices[1].anomalies[1].lasts' is missing; unknown key 'devices[1].anomalies[1].last' (did you mean 'las",
        ),
        (WHOLE.replace("max = 2", "maximum = 2"), "unknown key 'devices[1].telemetry.temperature.maximum'"),
        (WHOLE.replace("[[analytics]]", "[analytics]"), "analytics: must be tables: [[analytics]]"),
        (FORWARDING + "[[fleet]]\n", "fleet: must be a table"),
        (WHOLE.replace('"1m"', '"soon"'), "analytics[1].window: 'soon' is not a duration"),
        (WHOLE.replace('"1m"', "true"), "analytics[1].window: a duration is a number of seconds"),
        (WHOLE.replace('"1m"', "0"), "analytics[1].window: must be greater than or equal to 0.1"),
        (WHOLE.replace('"1m"', "0.1234"), "window must be a whole number of milliseconds"),
        (WHOLE.replace('"1m"', '"1m"\nslide = "7s"'), "slide must be a whole part of window"),
        (WHOLE.replace('"1m"', '"1m"\nslide = "2m"'), "slide must be a whole part of window"),
        (WHOLE.replace('"1m"', '"1h"\nslide = "1s"'), "a record may count in at most 1000 windows"),
        (WHOLE.replace('"1m"', '"1m"\nlateness = "-1s"'), "analytics[1].lateness: '-1s' is not a duration"),
        (WHOLE.replace('"1m"', '"1m"\nts = "middle"'), "analytics[1].ts: must be 'end' or 'start'"),
        (WHOLE.replace('"1m"', '"1m"\nentity_kind = "house"'), "analytics[1].entity_kind: must be 'asset' or 'device'"),
        (WHOLE.replace('"sites"', '"all sites"'), "analytics[1].name: 'all sites' is not possible"),
        (WHOLE.replace('["site"]\nwindow', '"site"\nwindow'), "analytics[1].group_by: must be a list"),
        (WHOLE.replace('["site"]\nwindow', '["site", "site"]\nwindow'), "analytics[1].group_by: 'site' is there twice"),
        (
            WHOLE.replace('["site"]\nwindow', '["sit"]\nwindow'),
            "analytics 'sites': group_by 'sit' is not in forwarding.attributes (did you mean 'site'?)",
        ),
        (
            WHOLE.replace('["site"]\nwindow', '["deviceName"]\nwindow'),
            "analytics 'sites': group_by 'deviceName' needs device = true in [forwarding]",
        ),
        (WHOLE.replace('["site"]\nwindow', "[]\nwindow"), 'entity must name where results go, such as entity = "All '),
        (WHOLE.replace(MEAN, "telemetry = {}\n"), "analytics[1]: telemetry or function must say what is computed"),
        (WHOLE.replace("mean(", "average("), "analytics[1].telemetry.temperature: there is no function 'average'"),
        (WHOLE.replace('"mean(temperature)"', '"mean()"'), "mean() needs a key, such as mean(temperature)"),
        (WHOLE.replace('"mean(temperature)"', '"temperature"'), "'temperature' is not a function of a key"),
        (WHOLE.replace('"mean(temperature)"', "5"), "5 is not a function of a key"),
        (
            WHOLE.replace("mean(temperature)", "mean(temprature)"),
            "'mean(temprature)': 'temprature' is not in forwarding.telemetry (did you mean 'temperature'?)",
        ),
        (WHOLE.replace("mean(temperature)", "max(site)"), "'site' is a text, for which there is only count_distinct"),
        (
            WHOLE.replace("mean(temperature)", "count_distinct(deviceName)"),
            "'count_distinct(deviceName)' needs device = true in [forwarding]",
        ),
        (WHOLE + ANALYTICS + MEAN, "two analytics have the name 'sites'"),
        (WHOLE + DEVICE, "two devices have the name 'S1'"),
        (WHOLE + '[[assets]]\nname = "N"\n[[assets]]\nname = "N"\n', "two assets have the name 'N'"),
        (WHOLE.replace('"rooms"', '"a b"'), "forwarding.topic: 'a b' cannot be a topic"),
        (WHOLE.replace('"rooms"', '".."'), "forwarding.topic: '..' cannot be a topic"),
        (WHOLE.replace('"rooms"', '"rooms"\npartitions = 0'), "forwarding.partitions: must be greater than or equal"),
        (WHOLE.replace('"rooms"', '"rooms"\ndevice = "yes"'), "forwarding.device: must be true or false"),
        (WHOLE.replace('"rooms"', '"rooms"\nevent_time = "reading"'), 'event_time = "reading" needs device = true'),
        (WHOLE.replace('"rooms"', '"rooms"\nvalid = { min = 0, max = 5 }'), "valid has one for each key, such as"),
        (WHOLE.replace('"rooms"', '"rooms"\nvalid = { x = {} }'), "forwarding: valid: 'x' is not in telemetry"),
        (
            WHOLE.replace('"rooms"', '"rooms"\nvalid = { temperature = { min = 5, max = 1 } }'),
            "forwarding.valid.temperature: min (5) is greater than max (1)",
        ),
        (
            WHOLE.replace('"rooms"', '"rooms"\nvalid = { temperature = { max = 1e12 } }'),
            "min and max must lie within -1e9 and 1e9",
        ),
        (WHOLE.replace('["temperature"]', "[]"), "forwarding.telemetry: must not be empty"),
        (WHOLE.replace('["temperature"]', '"temperature"'), "forwarding.telemetry: must be a list in square brackets"),
        (WHOLE.replace('["temperature"]', '["site"]'), "two members of a record would have the key 'site'"),
        (WHOLE.replace('["temperature"]', '["ts"]'), "the key 'ts' is what device = true adds to a record"),
        (WHOLE.replace('"server:tier"', '"shared:site"'), "two members of a record would have the key 'site'"),
        (WHOLE.replace('"server:tier"', '"cloud:tier"'), "'cloud:tier': the scopes of attributes are client, server"),
        (WHOLE.replace('"server:tier"', '"server:"'), "forwarding.attributes[2]: a key must not be empty"),
        (WHOLE.replace('"server:tier"', "7"), "forwarding.attributes[2]: an attribute is a text, such as"),
        (WHOLE + "rate = -1\n", "devices[1].rate: must be greater than 0"),
        (WHOLE + "rate = nan\n", "devices[1].rate: must be"),
        (WHOLE + 'rate = "often"\n', "devices[1].rate: must be a number"),
        (WHOLE.replace('"S1"', '""'), "devices[1].name: a name must not be empty"),
        (WHOLE.replace('"S1"', "7"), "devices[1].name: must be a text in quotes"),
        (WHOLE.replace('"S1"', '"a\\u0007b"'), "devices[1].name: a name must not hold control characters"),
        (WHOLE.replace("S1", "x" * 256), "devices[1].name: a name has at most 255 characters, this one has 256"),
        (WHOLE.replace('{ site = "North" }', "{ site = 7 }"), "devices[1].attributes.site: must be a text in quotes"),
        (
            WHOLE.replace('{ site = "North" }', '{ sit = "North" }'),
            "devices[1].attributes: 'sit' is not in forwarding.attributes (did you mean 'site'?)",
        ),
        (WHOLE.replace('site = "North"', ""), "devices[1].attributes: 'site' is missing; all analytics group by it"),
        (
            WHOLE.replace('"North" }', '"North", floor = "1" }'),
            "devices[1].attributes: 'floor' is not in forwarding.attributes (known: 'site', 'server:tier')",
        ),
        (
            WHOLE.replace('site = "North"', '"client:site" = "South", site = "North"'),
            "devices[1].attributes: 'site' is there twice, once as 'client:site'",
        ),
        (
            WHOLE.replace("{ temperature = {", "{ humidity = {"),
            "devices[1].telemetry: 'humidity' is not in forwarding.telemetry (known: 'temperature')",
        ),
        (WHOLE.replace("{ temperature = { min = 1, max = 2 } }", "{}"), "devices[1].telemetry: must not be empty"),
        (WHOLE.replace("min = 1", "min = 3"), "devices[1].telemetry.temperature: min (3) is greater than max (2)"),
        (WHOLE.replace("min = 1", "min = 1.5"), "devices[1].telemetry.temperature.min: must be a whole number"),
        (
            WHOLE.replace("min = 1", 'model = "sin", min = 1'),
            "devices[1].telemetry.temperature: the models are uniform",
        ),
        (
            WHOLE.replace("{ min = 1, max = 2 }", '"cold"'),
            "devices[1].telemetry.temperature: there is no model 'cold': a table [models.cold] would describe it",
        ),
        (
            WHOLE.replace("{ min = 1, max = 2 }", '"cold"') + '[models.could]\nmodel = "constant"\nvalue = 1\n',
            "devices[1].telemetry.temperature: there is no model 'cold' (did you mean 'could'?)",
        ),
        (WHOLE + '[models.m]\nmodel = "normal"\nmean = 1\n', "key 'models.m.deviation' is missing"),
        (WHOLE + '[labels]\ntempature = "heat"\n', "labels: the scenario has no key 'tempature' (did you mean 'temp"),
        (
            WHOLE + '[labels]\n"server:tier" = "heat"\n',
            "labels: the scenario has no key 'server:tier' (known: 'device', ",
        ),
        (WHOLE + '[labels]\nsite = ""\n', "labels.site: a name must not be empty"),
        (WHOLE + '[units]\nsite = "m"\n', "units: the scenario has no key 'site' (known: 'temperature')"),
        (
            WHOLE + FLEET.replace("{ temperature =", "{ heat ="),
            "fleet.telemetry: 'heat' is not in forwarding.telemetry",
        ),
        (WHOLE + FLEET.replace("{ site =", '{ site = "S", sight ='), "fleet.attributes: 'sight' is not in forwarding."),
        (WHOLE + FLEET.replace('{ site = "Site {group}" }', "{}"), "fleet.attributes: 'site' is missing"),
        (WHOLE + FLEET.replace("Site {group}", "x" * 256), "rooms.toml: fleet.attributes.site: a name has at most 255"),
        (WHOLE + FLEET.replace('"Site {group}"', "[]"), "fleet.attributes.site"),
        (WHOLE + FLEET.replace("{group}", "{house}"), "may hold {group} and {number}, and no other braces"),
        (WHOLE + FLEET + 'name = "Sensor"\n', "fleet.name: 'Sensor' must hold {number}"),
        (WHOLE + FLEET.replace("min = 1", "min = 3"), "fleet.telemetry.temperature[1]: min (3) is greater than max"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(text: str, complaint: str) -> None:
    message = refusal(text).message
    assert complaint in message
    assert "\n" not in message
    assert "validation" not in message
    assert "Input should" not in message


@pytest.mark.parametrize("key", ["temp-celsius", "site id", "größe", "a.b", "CO₂", "50%", "a:b", "[x]"])
def test_keys_may_be_more_than_identifiers(key: str) -> None:
    assert check_key(key) == key
    text = WHOLE.replace("temperature", key).replace(f"{{ {key}", f'{{ "{key}"').replace(f"valid = {key}", "valid")
    assert parsed(text).forwarding.telemetry == (key,)


@pytest.mark.parametrize(
    "key", ["", " ", " a", "a ", 'a"b', "a'b", "a\\b", "$a", "#a", "a{b", "a}b", "f(x)", "a,b", "a\tb", "x" * 256]
)
def test_keys_that_scripts_of_the_platform_cannot_hold_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        check_key(key)


def test_a_missing_or_binary_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="There is no scenario file"):
        load_scenario(tmp_path / "nosuch.toml")
    (tmp_path / "bin.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ScenarioError, match="cannot be read"):
        load_scenario(tmp_path / "bin.toml")


@given(st.text())
def test_any_text_is_either_a_scenario_or_a_scenario_error(text: str) -> None:
    try:
        parse_scenario(text, source="fuzz")
    except ScenarioError as error:
        assert error.message.startswith("fuzz")


_KEYS = [
    "topic",
    "attributes",
    "telemetry",
    "name",
    "group_by",
    "window",
    "entity",
    "valid",
    "min",
    "site",
    "sine",
    "zone",
]
_VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-5, 5), st.floats(), st.sampled_from(["", "t", "site", "{x}", "1s"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(_KEYS), inner, max_size=3)),
    max_leaves=8,
)
_TABLES = [*Scenario.model_fields, "turbines", "aggregation", "kafka", "winds"]


@given(st.dictionaries(st.sampled_from(_TABLES), _VALUES, max_size=5))
def test_any_document_is_either_a_scenario_or_a_scenario_error(document: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tomllib, "loads", lambda _text: document)
        try:
            parse_scenario("", source="fuzz")
        except ScenarioError as error:
            assert error.message.startswith("fuzz")
            assert "\n" not in error.message


# --- attributes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key", "scope", "shown"),
    [
        ("site", "site", "client", "site"),
        ("client:site", "site", "client", "site"),
        ("server:tier", "tier", "server", "server:tier"),
        ("shared:site id", "site id", "shared", "shared:site id"),
        ("server:a:b", "a:b", "server", "server:a:b"),
    ],
)
def test_attributes_have_scopes(text: str, key: str, scope: str, shown: str) -> None:
    attribute = Attribute.parse(text)
    assert (attribute.key, attribute.scope, str(attribute)) == (key, scope, shown)
    assert Attribute.parse(attribute) is attribute


def test_records_and_groups_know_attributes_by_their_keys() -> None:
    text = WHOLE.replace('site = "North"', '"client:site" = "North", "server:tier" = "gold"')
    scenario = parsed(text.replace('group_by = ["site"]', 'group_by = ["tier", "site"]'))
    assert scenario.forwarding.attribute_keys == ("site", "tier")
    [device] = scenario.devices
    assert device.attributes == {"site": "North", "server:tier": "gold"}
    assert scenario.group_of(device, scenario.analytics[0]) == ("gold", "North")
    assert scenario.entities() == ("gold / North",)


def test_a_device_may_lack_an_attribute_by_which_only_some_analytics_group() -> None:
    scenario = with_analytics({"group_by": ["site"]}, {"group_by": ["site", "room"]}, sites=("A/1",))
    [device] = scenario.devices
    homeless = device.model_copy(update={"name": "S9", "attributes": {"site": "A"}})
    scenario = Scenario.model_validate(
        scenario.model_dump(mode="json")
        | {"devices": [device.model_dump(mode="json"), homeless.model_dump(mode="json")]}
    )
    sites, rooms = scenario.analytics
    assert scenario.group_of(scenario.devices[1], rooms) is None
    assert [len(devices) for devices in scenario.groups(sites).values()] == [2]
    assert [len(devices) for devices in scenario.groups(rooms).values()] == [1]


# --- functions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [*FUNCTIONS, "p1", "p50", "p99"])
def test_every_function_is_known_in_any_spelling(function: str) -> None:
    aggregate = Aggregate.parse(f" {function.upper()} ( temp celsius ) ")
    assert (aggregate.function, aggregate.key) == (function, "temp celsius")
    assert Aggregate.parse(str(aggregate)) == aggregate
    assert Aggregate.parse(aggregate) is aggregate


@pytest.mark.parametrize(
    "text", ["p0(x)", "p100(x)", "p05(x)", "avg(x)", "mean", "mean(x", "mean(x))", "mean(f(x))", "", "sum()", None]
)
def test_what_is_no_function_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match=r"function|needs a key"):
        Aggregate.parse(text)


def test_percentiles() -> None:
    assert [Aggregate.parse(text).percentile for text in ("p5(x)", "median(x)", "mean(x)", "count()")] == [
        5,
        50,
        None,
        None,
    ]


# --- windows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "window_ms", "slide_ms", "lateness_ms"),
    [
        ('window = "10s"', 10_000, 10_000, 10_000),
        ('window = "10m"\nslide = "1m"', 600_000, 60_000, 10_000),
        ('window = 0.5\nlateness = "1h"', 500, 500, 3_600_000),
        ('window = "366d"\nslide = "1d"\nlateness = 0', 366 * 86_400_000, 86_400_000, 0),
    ],
)
def test_windows_and_slides(keys: str, window_ms: int, slide_ms: int, lateness_ms: int) -> None:
    [each] = parsed(WHOLE.replace('window = "1m"', keys)).analytics
    assert (each.window_ms, each.slide_ms, each.lateness_ms) == (window_ms, slide_ms, lateness_ms)


def test_windows_can_be_replaced_and_are_checked_again() -> None:
    changed = tutorial_scenario().with_analytics(window="2s", slide="1s")
    assert [(each.window_ms, each.slide_ms) for each in changed.analytics] == [(2000, 1000)]
    assert changed.analytics[0].telemetry == tutorial_scenario().analytics[0].telemetry
    with pytest.raises(ValueError, match="greater than or equal"):
        tutorial_scenario().with_analytics(window=0)
    with pytest.raises(ValueError, match="whole part"):
        tutorial_scenario().with_analytics(slide="3s")


def test_some_of_the_analytics() -> None:
    scenario = with_analytics({"group_by": ["site"]}, {"group_by": ["room"]}, {"group_by": ["site", "room"]})
    assert [each.name for each in scenario.only(["a2", "a0", "a2"]).analytics] == ["a2", "a0"]
    with pytest.raises(ScenarioError, match="no analytics 'x'") as caught:
        scenario.only(["x"])
    assert caught.value.hint == "It has 'a0', 'a1', 'a2'."


# --- entities ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entity", "group_by", "name"),
    [
        (None, ["site"], "North"),
        (None, ["site", "room"], "North / 7"),
        ("{room} of {site}", ["site", "room"], "7 of North"),
        ("{site}: {site} {room}", ["site", "room"], "North: North 7"),
        ("All", [], "All"),
    ],
)
def test_names_of_entities(entity: str | None, group_by: list[str], name: str) -> None:
    [each] = with_analytics({"group_by": group_by, "entity": entity}).analytics
    assert each.entity_name({"site": "North", "room": "7"}[key] for key in group_by) == name


@pytest.mark.parametrize(
    ("entity", "group_by", "complaint"),
    [
        ("{room}", ["site"], r"entity: \{room\} is not in group_by"),
        ("All {sites}", [], r"entity: \{sites\} is not in group_by"),
        ("All", ["site"], r"entity must hold \{site\}: else several groups would write to one entity"),
        ("{site}{room}", ["site", "room"], "two keys with nothing between them"),
        ("{site", ["site"], "a brace that is not part of"),
        ("{{site}}", ["site"], "a brace that is not part of"),
        (" ", [], "a name must not be empty"),
        ("x" * 256, [], "at most 255"),
    ],
)
def test_patterns_that_name_no_entity_are_refused(entity: str, group_by: list[str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        with_analytics({"group_by": group_by, "entity": entity})


def test_two_groups_cannot_be_one_entity() -> None:
    analytics = {"group_by": ["site", "room"], "entity": "{site} {room}"}
    assert with_analytics(analytics, sites=("a b/c", "a/c")).entities() == ("a b c", "a c")
    with pytest.raises(
        ValueError, match="'a b' / 'c' and 'a' / 'b c' would both be the asset 'a b c'; put another sep"
    ):
        with_analytics(analytics, sites=("a b/c", "a/b c"))


def test_the_names_of_entities_fit_into_the_platforms_column() -> None:
    analytics = {"group_by": ["site", "room"]}
    assert with_analytics(analytics, sites=(f"{'s' * 250}/rr",)).entities() == (f"{'s' * 250} / rr",)
    with pytest.raises(
        ValueError, match=r"the entity of .* would have a name of 256 characters; a name has at most 255"
    ):
        with_analytics(analytics, sites=(f"{'s' * 250}/rrr",))


def test_analytics_cannot_write_the_same_key_of_the_same_entity() -> None:
    with pytest.raises(
        ValueError, match=r"'a0' and 'a1' both write 'mean' to '\{site\}'; give one of the results another key"
    ):
        with_analytics({"group_by": ["site"]}, {"group_by": ["site"], "window": "1h", "entity": "{site}"})
    other = {"mean_1h": "mean(temperature)"}
    assert with_analytics({"group_by": ["site"]}, {"group_by": ["site"], "window": "1h", "telemetry": other})
    assert with_analytics({"group_by": ["site"]}, {"group_by": ["site"], "entity_kind": "device"})
    # Two patterns may give the same names.
    by_site, by_room = {"group_by": ["site"]}, {"group_by": ["room"]}
    assert with_analytics(by_site, by_room, sites=("North/1",))
    with pytest.raises(ValueError, match="'a0' and 'a1' both write 'mean' to the asset 'Lab'"):
        with_analytics(by_site, by_room, sites=("Lab/1", "North/Lab"))


def test_results_cannot_be_readings_of_the_devices() -> None:
    """They would be forwarded and counted again."""
    results = {"telemetry": {"temperature": "mean(temperature)"}}
    own = {"group_by": ["deviceName"], "entity_kind": "device", **results}
    with pytest.raises(
        ValueError, match="'a0' would write 'temperature' to each device itself, among its own readings"
    ):
        with_analytics(own)
    with pytest.raises(ValueError, match="would write 'temperature' to the device 'S0' itself"):
        with_analytics({"group_by": [], "entity": "S0", "entity_kind": "device", **results}, sites=("A/1",))
    assert with_analytics(own | {"entity": "{deviceName}_10m"}, sites=("A/1",)).entities("device") == ("S0_10m",)
    assert with_analytics(own | {"telemetry": {"temperature_mean": "mean(temperature)"}}, sites=("A/1",))
    assert with_analytics(own | {"entity_kind": "asset"}, sites=("A/1",)).entities() == ("S0",)


def test_groups_in_order_of_first_mention() -> None:
    scenario = with_analytics(
        {"group_by": ["site"]},
        {"group_by": [], "entity": "All"},
        {"group_by": ["deviceName"], "telemetry": {"last": "last(temperature)"}},
        sites=("B/1", "A/1", "B/2"),
    )
    sites, everything, devices = scenario.analytics
    assert list(scenario.groups(sites)) == [("B",), ("A",)]
    assert [device.name for device in scenario.groups(sites)["B",]] == ["S0", "S2"]
    assert list(scenario.groups(everything)) == [()]
    assert list(scenario.groups(devices)) == [("S0",), ("S1",), ("S2",)]
    assert scenario.entities() == ("B", "A", "All", "S0", "S1", "S2")
    assert scenario.entities("device") == ()
    assert scenario.result_keys == ("mean", "last")
    assert (scenario.device("S1"), scenario.device("s1")) == (scenario.devices[1], None)


# --- words -------------------------------------------------------------------------------------------------------------


def test_labels_and_units() -> None:
    text = WHOLE.replace('{ temperature = "mean', '{ heat = "mean')
    labels = '[labels]\ndevice = "sensor"\nsite = "branch"\ntier = "class"\nheat = "mean temperature"\n[units]\nheat = "°C"\n'
    scenario = parsed(text + labels)
    assert scenario.label("site") == "branch"
    assert scenario.label("temperature") == "temperature"
    assert scenario.title("heat") == "mean temperature (°C)"
    assert (scenario.device_word(), scenario.device_word(2)) == ("sensor", "sensors")
    assert parsed(WHOLE).device_word() == "device"


def test_everything_else_has_a_default() -> None:
    scenario = parsed('[forwarding]\ntopic = "t"\ntelemetry = ["x"]\n')
    assert (scenario.platform.device_type, scenario.asset_type) == ("Sensor", "Sensor")
    assert (scenario.analytics, scenario.devices, scenario.fleet) == ((), (), None)
    assert scenario.forwarding.numbers_in_text
    assert (scenario.forwarding.bounds("x").min, scenario.forwarding.bounds("x").max) == (-1e9, 1e9)
    assert scenario.forwarding.max_skew_ms == 60_000


# --- fleets and models -------------------------------------------------------------------------------------------------


def test_a_fleet() -> None:
    fleet = """
[fleet]
name = "Flat {number:03d}"
groups = 4
attributes = { site = ["Elm", "Oak"], "server:tier" = "Tier {group:02d} of {number}" }
telemetry = { temperature = ["cold", { min = 20, max = 22 }, { model = "constant", value = 7 }] }
rate = 0.5
[models.cold]
model = "normal"
mean = 4
deviation = 1
"""
    scenario = parsed(FORWARDING + ANALYTICS + MEAN + fleet)
    devices = scenario.with_fleet(6).devices
    assert [device.name for device in devices] == [f"Flat 00{number}" for number in range(1, 7)]
    assert [device.attributes["site"] for device in devices] == ["Elm", "Oak"] * 3
    assert [device.attributes["server:tier"] for device in devices][3:5] == ["Tier 04 of 4", "Tier 01 of 5"]
    cold, warm, same = (
        NormalModel(model="normal", mean=4, deviation=1),
        UniformModel(min=20, max=22),
        ConstantModel(model="constant", value=7),
    )
    assert [device.telemetry["temperature"] for device in devices] == [cold, warm, same, cold, cold, warm]
    assert {device.rate for device in devices} == {0.5}
    assert scenario.with_fleet(2).devices == devices[:2]
    assert scenario.with_fleet(3).entities() == ("Elm", "Oak")


@pytest.mark.parametrize("count", [0, -1, 1_000_001])
def test_a_fleet_has_a_size(count: int) -> None:
    with pytest.raises(ScenarioError, match="is not possible"):
        parsed(WHOLE + FLEET).with_fleet(count)


def test_what_a_fleet_would_be_called_is_checked() -> None:
    scenario = parsed(WHOLE)
    with pytest.raises(ScenarioError, match=r"has no fleet"):
        scenario.with_fleet(1)
    scenario = parsed(
        WHOLE + FLEET.replace("Site {group}", "x" * 248 + "{group}").replace("[fleet]", "[fleet]\ngroups = 1000000")
    )
    assert len(scenario.with_fleet(1_001).devices[-1].attributes["site"]) < 255
    clash = parsed(
        (FORWARDING + ANALYTICS + MEAN).replace('["site"]\n', '["site", "tier"]\nentity = "{site} {tier}"\n')
        + FLEET.replace('"Site {group}"', '["a", "a b"], "server:tier" = ["b c", "c"]')
    )
    with pytest.raises(ScenarioError, match="would both be the asset 'a b c'"):
        clash.with_fleet(2)


def test_names_of_models_may_be_names_of_keys() -> None:
    assert (
        "devices[1].telemetry.sine: min (3)"
        in refusal(WHOLE.replace("temperature", "sine").replace("min = 1", "min = 3")).message
    )


# --- version 1 ---------------------------------------------------------------------------------------------------------

EXAMPLE_1 = '[[turbines]]\nname = "T1"\nzone = "Z"\nwind_speed = { min = 1, max = 2 }\n'


def converted(text: str, folder: Path | None = None) -> Scenario:
    """The scenario of the lines that the refusal of a scenario of version 1 gives."""
    error = refusal(text)
    assert error.hint == "In version 2 it reads:"
    assert "\n".join(error.__notes__) == error.details["replacement"]  # shown line by line
    return parse_scenario(error.details["replacement"], source="new.toml", folder=folder)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (EXAMPLE_1, "[[turbines]]"),
        ('[kafka]\ntopic = "t"\n', "[kafka]"),
        ('[aggregation]\nwindow = "1s"\n', "[aggregation]"),
        ('[winds.a]\nmodel = "constant"\nvalue = 1\n', "[winds]"),
        ("[fleet]\nzones = 3\n", "fleet.zones"),
        ('[fleet]\nzone = "Z {number}"\n', "fleet.zone"),
        ("[fleet]\nwind_speed = { min = 1, max = 2 }\n", "fleet.wind_speed"),
        ('[platform]\nentity_type = "X"\n', "platform.entity_type"),
    ],
)
def test_tables_and_keys_of_version_1_are_named_and_replaced(text: str, named: str) -> None:
    assert refusal(text).message == f"rooms.toml is a scenario of version 1: {named}."
    assert converted(text).analytics[0].telemetry == {"windSpeed": Aggregate("mean", "windSpeed")}


def test_the_lines_have_the_same_meaning() -> None:
    scenario = converted(
        """
[platform]
entity_type = "Gauge"
[kafka]
topic = "gauges"
partitions = 3
replication = 2
[aggregation]
window = "1m"
lateness = "30s"
max_skew = "5s"
zone_key = "coast"
value_key = "gust"
valid = { min = 0, max = 120 }
[winds.ridge]
model = "normal"
mean = 20
deviation = 2.5
[[turbines]]
name = 'Land"s End'
zone = "Süd\\\\west"
wind_speed = "ridge"
rate = 2
[[turbines]]
name = "Other"
zone = "North"
wind_speed = { model = "sine", mean = 5, amplitude = 2, min = -3 }
[fleet]
name = "Mast {number:02d}"
zones = 20
zone = "District {number:02d}"
wind_speed = ["ridge", { min = 1, max = 2 }]
rate = 4
[[assets]]
name = "North"
"""
    )
    assert (scenario.platform.device_type, scenario.asset_type) == ("Gauge", "Gauge")
    forwarding = scenario.forwarding
    assert (forwarding.topic, forwarding.partitions, forwarding.replication) == ("gauges", 3, 2)
    assert (forwarding.attribute_keys, forwarding.telemetry) == (("coast",), ("gust",))
    assert (forwarding.bounds("gust").min, forwarding.bounds("gust").max, forwarding.max_skew) == (0, 120, 5)
    [each] = scenario.analytics
    assert (each.group_by, each.window_ms, each.lateness_ms) == (("coast",), 60_000, 30_000)
    assert each.telemetry == {"gust": Aggregate("mean", "gust")}
    ridge, other = scenario.devices
    assert (ridge.name, ridge.attributes, ridge.rate) == ('Land"s End', {"coast": "Süd\\west"}, 2)
    # No wind of version 1 was negative, unless its model said so.
    assert ridge.telemetry["gust"] == NormalModel(model="normal", mean=20, deviation=2.5, min=0)
    assert getattr(other.telemetry["gust"], "min", None) == -3
    assert [asset.name for asset in scenario.assets] == ["North"]
    mast = scenario.with_fleet(22).devices[21]
    assert (mast.name, mast.attributes, mast.rate) == ("Mast 22", {"coast": "District 02"}, 4)
    assert mast.telemetry["gust"] == UniformModel(min=1, max=2)


def test_the_defaults_of_version_1_are_in_the_lines() -> None:
    scenario = converted(EXAMPLE_1)
    assert scenario.platform.device_type == "WeatherStation"
    assert (scenario.forwarding.topic, scenario.forwarding.attribute_keys) == ("weather-stations-data", ("geoZone",))
    assert (scenario.forwarding.bounds("windSpeed").min, scenario.forwarding.bounds("windSpeed").max) == (0, 1e9)
    assert (scenario.analytics[0].window_ms, scenario.analytics[0].lateness_ms) == (10_000, 10_000)
    assert scenario.devices[0].rate == 10
    turbine = scenario.with_fleet(12).devices[11]
    assert (turbine.name, turbine.attributes, turbine.rate) == ("Turbine 00012", {"geoZone": "Zone 2"}, 1)
    assert turbine.telemetry["windSpeed"] == UniformModel(min=30, max=60)
    listed = converted('[fleet]\nzones = ["North", "South"]\n').with_fleet(3).devices
    assert [device.attributes["geoZone"] for device in listed] == ["North", "South", "North"]


def test_a_replayed_file_had_the_column_of_the_tutorial() -> None:
    scenario = (
        '[aggregation]\nvalue_key = "gust"\n[[turbines]]\nname = "T"\nzone = "Z"\n'
        'wind_speed = { model = "replay", file = "examples/gusts.csv", column = "gust" }\n'
    )
    assert getattr(converted(scenario, ROOT).devices[0].telemetry["gust"], "column", None) == "gust"
    replacement = refusal(scenario.replace(', column = "gust"', "")).details["replacement"]
    assert 'column = "windSpeed"' in replacement


@pytest.mark.parametrize(
    "text",
    [
        '[[turbines]]\nname = "T1"\n',
        "turbines = 5\n",
        "kafka = 5\n",
        "[aggregation]\nwindow = 1979-05-27\n",
        "winds = [1]\n",
        "[fleet]\nzones = 1\nwind_speed = 1979-05-27\n",
    ],
)
def test_what_is_no_right_scenario_of_version_1_either_is_a_sentence(text: str) -> None:
    assert refusal(text).hint == "docs/scenario.md describes the tables and keys of version 2."


@pytest.mark.parametrize(("name", "fleet"), [("two_zones", 20), ("thousand_turbines", 1000), ("tutorial", 12)])
def test_the_examples_of_version_1(name: str, fleet: int) -> None:
    """tests/support/version1 holds them as they were; examples/ and the resources have them converted by hand."""
    old = (ROOT / "tests" / "support" / "version1" / f"{name}.toml").read_text(encoding="utf-8")
    scenario = converted(old, ROOT / "examples")
    wanted = tutorial_scenario() if name == "tutorial" else load_scenario(ROOT / "examples" / f"{name}.toml")
    assert (scenario.devices, scenario.assets) == (wanted.devices, wanted.assets)
    assert scenario.platform.device_type == wanted.platform.device_type
    for key in ("topic", "partitions", "replication", "attributes", "telemetry", "valid", "max_skew", "device"):
        assert getattr(scenario.forwarding, key) == getattr(wanted.forwarding, key)
    [mine], [theirs] = scenario.analytics, wanted.analytics
    assert mine.model_copy(update={"name": theirs.name}) == theirs
    if wanted.fleet is not None:
        assert _without_minimum(scenario.with_fleet(fleet)) == _without_minimum(wanted.with_fleet(fleet))


def _without_minimum(scenario: Scenario) -> list[dict[str, Any]]:
    """What is simulated, but for the minimum that version 1 gave every wind."""
    devices = [device.model_dump() for device in scenario.devices]
    for device in devices:
        for model in device["telemetry"].values():
            model.pop("min", None)
    return devices
