"""The path of a reading up to Kafka: each problem that can stop it is caused for real, and `trace` must report it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pacifictool.rest import tutorial_rule
from tests.support.command_line import Outcome
from tests.support.deployments import Deployment, deployments
from tests.support.fault_cases import DEAD, FAILURES, WARNINGS, FaultCase, by_turns
from tests.support.faulty_proxy import FaultyProxy

BOTH = (1, 4)
HOPS = ("ready", "accepted", "stored", "matched", "kafka")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Deployment]]:
    with deployments(tmp_path_factory.mktemp("trace"), two_brokers=True) as found:
        yield found


@pytest.fixture(params=BOTH, ids=["generation-1", "generation-4"])
def deployment(both: dict[int, Deployment], request: pytest.FixtureRequest) -> Deployment:
    return both[request.param]


def follow(
    deployment: Deployment, *arguments: str, environ: Mapping[str, str] | None = None, seconds: int = 3
) -> Outcome:
    """As far as Kafka; three seconds are enough where nothing comes."""
    return deployment.trace("--until", "kafka", "--timeout", f"{seconds}s", *arguments, environ=environ)


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


def test_an_intact_setup_lets_the_reading_through_and_times_every_hop(deployment: Deployment) -> None:
    document = assert_arrives(follow(deployment, seconds=60))
    assert [(hop["hop"], hop["status"]) for hop in document["hops"]] == [(hop, "ok") for hop in HOPS]
    seconds = {hop["hop"]: hop["seconds"] for hop in document["hops"]}
    assert (seconds["ready"], seconds["matched"]) == (None, None)
    assert all(0 <= seconds[hop] < 60 for hop in ("accepted", "stored", "kafka"))
    details = {hop["hop"]: hop["detail"] for hop in document["hops"]}
    assert details["ready"] == (
        f"platform {deployment.platform.url} ({deployment.generation}.x), device 'Mill 1', topic winds{deployment.generation}"
    )
    assert re.fullmatch(
        rf"winds{deployment.generation} partition 0 offset \d+, timestamp \d\d:\d\d:\d\d(\.\d+)? UTC", details["kafka"]
    )
    # The reading is on the device, and close to what the turbine measures.
    assert 30 <= document["value"] < 36
    identifier = deployment.device("Mill 1")["id"]["id"]
    query = f"startTs={document['ts'] - 1}&endTs={document['ts'] + 1}&interval=0&limit=10"
    path = f"/api/plugins/telemetry/DEVICE/{identifier}/values/timeseries?keys=windSpeed&{query}"
    points = deployment.tenant.get(path)["windSpeed"]
    assert [(point["ts"], float(point["value"])) for point in points] == [(document["ts"], document["value"])]


def test_another_turbine_and_an_earlier_end(deployment: Deployment) -> None:
    outcome = deployment.trace("--device", "Mill 2", "--until", "stored")
    document = assert_arrives(outcome)
    assert 45 <= document["value"] < 51
    assert [hop["hop"] for hop in document["hops"]] == ["ready", "accepted", "stored"]


def test_what_a_person_reads(deployment: Deployment) -> None:
    outcome = deployment.call("trace", "--until", "kafka")
    assert outcome.code == 0
    assert re.search(r"✓ +Stored on the device +\d\.\d{3} s +windSpeed 3\d\.\d{6} at ", outcome.stdout)
    outcome = deployment.call("trace", "--until", "kafka", environ={"PACIFICTOOL_MQTT": DEAD})
    assert outcome.code == 1
    assert re.search(r"✗ +Accepted over MQTT +stopped here\n", outcome.stdout)
    assert f"\n✗ Nothing listens at mqtt://{DEAD}.\n→ Start the platform" in outcome.stdout
    assert "Error: The reading did not get past “Accepted over MQTT”: mqtt-unreachable.\n" in outcome.stderr
    assert "pacifictool help mqtt-unreachable" in outcome.stderr


# --- what is wrong with the platform, its devices, the topic ----------------------------------------------------------

STOPS = {
    "plugin-missing": ("matched", r"^The plugin 'Kafka Plugin for Spark Streaming Sample' is missing\."),
    "plugin-suspended": ("matched", r"^The plugin '.+' is SUSPENDED: it forwards nothing\."),
    "plugin-failed": ("matched", r"^The plugin '.+' is ACTIVE, but did not start: .*No resolvable bootstrap urls"),
    "rule-missing": ("matched", r"^The rule 'WindSpeed Telemetry Rule' is missing\."),
    "rule-suspended": ("matched", r"^The rule 'WindSpeed Telemetry Rule' is SUSPENDED: it forwards nothing\."),
    "rule-failed": ("matched", r"^The rule '.+' is ACTIVE, but did not start: .*Can't compile script"),
    "rule-topic-differs": ("kafka", r"^The rule .+ writes to the topic 'elsewhere' instead of 'winds1'"),
    "plugin-topic-differs": ("kafka", r"^The plugin .+ writes to the topic 'elsewhere' instead of 'winds1'"),
    "rule-filter-differs": ("matched", r"may keep readings out: .*DeviceTelemetryFilter windSpeed > 1000\."),
    "platform-kafka-unreachable-plugin": ("kafka", r"That address cannot be reached\. The platform has not ack"),
    "platform-kafka-differs": ("kafka", r"That is another Kafka cluster than "),
    "rule-chain-missing": ("matched", r"^The rule chain 'WindSpeed Telemetry Rule Chain' is missing\."),
    "rule-chain-not-connected": ("matched", r"^The rule chain 'Root Rule Chain' does not lead 'Post tele"),
    "rule-chain-failed": ("matched", r"^The rule chain .+ did not start: Kafka: .*No resolvable bootstrap urls"),
    "rule-chain-topic-differs": ("kafka", r"writes to the topic 'elsewhere' instead of 'winds4'"),
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
"""By the case: the hop where the trace stops, and the sentence."""


def _cases() -> list[Any]:
    cases = [case for case in (*FAILURES, *WARNINGS) if case.stops_readings or case.id == "zone-differs"]
    return by_turns(cases, 4)


@pytest.mark.parametrize(("generation", "case"), _cases())
def test_a_problem_is_reported_and_its_fix_lets_the_reading_through(
    both: dict[int, Deployment], generation: int, case: FaultCase
) -> None:
    deployment = both[generation]
    case.inject(deployment)
    document = assert_stops(follow(deployment), STOPS[case.id][0], case.cause, STOPS[case.id][1])
    assert case.fix in document["fix"]
    if case.repair is None:
        deployment.follow(document["fix"])
    else:
        case.repair(deployment)
    assert_arrives(follow(deployment, seconds=60))


def test_of_several_problems_the_one_to_fix_first_comes_first(both: dict[int, Deployment]) -> None:
    deployment = both[1]
    deployment.without_attributes("Mill 1")
    deployment.do("rule", deployment.rule(), "suspend")
    document = follow(deployment).document
    assert (document["cause"], document["also"]) == ("rule-suspended", ["zone-missing"])
    deployment.set_up()


def test_a_reading_that_is_forwarded_twice_is_reported(both: dict[int, Deployment]) -> None:
    for case in FAILURES:
        if case.cause not in ("rule-twice", "rule-chain-twice"):
            continue
        deployment = both[case.generations[0]]
        case.inject(deployment)
        document = assert_arrives(follow(deployment, seconds=60))
        [note] = document["notes"]
        assert note.startswith("The reading is 2 times in Kafka and counts 2 times")
        deployment.set_up() if case.repair is None else case.repair(deployment)
        assert assert_arrives(follow(deployment, seconds=60))["notes"] == []


def test_a_filter_of_the_rule_that_keeps_the_reading_out_is_found_by_elimination(
    both: dict[int, Deployment], tmp_path: Path
) -> None:
    deployment, rule = both[1], json.loads(json.dumps(tutorial_rule()))
    rule["filters"][1]["configuration"]["filter"] = "windSpeed > 1000"
    rule["action"]["configuration"]["topic"] = "winds1"
    path = tmp_path / "storms.json"
    path.write_text(json.dumps(rule))
    assert deployment.call("setup", "--rule", str(path)).code == 0
    said = r"^The rule '.+' is active and without errors, so one of its filters keeps .*windSpeed > 1000\.$"
    document = assert_stops(follow(deployment, "--rule", str(path)), "matched", "filtered", said)
    assert "Correct that filter" in document["fix"]
    deployment.set_up()
    assert_arrives(follow(deployment, seconds=60))


def test_a_rule_that_fails_on_the_message_is_reported_from_the_platforms_event_log(both: dict[int, Deployment]) -> None:
    deployment = both[1]
    rule = deployment.rule()
    rule["filters"][1]["configuration"]["filter"] = "nosuch.member > 1"
    deployment.save("rule", rule)
    said = (
        r"^The rule '.+' failed at this reading or just before: .*nosuch.* has not acknowledged the reading, either\.$"
    )
    document = assert_stops(follow(deployment), "matched", "rule-error", said)
    assert document["also"] == ["rule-filter-differs"]
    deployment.follow(document["fix"].partition("or: ")[2])
    assert_arrives(follow(deployment, seconds=60))


def test_a_platform_with_the_address_of_another_kafka(deployment: Deployment) -> None:
    """The settings themselves send the platform elsewhere: nothing differs from them."""
    environ = {"PACIFICTOOL_PLATFORM_KAFKA": deployment.elsewhere["kafka"]}
    assert deployment.call("setup", environ=environ).code == 0
    said = rf"^The platform writes to {deployment.elsewhere['kafka']}\. That is another Kafka cluster than {deployment.broker.bootstrap}"
    assert_stops(follow(deployment, environ=environ), "kafka", "platform-kafka-differs", said)
    deployment.set_up()


def test_a_root_chain_that_does_not_store_is_distinguished_from_a_wrong_address(both: dict[int, Deployment]) -> None:
    deployment = both[4]
    root = deployment.metadata(deployment.root())
    stores = next(n for n, node in enumerate(root["nodes"]) if node["type"].endswith("TbMsgTimeseriesNode"))
    cut = [link for link in root["connections"] if link["toIndex"] != stores]
    deployment.save_metadata({**root, "connections": cut})
    said = r"^mqtt://.+ acknowledged the reading, but http://.+ does not store it\."
    document = assert_stops(follow(deployment), "stored", "not-stored", said)
    assert "Save Timeseries" in document["fix"]
    deployment.save_metadata({**deployment.metadata(deployment.root()), "connections": root["connections"]})
    assert_arrives(follow(deployment, seconds=60))


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
    deployment: Deployment, hop: str, cause: str, wrong: dict[str, str], said: str, option: str
) -> None:
    document = assert_stops(follow(deployment, environ=wrong), hop, cause, said)
    assert option in document["fix"]


def test_a_token_that_mqtt_refuses_means_another_platform(deployment: Deployment) -> None:
    outcome = follow(deployment, environ={"PACIFICTOOL_MQTT": deployment.elsewhere["mqtt"]})
    said = rf"refuses the access token that {deployment.platform.url} has just returned for 'Mill 1'\.$"
    document = assert_stops(outcome, "accepted", "token-refused", said)
    assert document["fix"] == "MQTT and REST must belong to the same platform: check --mqtt against --url."


def test_a_device_port_that_is_silent_or_hangs_up(both: dict[int, Deployment]) -> None:
    deployment = both[1]
    with FaultyProxy(deployment.platform.mqtt_port) as proxy:
        environ = {"PACIFICTOOL_MQTT": f"127.0.0.1:{proxy.port}"}
        proxy.break_off()
        assert_stops(
            follow(deployment, environ=environ),
            "accepted",
            "mqtt-closed",
            "ended before the platform responded to the login",
        )
        proxy.swallow()
        assert_stops(follow(deployment, environ=environ), "accepted", "mqtt-silent", "did not respond to the login")
        proxy.heal()
        assert_arrives(follow(deployment, environ=environ, seconds=60))


def test_usage_errors_exit_with_two(both: dict[int, Deployment]) -> None:
    deployment = both[1]
    for arguments, said in (
        (("--until", "mars"), "--until: 'mars' is not known."),
        (("--device", "Mill 3"), "Mill 3"),
        (("--timeout", "soon"), "--timeout"),
    ):
        outcome = deployment.call("trace", *arguments)
        assert (outcome.code, outcome.stdout) == (2, "")
        assert said in outcome.stderr
