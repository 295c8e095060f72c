"""The way of a reading up to Kafka: each problem that can stop it is caused for real, and `trace` must report it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from faulty_proxy import FaultyProxy
from harness import Outcome
from injuries import DEAD, FAILURES, WARNINGS, Injury
from place import Place, places

from pacifictool.rest import tutorial_rule

BOTH = (1, 4)
HOPS = ("ready", "accepted", "stored", "matched", "kafka")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Place]]:
    with places(tmp_path_factory.mktemp("trace"), two_brokers=True) as found:
        yield found


@pytest.fixture(params=BOTH, ids=["generation-1", "generation-4"])
def place(both: dict[int, Place], request: pytest.FixtureRequest) -> Place:
    return both[request.param]


def follow(place: Place, *arguments: str, environ: Mapping[str, str] | None = None) -> Outcome:
    """As far as Kafka; three seconds are enough where something may still come."""
    return place.trace("--until", "kafka", "--timeout", "3s", *arguments, environ=environ)


def assert_stops(outcome: Outcome, hop: str, cause: str, said: str) -> Any:
    """Its document. The hops before succeed, those after are skipped, and the reason is a sentence with a fix."""
    document = outcome.document
    assert (outcome.code, document["ok"], document["cause"]) == (1, False, cause), document
    stopped = HOPS.index(hop)
    assert [item["hop"] for item in document["hops"]] == list(HOPS)
    assert [item["status"] for item in document["hops"]] == (
        ["ok"] * stopped + ["failed"] + ["skipped"] * (len(HOPS) - stopped - 1)
    )
    assert re.search(said, document["reason"]), document["reason"]
    assert document["reason"] == document["hops"][stopped]["detail"]
    assert document["fix"]
    assert document["mend"] == document["fix"]
    return document


def assert_arrives(outcome: Outcome) -> Any:
    document = outcome.document
    assert (outcome.code, document["ok"], document["cause"]) == (0, True, None), document
    return document


# --- the whole way ---------------------------------------------------------------------------------------------------


def test_an_intact_setup_lets_the_reading_through_and_times_every_hop(place: Place) -> None:
    document = assert_arrives(follow(place))
    assert [(hop["hop"], hop["status"]) for hop in document["hops"]] == [(hop, "ok") for hop in HOPS]
    seconds = {hop["hop"]: hop["seconds"] for hop in document["hops"]}
    assert (seconds["ready"], seconds["matched"]) == (None, None)
    assert all(0 <= seconds[hop] < 3 for hop in ("accepted", "stored", "kafka"))
    details = {hop["hop"]: hop["detail"] for hop in document["hops"]}
    assert details["ready"] == (
        f"platform {place.platform.url} ({place.generation}.x), device 'Mill 1', topic winds{place.generation}"
    )
    assert re.fullmatch(
        rf"winds{place.generation} partition 0 offset \d+, timestamp \d\d:\d\d:\d\d(\.\d+)? UTC", details["kafka"]
    )
    # What the reading says of itself is on the device, and near what the turbine measures.
    assert 30 <= document["value"] < 36
    identifier = place.device("Mill 1")["id"]["id"]
    around = f"startTs={document['ts'] - 1}&endTs={document['ts'] + 1}&interval=0&limit=10"
    path = f"/api/plugins/telemetry/DEVICE/{identifier}/values/timeseries?keys=windSpeed&{around}"
    points = place.tenant.get(path)["windSpeed"]
    assert [(point["ts"], float(point["value"])) for point in points] == [(document["ts"], document["value"])]


def test_another_turbine_and_an_earlier_end(place: Place) -> None:
    outcome = place.trace("--device", "Mill 2", "--until", "stored")
    document = assert_arrives(outcome)
    assert 45 <= document["value"] < 51
    assert [hop["hop"] for hop in document["hops"]] == ["ready", "accepted", "stored"]


def test_what_a_person_reads(place: Place) -> None:
    outcome = place.call("trace", "--until", "kafka")
    assert outcome.code == 0
    assert re.search(r"✓ +Stored on the device +\d\.\d{3} s +windSpeed 3\d\.\d{6} at ", outcome.stdout)
    outcome = place.call("trace", "--until", "kafka", environ={"PACIFICTOOL_MQTT": DEAD})
    assert outcome.code == 1
    assert re.search(r"✗ +Accepted over MQTT +stopped here\n", outcome.stdout)
    assert f"\n✗ Nothing listens at mqtt://{DEAD}.\n→ Start the platform" in outcome.stdout
    assert "Error: The reading did not get past “Accepted over MQTT”: mqtt-unreachable.\n" in outcome.stderr
    assert "docs/troubleshooting.md#mqtt-unreachable" in outcome.stderr


# --- what is wrong with the platform, its devices, the topic ----------------------------------------------------------

STOPS = {
    "plugin-missing": ("matched", r"^The plugin 'Kafka Plugin for Spark Streaming Sample' is missing\."),
    "plugin-suspended": ("matched", r"^The plugin '.+' is SUSPENDED: it forwards nothing\."),
    "plugin-failed": ("matched", r"^The plugin '.+' is ACTIVE, but did not start: .*No resolvable bootstrap urls"),
    "rule-missing": ("matched", r"^The rule 'WindSpeed Telemetry Rule' is missing\."),
    "rule-suspended": ("matched", r"^The rule 'WindSpeed Telemetry Rule' is SUSPENDED: it forwards nothing\."),
    "rule-failed": ("matched", r"^The rule '.+' is ACTIVE, but did not start: .*Can't compile script"),
    "rule-topic-differs": ("kafka", r"^The rule .+ writes to the topic 'elsewhere' instead of 'weather-stations-data'"),
    "rule-filter-differs": ("matched", r"may keep readings out: .*DeviceTelemetryFilter windSpeed > 1000\."),
    "platform-kafka-unreachable-plugin": ("kafka", r"That address cannot be reached\. The platform has not ack"),
    "platform-kafka-differs": ("kafka", r"That is another Kafka cluster than "),
    "rule-chain-missing": ("matched", r"^The rule chain 'WindSpeed Telemetry Rule Chain' is missing\."),
    "rule-chain-not-connected": ("matched", r"^The rule chain 'Root Rule Chain' does not lead 'Post tele"),
    "rule-chain-failed": ("matched", r"^The rule chain .+ did not start: Kafka: .*No resolvable bootstrap urls"),
    "rule-chain-topic-differs": ("kafka", r"writes to the topic 'elsewhere' instead of 'weather-stations-data'"),
    "rule-chain-differs": ("matched", r"^The rule chain .+ differs from the scenario: Stations with a zone"),
    "device-profile-bypasses": (
        "matched",
        r"default rule chain, 'Only stores': its devices bypass the root rule chain",
    ),
    "device-profile-names-ours": ("stored", r"itself: its devices bypass the root rule chain, so that neither"),
    "platform-kafka-unreachable-node": ("kafka", r"That address cannot be reached\.$"),
    "device-missing": ("ready", r"^The platform has no device 'Mill 1'; names are case-sensitive\."),
    "zone-missing": ("matched", r"^'Mill 1' lacks the client attributes deviceType and geoZone, which"),
    "device-type-missing": ("matched", r"^'Mill 1' lacks the client attribute deviceType, which the rule requires\."),
    "device-type-differs": ("matched", r"deviceType of 'Mill 1' is 'Buoy'; the rule requires 'WeatherStation'\."),
    "attributes-in-wrong-scope": ("matched", r"only as an attribute of SERVER_SCOPE; .+ \(CLIENT_SCOPE\)\."),
    "zone-differs": ("kafka", r"is 'Atlantis'; in the scenario it is 'North': its readings count in the wrong zone\."),
    "topic-missing": ("ready", r"^Topic winds\d does not exist at 127\.0\.0\.1:\d+\."),
}
"""By the injury: the hop where the trace stops, and the sentence."""


def _cases() -> list[Any]:
    injuries = [injury for injury in (*FAILURES, *WARNINGS) if injury.stops_readings or injury.id == "zone-differs"]
    return [
        pytest.param(number, injury, id=f"{injury.id}-{number}") for injury in injuries for number in injury.generations
    ]


@pytest.mark.parametrize(("generation", "injury"), _cases())
def test_a_problem_is_reported_and_its_fix_lets_the_reading_through(
    both: dict[int, Place], generation: int, injury: Injury
) -> None:
    place = both[generation]
    injury.break_it(place)
    document = assert_stops(follow(place), STOPS[injury.id][0], injury.cause, STOPS[injury.id][1])
    assert injury.fix in document["fix"]
    if injury.heal is None:
        place.follow(document["fix"])
    else:
        injury.heal(place)
    assert_arrives(follow(place))


def test_of_several_problems_the_one_to_fix_first_comes_first(both: dict[int, Place]) -> None:
    place = both[1]
    place.without_attributes("Mill 1")
    place.do("rule", place.rule(), "suspend")
    document = follow(place).document
    assert (document["cause"], document["also"]) == ("rule-suspended", ["zone-missing"])
    place.set_up()


def test_a_reading_that_is_forwarded_twice_is_reported(both: dict[int, Place]) -> None:
    for injury in FAILURES:
        if injury.cause not in ("rule-twice", "rule-chain-twice"):
            continue
        place = both[injury.generations[0]]
        injury.break_it(place)
        document = assert_arrives(follow(place))
        [note] = document["notes"]
        assert note.startswith("The reading is 2 times in Kafka and counts 2 times")
        place.set_up() if injury.heal is None else injury.heal(place)
        assert assert_arrives(follow(place))["notes"] == []


def test_a_filter_of_the_rule_that_keeps_the_reading_out_is_found_by_elimination(
    both: dict[int, Place], tmp_path: Path
) -> None:
    place, rule = both[1], json.loads(json.dumps(tutorial_rule()))
    rule["filters"][1]["configuration"]["filter"] = "windSpeed > 1000"
    path = tmp_path / "storms.json"
    path.write_text(json.dumps(rule))
    assert place.call("setup", "--rule", str(path)).code == 0
    said = r"^The rule '.+' is active and without errors, so one of its filters keeps .*windSpeed > 1000\.$"
    document = assert_stops(follow(place, "--rule", str(path)), "matched", "filtered", said)
    assert "Correct that filter" in document["fix"]
    place.set_up()
    assert_arrives(follow(place))


def test_a_rule_that_fails_on_the_message_is_reported_from_the_platforms_event_log(both: dict[int, Place]) -> None:
    place = both[1]
    rule = place.rule()
    rule["filters"][1]["configuration"]["filter"] = "nosuch.member > 1"
    place.save("rule", rule)
    said = (
        r"^The rule '.+' failed at this reading or just before: .*nosuch.* has not acknowledged the reading, either\.$"
    )
    document = assert_stops(follow(place), "matched", "rule-error", said)
    assert document["also"] == ["rule-filter-differs"]
    place.follow(document["fix"].partition("or: ")[2])
    assert_arrives(follow(place))


def test_a_platform_with_the_address_of_another_kafka(place: Place) -> None:
    """The settings themselves send the platform elsewhere: nothing differs from them."""
    environ = {"PACIFICTOOL_PLATFORM_KAFKA": place.elsewhere["kafka"]}
    assert place.call("setup", environ=environ).code == 0
    said = rf"^The platform writes to {place.elsewhere['kafka']}\. That is another Kafka cluster than {place.broker.bootstrap}"
    assert_stops(follow(place, environ=environ), "kafka", "platform-kafka-differs", said)
    place.set_up()


def test_a_root_chain_that_does_not_store_is_distinguished_from_a_wrong_address(both: dict[int, Place]) -> None:
    place = both[4]
    root = place.metadata(place.root())
    stores = next(n for n, node in enumerate(root["nodes"]) if node["type"].endswith("TbMsgTimeseriesNode"))
    cut = [link for link in root["connections"] if link["toIndex"] != stores]
    place.save_metadata({**root, "connections": cut})
    said = r"^mqtt://.+ acknowledged the reading, but http://.+ does not store it\."
    document = assert_stops(follow(place), "stored", "not-stored", said)
    assert "Save Timeseries" in document["fix"]
    place.save_metadata({**place.metadata(place.root()), "connections": root["connections"]})
    assert_arrives(follow(place))


# --- addresses and credentials ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hop", "cause", "wrong", "said", "option"),
    [
        ("ready", "platform-unreachable", {"PACIFICTOOL_URL": f"http://{DEAD}"}, "connection refused", "--url"),
        ("ready", "authentication-failed", {"PACIFICTOOL_PASSWORD": "wrong"}, "tenant@", "PACIFICTOOL_PASSWORD"),
        ("ready", "kafka-unreachable", {"PACIFICTOOL_KAFKA": DEAD}, "connection refused", "--kafka"),
        ("accepted", "mqtt-unreachable", {"PACIFICTOOL_MQTT": DEAD}, "^Nothing listens at", "--mqtt"),
    ],
)
def test_a_wrong_setting_is_named(
    place: Place, hop: str, cause: str, wrong: dict[str, str], said: str, option: str
) -> None:
    document = assert_stops(follow(place, environ=wrong), hop, cause, said)
    assert option in document["fix"]


def test_a_token_that_mqtt_refuses_means_another_platform(place: Place) -> None:
    outcome = follow(place, environ={"PACIFICTOOL_MQTT": place.elsewhere["mqtt"]})
    said = rf"refuses the access token that {place.platform.url} has just returned for 'Mill 1'\.$"
    document = assert_stops(outcome, "accepted", "token-refused", said)
    assert document["fix"] == "MQTT and REST must belong to the same platform: check --mqtt against --url."


def test_a_device_port_that_is_silent_or_hangs_up(both: dict[int, Place]) -> None:
    place = both[1]
    with FaultyProxy(place.platform.mqtt_port) as proxy:
        environ = {"PACIFICTOOL_MQTT": f"127.0.0.1:{proxy.port}"}
        proxy.break_off()
        assert_stops(
            follow(place, environ=environ),
            "accepted",
            "mqtt-closed",
            "ended before the platform responded to the login",
        )
        proxy.swallow()
        assert_stops(follow(place, environ=environ), "accepted", "mqtt-silent", "did not respond to the login")
        proxy.heal()
        assert_arrives(follow(place, environ=environ))


def test_usage_errors_exit_with_two(both: dict[int, Place]) -> None:
    place = both[1]
    for arguments, said in (
        (("--until", "mars"), "--until: 'mars' is not known."),
        (("--device", "Mill 3"), "Mill 3"),
        (("--timeout", "soon"), "--timeout"),
    ):
        outcome = place.call("trace", *arguments)
        assert (outcome.code, outcome.stdout) == (2, "")
        assert said in outcome.stderr
