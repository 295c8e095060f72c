"""`simulate` against a peer that acknowledges every message: what is sent, and what a person sees."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine, Outcome
from tests.support.mqtt_peer import Paced, ScriptedPeer

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


def test_results_of_two_runs_are_written_and_compared(
    simulate: Callable[..., Outcome], peer: ScriptedPeer, command_line: CommandLine, tmp_path: Path
) -> None:
    series = tmp_path / "run.csv"
    for name, count in (("a", 20), ("b", 40)):
        done = simulate(
            "--count", str(count), "-o", "json", "--results", str(series), "--interval", "200ms", scenario=COLD_ROOMS
        )
        assert done.code == 0
        (tmp_path / f"{name}.json").write_text(done.stdout, encoding="utf-8")
    document = done.document
    assert document["results"] == {
        "file": str(series),
        "rows": len(series.read_text().splitlines()) - 1,
        "problem": None,
    }
    assert document["acknowledgement_ms"]["p50"] <= document["acknowledgement_ms"]["p99_9"]
    files = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    compared = command_line("simulate", "compare", *files, "-o", "json")
    assert (compared.code, compared.document["failed"]) == (0, [])
    assert {each["name"] for each in compared.document["differences"]} >= {
        "achieved_rate",
        "lost",
        "acknowledgement_p99_9",
    }
    shown = command_line("simulate", "compare", files[0], files[0], "--fail-above", "10%")
    assert (shown.code, "Acknowledged after, p99.9" in shown.stdout) == (0, True)

    worse = json.loads((tmp_path / "b.json").read_text(encoding="utf-8")) | {"lost": 5, "achieved_rate": 1.0}
    (tmp_path / "b.json").write_text(json.dumps(worse), encoding="utf-8")
    failed = command_line("simulate", "compare", *files, "--fail-above", "50%", "-o", "json")
    assert (failed.code, failed.document["ok"]) == (1, False)
    assert {"achieved_rate", "lost"} <= set(failed.document["failed"])
    assert "worse by more than 50%" in command_line("simulate", "compare", *files, "--fail-above", "50").stdout


def test_the_parts_of_a_fleet_are_disjoint_and_their_summaries_are_joined(
    simulate: Callable[..., Outcome], command_line: CommandLine, tmp_path: Path
) -> None:
    names: list[set[str]] = []
    for shard in ("1/2", "2/2"):
        file = tmp_path / "readings.csv"
        arguments = ("--fleet", "5", "--shard", shard, "--csv", str(file), "--count", "2", "--seed", "1")
        assert command_line("simulate", *arguments).code == 0
        names.append({line.split(",")[1] for line in file.read_text(encoding="utf-8").splitlines()[1:]})
    assert (len(names[0]), len(names[1]), names[0] & names[1]) == (3, 2, set())

    done = simulate("--count", "20", "--shard", "1/1", "-o", "json", scenario=COLD_ROOMS)
    assert done.document["shard"] == "1/1"
    files = []
    for number in (1, 2):
        files.append(str(tmp_path / f"{number}.json"))
        Path(files[-1]).write_text(json.dumps(done.document | {"shard": f"{number}/2"}), encoding="utf-8")
    joined = command_line("simulate", "join", *files, "-o", "json")
    assert (joined.code, joined.document["acknowledged"]) == (0, 2 * done.document["acknowledged"])
    part = command_line("simulate", "join", files[0])
    assert (part.code, "part 2/2 of the fleet is missing" in part.stderr) == (1, True)
    assert "Acknowledged after" in part.stdout


def test_the_limit_is_found_and_shown(simulate: Callable[..., Outcome], peer: ScriptedPeer) -> None:
    peer.on_publish = Paced(120)
    arguments = ("--find-limit", "--hold", "500ms", "--factor", "3", "--max-latency", "500ms", "--rate", "60")
    done = simulate("--device", "Wind Turbine 1", *arguments)
    assert done.code == 0, done.stdout
    assert "Steps of load" in done.stdout
    assert "Highest rate that held" in done.stdout
    assert "readings/s: held" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--hold", "5s"), "--hold is for --find-limit"),
        (("--find-limit", "--duration", "5s"), "--duration and --find-limit cannot be combined"),
        (("--find-limit", "--qos", "0"), "--qos 0 and --find-limit cannot be combined"),
        (("--find-limit", "--factor", "1"), "--factor: 1 is not possible"),
        (("--find-limit", "--csv", "a.csv"), "--find-limit and --csv cannot be combined"),
        (("--results", "a.csv", "--csv", "b.csv"), "--results and --csv cannot be combined"),
        (("--results", "a.txt"), "'a.txt' does not say how results are written"),
        (("--results", "a.csv", "--interval", "1ms"), "--interval: 1ms is too short"),
        (("--shard", "6/5"), "--shard: '6/5' is not possible"),
        (("--processes", "2"), "--processes: 2 are too many for 1 turbine"),
        (("--processes", "2", "--results", "a.csv"), "--results and --processes cannot be combined"),
        (("--processes", "2", "--csv", "a.csv"), "--processes and --csv cannot be combined"),
        (("--source-address", "192.0.2.1"), "'192.0.2.1' is not an IP address of this machine"),
        (("--rate", "5", "compare", "a.json", "b.json"), "--rate is an option of"),
        (("compare", "a.json", "b.json"), "cannot be read"),
        (("compare", "a.json", "b.json", "--fail-above", "much"), "--fail-above: 'much' is not a percentage"),
    ],
)
def test_options_that_do_not_fit(
    command_line: CommandLine, arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = (
        command_line("simulate", "--token", "t", "--device", "Wind Turbine 1", *arguments)
        if ("compare" not in arguments)
        else command_line("simulate", *arguments)
    )
    assert (done.code, done.stdout) == (2, "")
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []
