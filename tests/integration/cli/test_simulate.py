"""`simulate` against a peer that acknowledges every message: what is sent, and what a person sees."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine, Outcome
from tests.support.mqtt_peer import ScriptedPeer

COLD_ROOMS = """
[forwarding]
topic = "cold-rooms"
attributes = ["site"]
telemetry = ["temperature", "humidity"]

[labels]
device = "sensor"
humidity = "relative humidity"

[[devices]]
name = "Sensor 1"
attributes = { site = "North" }
telemetry = { temperature = { model = "constant", value = 4 }, humidity = { min = 50, max = 60 } }
rate = 100
anomalies = [{ key = "temperature", after = "100ms", lasts = "50ms", add = 12 }]
dropouts = [{ after = "200ms", lasts = "100ms" }, { key = "humidity", after = 0, lasts = "30ms" }]
"""


@pytest.fixture
def peer() -> Iterator[ScriptedPeer]:
    with ScriptedPeer() as peer:
        yield peer


@pytest.fixture
def simulate(command_line: CommandLine, peer: ScriptedPeer, tmp_path: Path) -> Callable[..., Outcome]:
    """Runs `simulate` with a scenario; none: the tutorial's."""

    def call(*arguments: str, scenario: str | None = None) -> Outcome:
        chosen: tuple[str, ...] = ()
        if scenario is not None:
            (tmp_path / "scenario.toml").write_text(scenario, encoding="utf-8")
            chosen = ("--scenario", str(tmp_path / "scenario.toml"))
        environ = {"PACIFICTOOL_MQTT": f"127.0.0.1:{peer.port}"}
        return command_line("simulate", "--token", "token", *chosen, *arguments, environ=environ)

    return call


def payloads(peer: ScriptedPeer) -> list[bytes]:
    return [message.payload for message in peer.received]


def test_the_tutorial_speaks_of_turbines_and_sends_its_values(
    simulate: Callable[..., Outcome], peer: ScriptedPeer
) -> None:
    done = simulate("--device", "Wind Turbine 1", "--count", "5", "--seed", "7", "--rate", "50")
    assert (done.code, "Simulating 1 turbine" in done.stderr) == (0, True)
    assert "Turbines" in done.stdout
    assert "device" not in done.stdout.lower()
    sent = [json.loads(payload) for payload in payloads(peer)]
    assert payloads(peer) == [
        f'{{"ts":{document["ts"]},"values":{{"windSpeed":"{speed}"}}}}'.encode()
        for document, speed in zip(sent, (31, 35, 35, 32, 34), strict=True)
    ]


def test_several_keys_with_what_was_injected(simulate: Callable[..., Outcome], peer: ScriptedPeer) -> None:
    done = simulate("--count", "50", "-o", "json", scenario=COLD_ROOMS)
    assert done.code == 0
    document = done.document
    assert (document["generated"], document["acknowledged"], document["withheld"]) == (40, 40, 10)
    sent = [json.loads(payload) for payload in payloads(peer)]
    times = dict(zip([*range(20), *range(30, 50)], [each["ts"] for each in sent], strict=True))
    assert [each["values"]["temperature"] for each in sent] == ["4"] * 10 + ["16"] * 5 + ["4"] * 25
    assert ["humidity" in each["values"] for each in sent] == [False] * 3 + [True] * 37
    first, second, third = sorted(document["injections"], key=lambda injection: injection["from_ts"])
    assert first == {
        "kind": "dropout", "device": "Sensor 1", "key": "humidity", "change": None,
        "from_ts": times[0], "to_ts": times[2], "readings": 3,
    }  # fmt: skip
    assert second == {
        "kind": "anomaly", "device": "Sensor 1", "key": "temperature", "change": "+12",
        "from_ts": times[10], "to_ts": times[14], "readings": 5,
    }  # fmt: skip
    assert (third["kind"], third["key"], third["readings"]) == ("dropout", None, 10)
    assert times[19] < third["from_ts"] <= third["to_ts"] < times[30]


def test_the_words_of_the_scenario(simulate: Callable[..., Outcome]) -> None:
    done = simulate("--count", "50", scenario=COLD_ROOMS)
    assert "Simulating 1 sensor" in done.stderr
    for text in ("Sensors", "1 of 1 connected", "relative humidity", "all keys", "Readings withheld", "+12"):
        assert text in done.stdout
    assert "turbine" not in (done.stdout + done.stderr).lower()


def test_a_payload_template_and_a_file_with_times(
    simulate: Callable[..., Outcome], peer: ScriptedPeer, tmp_path: Path
) -> None:
    (tmp_path / "log.csv").write_text(
        "Zeit;Temp;Feuchte\n01.03.2021 00:00;4,5;60\n01.03.2021 00:01;-999;61\n01.03.2021 00:03;;\n01.03.2021 00:04;5;62\n",
        encoding="utf-8",
    )
    replay = (
        'model = "replay", file = "log.csv", decimal = ",", missing = [-999], time_column = "Zeit", '
        'time_format = "%d.%m.%Y %H:%M", speed = 1200'
    )
    scenario = f"""
[forwarding]
topic = "t"
telemetry = ["temperature", "humidity"]
[[devices]]
name = "Logger"
telemetry = {{ temperature = {{ {replay}, column = "Temp" }}, humidity = {{ {replay}, column = "Feuchte" }} }}
payload = '{{"ts": {{ts}}, "values": {{"temperature": {{temperature}}, "humidity": {{humidity}}, "n": {{number}}}}}}'
"""
    done = simulate("-o", "json", scenario=scenario)
    assert (done.code, done.document["generated"], done.document["withheld"]) == (0, 3, 1)
    assert [json.loads(payload) for payload in payloads(peer)] == [
        {"ts": 1_614_556_800_000, "values": {"temperature": 4.5, "humidity": 60, "n": 0}},
        {"ts": 1_614_556_860_000, "values": {"humidity": 61, "n": 1}},
        {"ts": 1_614_557_040_000, "values": {"temperature": 5, "humidity": 62, "n": 3}},
    ]
    refused = simulate("--rate", "5", scenario=scenario)
    assert refused.code == 2
    assert "have the times of a file" in refused.stderr
