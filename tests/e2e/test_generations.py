"""The same commands on sandboxes of both generations: they leave the same behind."""

from __future__ import annotations

import contextlib
import copy
import json
import random
from collections.abc import Callable, Iterator
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from pacifictool.analytics.sinks.registry import SINKS, SinkOptions
from pacifictool.kafka.records import read_records
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.local.launcher import SandboxProcess
from pacifictool.local.stack import LocalStack
from pacifictool.mqtt import TELEMETRY_TOPIC
from pacifictool.mqtt.session import publish_and_confirm
from pacifictool.provisioning.dashboard import DESCRIPTION
from pacifictool.rest import Platform, tutorial_rule_chain
from pacifictool.scenario import tutorial_scenario
from pacifictool.settings import DEFAULT_USERNAME, KafkaEndpoint, MqttEndpoint, Secret, Settings
from tests.support.command_line import CommandLine, Outcome
from tests.support.recorders import RecordingCallback
from tests.support.sandbox_clients import Tenant
from tests.support.scenarios import window_result
from tests.support.waiting import wait_until

CHAIN = tutorial_rule_chain()["ruleChain"]["name"]
TITLE = "WeatherStation: zones and turbines"
RECORDS = 3000


class Sandbox:
    """A sandbox of one generation next to the tests' broker."""

    def __init__(self, process: SandboxProcess, generation: str, stack: LocalStack, command_line: CommandLine) -> None:
        self.generation = generation
        self.tenant = Tenant(process.url)
        self.settings = Settings(
            url=process.url,
            username=DEFAULT_USERNAME,
            password=Secret("tenant"),
            mqtt=MqttEndpoint("127.0.0.1", process.mqtt_port),
            kafka=KafkaEndpoint(stack.broker.bootstrap),
            platform_kafka=stack.broker.bootstrap,
        )
        self._environ = {
            "PACIFICTOOL_URL": process.url,
            "PACIFICTOOL_MQTT": f"127.0.0.1:{process.mqtt_port}",
            "PACIFICTOOL_KAFKA": stack.broker.bootstrap,
        }
        self._command_line = command_line

    def run(self, *arguments: str, code: int = 0) -> Outcome:
        outcome = self._command_line(*arguments, environ=self._environ)
        assert outcome.code == code, outcome.stdout + outcome.stderr
        return outcome

    def page(self, path: str) -> list[dict[str, Any]]:
        limits = "limit=1000" if self.generation == "1" else "pageSize=1000&page=0&sortProperty=createdTime"
        found: list[dict[str, Any]] = self.tenant.get(f"{path}?{limits}")["data"]
        return found

    def everything(self) -> dict[str, Any]:
        """All that setup may create, as the server lists it, without what changes by itself."""
        found: dict[str, Any] = {
            kind: sorted(item["id"]["id"] for item in self.page(f"/api/tenant/{kind}"))
            for kind in ("devices", "assets", "dashboards")
        }
        if self.generation == "1":
            return found | {"rules": self.tenant.get("/api/rules"), "plugins": self.tenant.get("/api/plugins")}
        chains = self.page("/api/ruleChains")
        return found | {
            "chains": [_lasting(chain) for chain in chains],
            "metadata": [_lasting(self.metadata(chain["id"]["id"])) for chain in chains],
        }

    def metadata(self, chain_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.tenant.get(f"/api/ruleChain/{chain_id}/metadata")
        return found

    def dashboards(self) -> list[dict[str, Any]]:
        ids = [item["id"]["id"] for item in self.page("/api/tenant/dashboards") if item["title"] == TITLE]
        return [self.tenant.get(f"/api/dashboard/{identifier}") for identifier in ids]


def _lasting(document: dict[str, Any]) -> str:
    """A document without its version, as JSON."""
    return json.dumps({key: value for key, value in document.items() if key != "version"})


@pytest.fixture
def open_sandbox(tmp_path: Path, stack: LocalStack, command_line: CommandLine) -> Iterator[Callable[[str], Sandbox]]:
    """Starts sandboxes, which stop after the test."""
    with contextlib.ExitStack() as processes:

        def start(generation: str) -> Sandbox:
            folder = tmp_path / f"platform-{generation}"
            process = processes.enter_context(SandboxProcess(folder, options=("--generation", generation)))
            return Sandbox(process, generation, stack, command_line)

        yield start


@pytest.fixture(params=["1", "4"])
def sandbox(request: pytest.FixtureRequest, open_sandbox: Callable[[str], Sandbox]) -> Sandbox:
    return open_sandbox(request.param)


def steps(outcome: Outcome, kind: str) -> list[tuple[str, str, list[str]]]:
    found = [step for step in outcome.document["steps"] if step["kind"] == kind]
    return [(step["name"], step["action"], step["differences"]) for step in found]


def test_setup_and_teardown_leave_the_server_as_it_was(sandbox: Sandbox) -> None:
    before = sandbox.everything()
    assert steps(sandbox.run("setup", "--dashboard", "--dry-run", "-o", "json"), "dashboard") == [
        (TITLE, "created", [])
    ]
    assert sandbox.everything() == before

    first = sandbox.run("setup", "--dashboard", "-o", "json")
    assert steps(first, "dashboard") == [(TITLE, "created", [])]
    made = sandbox.everything()
    assert len(made["dashboards"]) == len(before["dashboards"]) + 1
    assert any(CHAIN in text for text in made["chains"]) if sandbox.generation == "4" else made["rules"]

    second = sandbox.run("setup", "--dashboard", "-o", "json")
    assert (second.document["created"], second.document["changed"]) == (0, 0)
    assert sandbox.everything() == made

    teardown = sandbox.run("teardown", "--yes", "-o", "json")
    assert steps(teardown, "dashboard") == [(TITLE, "deleted", [])]
    assert sandbox.everything() == before
    again = sandbox.run("teardown", "--yes", "-o", "json")
    assert again.document["steps"] == []


def test_the_dashboard_shows_zones_and_turbines_and_keeps_what_a_person_arranged(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    stranger = {"title": TITLE, "configuration": {"description": "somebody's own"}}
    sandbox.tenant.post("/api/dashboard", stranger)
    sandbox.run("setup", "--dashboard", "-o", "json")
    [foreign, ours] = sorted(sandbox.dashboards(), key=lambda each: each["createdTime"])
    assert foreign["configuration"] == stranger["configuration"]
    configuration = ours["configuration"]
    assert configuration["description"] == DESCRIPTION
    kinds, filters = [], []
    for widget in configuration["widgets"].values():
        [source] = widget["config"]["datasources"]
        assert [key["name"] for key in source["dataKeys"]] == ["windSpeed"]
        kinds.append((widget["type"], widget.get("typeFullFqn") or (widget["bundleAlias"], widget["typeAlias"])))
        filters.append(configuration["entityAliases"][source["entityAliasId"]]["filter"])
    assert configuration["states"]["default"]["layouts"]["main"]["widgets"].keys() == configuration["widgets"].keys()
    if sandbox.generation == "1":
        assert kinds == [("timeseries", ("charts", "basic_timeseries")), ("latest", ("cards", "entities_table"))]
        assert [(found["type"], found.get("assetType") or found["deviceType"]) for found in filters] == [
            ("assetType", "WeatherStation"),
            ("deviceType", "WeatherStation"),
        ]
    else:
        assert kinds == [("timeseries", "system.time_series_chart"), ("latest", "system.cards.entities_table")]
        assert [(found["type"], found.get("assetTypes") or found["deviceTypes"]) for found in filters] == [
            ("assetType", ["WeatherStation"]),
            ("deviceType", ["WeatherStation"]),
        ]

    # A person moves and recolours widgets, adds one, and removes the table.
    arranged = copy.deepcopy(configuration)
    [chart_id, table_id] = arranged["widgets"]
    arranged["widgets"][chart_id]["sizeY"] = 3
    arranged["widgets"]["theirs"] = {"type": "static"}
    del arranged["widgets"][table_id]
    saved = {**ours, "configuration": arranged}
    saved.pop("version", None)
    sandbox.tenant.post("/api/dashboard", saved)
    assert steps(sandbox.run("setup", "--dashboard", "-o", "json"), "dashboard") == [(TITLE, "unchanged", [])]

    # Another key in the scenario changes what the chart shows, and nothing else.
    scenario = tmp_path / "scenario.toml"
    text = (resources.files("pacifictool") / "resources" / "tutorial.toml").read_text(encoding="utf-8")
    scenario.write_text(text.replace("windSpeed", "gust"), encoding="utf-8")
    changed = sandbox.run("setup", "--dashboard", "-s", str(scenario), "-o", "json")
    assert steps(changed, "dashboard") == [(TITLE, "changed", ["zones: 'gust' instead of 'windSpeed'"])]
    [_, ours] = sorted(sandbox.dashboards(), key=lambda each: each["createdTime"])
    chart = ours["configuration"]["widgets"][chart_id]
    assert (chart["sizeY"], chart["config"]["datasources"][0]["dataKeys"][0]["name"]) == (3, "gust")
    assert ours["configuration"]["widgets"].keys() == {chart_id, "theirs"}

    sandbox.run("teardown", "--yes", "-s", str(scenario), "-o", "json")
    assert [each["configuration"] for each in sandbox.dashboards()] == [stranger["configuration"]]


def test_a_device_profile_that_leads_round_the_root_chain_is_reported_with_what_to_do(
    open_sandbox: Callable[[str], Sandbox],
) -> None:
    sandbox = open_sandbox("4")
    chain = sandbox.tenant.post("/api/ruleChain", {"name": "Theirs", "type": "CORE"})
    profile = {
        "name": "WeatherStation",
        "type": "DEFAULT",
        "transportType": "DEFAULT",
        "profileData": {"configuration": {"type": "DEFAULT"}, "transportConfiguration": {"type": "DEFAULT"}},
        "defaultRuleChainId": chain["id"],
    }
    profile = sandbox.tenant.post("/api/deviceProfile", profile)
    outcome = sandbox.run("setup", "-o", "json")
    [note] = outcome.document["notes"]
    assert note.startswith("The device profile 'WeatherStation' has a default rule chain, 'Theirs'")
    assert "Take the default rule chain out of the profile, or lead 'Post telemetry' on" in note
    assert note in outcome.stderr
    sandbox.tenant.post("/api/deviceProfile", {**profile, "defaultRuleChainId": None})
    assert sandbox.run("setup", "-o", "json").document["notes"] == []


def test_the_same_means_give_the_same_values_on_both_generations(open_sandbox: Callable[[str], Sandbox]) -> None:
    source = random.Random(3)
    zones = ['Zone "q" é', *(f"Zone {number}" for number in range(8))]
    means = [source.uniform(0, 60) for _ in zones] + [float(source.randrange(60)) for _ in zones] + [1e-9] * len(zones)
    results = [
        window_result(zones[n % len(zones)], end, mean, 10)
        for n, mean in enumerate(means)
        for end in [1_795_477_550_000 + n // len(zones) * 10_000]
    ]
    found = []
    for generation in ("1", "4"):
        sandbox = open_sandbox(generation)
        with Platform.connect(sandbox.settings) as platform:
            options = SinkOptions(
                sandbox.settings, tutorial_scenario(), partial(Platform.connect, sandbox.settings), print
            )
            callback = RecordingCallback(fail_on_refusal=True)
            with SINKS["rest"].open(options) as sink:
                sink.deliver(results, callback)
            assert len(callback.accepted_results) == len(results)
            found.append(
                {
                    asset.name: [
                        (point.ts_ms, point.value) for point in platform.telemetry.range(asset, "windSpeed", 0, 2**42)
                    ]
                    for asset in platform.assets.list(type="WeatherStation")
                }
            )
    assert sorted(found[0]) == sorted(zones)
    assert sum(map(len, found[0].values())) == len(results)
    assert found[0] == found[1]


def records_of_both_generations() -> Iterator[bytes]:
    """Records as either generation writes them: with and without a blank, escaped or not, with integers and fractions."""
    source = random.Random(3)
    for number in range(RECORDS):
        zone = f"generations {source.randrange(5)}"
        value = source.choice([source.uniform(0, 60), float(source.randrange(60)), source.randrange(60)])
        blank = " " if number % 2 else ""
        yield f'{{"geoZone":"{zone}",{blank}"windSpeed":{json.dumps(value)}}}'.encode()
    yield '{"geoZone":"generations \\"q\\" é","windSpeed":1.0E-7}'.encode()
    # Invalid records that a rule may write, and that both jobs must keep as dead letters.
    yield b'{"geoZone":"generations 1","windSpeed":"abc"}'
    yield b'{"geoZone":"generations 1", "windSpeed":}'


TEXTS_AND_ARRAYS = {
    '{"windSpeed":"31"}': 1,
    '{"windSpeed":"31.50"}': 1,
    '[{"windSpeed":30},{"windSpeed":"32"}]': 2,
    '[{"ts":1795477540001,"values":{"windSpeed":33}},{"ts":1795477540002,"values":{"windSpeed":34.25}}]': 2,
}
"""What devices send, and how many records generation 4 makes of it."""


@pytest.mark.long
@pytest.mark.spark
def test_the_same_topic_gives_the_same_values_on_both_generations(
    open_sandbox: Callable[[str], Sandbox], tmp_path: Path, stack: LocalStack
) -> None:
    topic, kafka = "generations", KafkaEndpoint(stack.broker.bootstrap)
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(
        f'[platform]\ndevice_type = "WeatherStation"\n[forwarding]\ntopic = "{topic}"\npartitions = 2\n'
        'attributes = ["geoZone"]\ntelemetry = ["windSpeed"]\nvalid = { windSpeed = { min = 0 } }\n'
        '[[analytics]]\nname = "zones"\ngroup_by = ["geoZone"]\nwindow = "10s"\n'
        'telemetry = { windSpeed = "mean(windSpeed)" }\n'
        '[[devices]]\nname = "Sender"\nattributes = { geoZone = "generations texts" }\n'
        "telemetry = { windSpeed = { min = 1, max = 2 } }\n",
        encoding="utf-8",
    )
    sandboxes = [open_sandbox(generation) for generation in ("1", "4")]
    sandboxes[1].run("setup", "-s", str(scenario), "-o", "json")
    device = sandboxes[1].run("device", "token", "Sender", "-o", "json").document
    for payload in TEXTS_AND_ARRAYS:
        publish_and_confirm(
            sandboxes[1].settings.mqtt,
            Secret(device["token"]),
            TELEMETRY_TOPIC,
            payload.encode(),
            timeout_seconds=10,
            device="Sender",
        )
    producer = Producer({"bootstrap.servers": stack.broker.bootstrap})
    for record in records_of_both_generations():
        producer.produce(topic, record)
    assert producer.flush(60) == 0
    valid = RECORDS + 1 + sum(TEXTS_AND_ARRAYS.values())
    # An acknowledgement of generation 4 means that a reading is queued.
    wait_until(lambda: len(list(read_records(kafka, topic))) >= valid + 2, "all records")
    job = ("--starting-offsets", "earliest", "--available-now", "--window", "500ms", "-s", str(scenario), "-o", "json")

    found = []
    for sandbox in sandboxes:
        document = sandbox.run("aggregate", "--sink", "rest", *job).document
        assert (document["valid"], sum(document["rejects"].values())) == (valid, 2), document["rejects"]
        with Platform.connect(sandbox.settings) as platform:
            values = {
                asset.name: {
                    point.ts_ms: point.value for point in platform.telemetry.range(asset, "windSpeed", 0, 2**42)
                }
                for asset in platform.assets.list(type="WeatherStation")
            }
        assert sum(map(len, values.values())) == document["windows_posted"]
        found.append(values)
    zones = ['generations "q" é', *(f"generations {number}" for number in range(5)), "generations texts"]
    assert sorted(found[0]) == zones
    assert found[0] == found[1]
    KafkaAdmin(kafka).delete(topic)
