"""Two scenarios on one server, set up, run and torn down in every order: neither touches what is the other's."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pacifictool.errors import OtherTopic
from pacifictool.kafka.records import read_records
from pacifictool.local.launcher import SandboxProcess
from pacifictool.local.stack import LocalStack
from pacifictool.mqtt import TELEMETRY_TOPIC
from pacifictool.mqtt.session import publish_and_confirm
from pacifictool.plan import ChangeAction
from pacifictool.problems import forwarding_problems
from pacifictool.provisioning.apply import apply_plan
from pacifictool.provisioning.forwarding import forwarding_spec
from pacifictool.provisioning.setup import Provisioner
from pacifictool.provisioning.teardown import Teardown
from pacifictool.rest import Platform
from pacifictool.scenario import Scenario, parse_scenario
from pacifictool.settings import DEFAULT_USERNAME, KafkaEndpoint, MqttEndpoint, Secret, Settings
from tests.support.sandbox_clients import Tenant

ORDERS = sorted(set(itertools.permutations("AAABBB")))
"""A's and B's setup, run and teardown, each in this order, interleaved in every way."""
SOME_ORDERS = [tuple(order) for order in ("AAABBB", "AABABB", "ABABAB", "BABABA", "BBABAA", "BBBAAA")]
"""The fewest with each step of one scenario in each state of the other."""

ROOMS = """
[platform]
device_type = "ColdRoom"
[forwarding]
topic = "TOPIC"
attributes = ["site", "server:tier", "shared:site id"]
telemetry = ["temp-celsius", "humidity"]
device = true
[[analytics]]
name = "sites"
group_by = ["site"]
window = "10s"
telemetry = { readings = "count()" }
[[devices]]
name = "Room 1"
attributes = { site = "North", "server:tier" = "gold", "shared:site id" = "7" }
telemetry = { temp-celsius = { min = 1, max = 2 }, humidity = { min = 1, max = 2 } }
[[devices]]
name = "Room 2"
attributes = { site = "South" }
telemetry = { temp-celsius = { min = 1, max = 2 } }
[[assets]]
name = "North"
"""
METERS = """
[platform]
device_type = "Meter"
[forwarding]
topic = "TOPIC"
attributes = ["site", "house"]
telemetry = ["humidity", "energy"]
[[analytics]]
name = "houses"
group_by = ["house"]
window = "1h"
telemetry = { energy = "delta(energy)" }
[[devices]]
name = "Meter 1"
attributes = { house = "1" }
telemetry = { energy = { min = 1, max = 2 } }
[[assets]]
name = "1"
"""


@dataclass(frozen=True)
class Server:
    generation: str
    settings: Settings
    tenant: Tenant

    def everything(self) -> dict[str, Any]:
        """All that setup may create, without versions; in a chain what lasts."""
        limits = "limit=1000" if self.generation == "1" else "pageSize=1000&page=0&sortProperty=createdTime"
        found: dict[str, Any] = {
            kind: sorted(item["id"]["id"] for item in self.tenant.get(f"/api/tenant/{kind}?{limits}")["data"])
            for kind in ("devices", "assets", "dashboards")
        }
        if self.generation == "1":
            return found | {"rules": self.tenant.get("/api/rules"), "plugins": self.tenant.get("/api/plugins")}
        chains = self.tenant.get(f"/api/ruleChains?{limits}")["data"]
        metadata = [self.tenant.get(f"/api/ruleChain/{chain['id']['id']}/metadata") for chain in chains]
        for document in (*chains, *metadata):
            document.pop("version", None)
        return found | {"chains": chains, "metadata": metadata}


@pytest.fixture(params=["1", "4"])
def server(request: pytest.FixtureRequest, tmp_path: Path, stack: LocalStack) -> Iterator[Server]:
    with SandboxProcess(tmp_path / "platform", options=("--generation", request.param)) as process:
        settings = Settings(
            url=process.url,
            username=DEFAULT_USERNAME,
            password=Secret("tenant"),
            mqtt=MqttEndpoint("127.0.0.1", process.mqtt_port),
            kafka=KafkaEndpoint(stack.broker.bootstrap),
            platform_kafka=stack.broker.bootstrap,
        )
        yield Server(request.param, settings, Tenant(process.url))


class Side:
    """One of the scenarios on the server."""

    def __init__(self, platform: Platform, settings: Settings, scenario: Scenario, sent: list[dict[str, Any]]) -> None:
        self.platform = platform
        self.settings = settings
        self.scenario = scenario
        self.spec = forwarding_spec(settings, scenario)
        self.sent = sent
        """What each device sends when the scenario runs."""
        self.is_set_up = False

    def changes(self) -> list[str]:
        """What a setup would change."""
        return [f"{change.kind} {change.name}" for change in self._plan().pending]

    def _plan(self) -> Any:
        return Provisioner(self.platform, self.settings, self.scenario, self.spec, dashboard=True).plan()

    def set_up(self) -> None:
        apply_plan(self._plan())
        self.is_set_up = True

    def run(self) -> None:
        for device in self.scenario.devices:
            token = self.platform.devices.token_by_name(device.name)
            for values in self.sent:
                publish_and_confirm(
                    self.settings.mqtt, token, TELEMETRY_TOPIC, json.dumps(values).encode(), timeout_seconds=10,
                    device=device.name,
                )  # fmt: skip

    def records(self, wanted: int) -> list[dict[str, Any]]:
        """Those of its topic, as soon as there are as many as wanted."""
        deadline = time.monotonic() + 60
        while True:
            found = [json.loads(record.value or b"") for record in read_records(self.settings.kafka, self.topic)]
            if len(found) >= wanted or time.monotonic() > deadline:
                return found
            time.sleep(0.05)

    @property
    def topic(self) -> str:
        return self.scenario.forwarding.topic

    def tear_down(self) -> None:
        apply_plan(Teardown(self.platform, self.scenario, self.spec).plan())
        self.is_set_up = False


def steps_of(order: Iterable[str]) -> set[tuple[str, int, int]]:
    """Each step: whose it is, and how many steps of A and of B were before it."""
    order = "".join(order)
    return {(who, order[:number].count("A"), order[:number].count("B")) for number, who in enumerate(order)}


def test_some_orders_have_each_step_in_each_state_of_the_other() -> None:
    assert len(ORDERS) == 20
    assert set().union(*map(steps_of, SOME_ORDERS)) == set().union(*map(steps_of, ORDERS))


@pytest.mark.parametrize("orders", [SOME_ORDERS, pytest.param(ORDERS, marks=pytest.mark.long)], ids=["some", "all"])
def test_every_order_of_two_scenarios(server: Server, orders: Sequence[tuple[str, ...]]) -> None:
    before = server.everything()
    for number, order in enumerate(orders):
        with contextlib.ExitStack() as opened:
            # 1.x servers bear few deletions of rules a minute; the limit is of a session.
            platform = opened.enter_context(Platform.connect(server.settings))
            rooms, meters = (
                Side(platform, server.settings, parse_scenario(text.replace("TOPIC", topic), source=topic), sent)
                for text, topic, sent in (
                    (ROOMS, f"rooms-{server.generation}-{number}", [{"ts": 1, "values": {"humidity": 40}}]),
                    (METERS, f"meters-{server.generation}-{number}", [{"humidity": 1, "other": 2}, {"energy": 5}]),
                )
            )
            steps = {"A": iter((rooms.set_up, rooms.run, rooms.tear_down))} | {
                "B": iter((meters.set_up, meters.run, meters.tear_down))
            }
            for step in order:
                next(steps[step])()
                for side in (rooms, meters):
                    if side.is_set_up:
                        assert side.changes() == [], order
                        assert platform.forwarding.inspect(side.spec).ready, order
            device = {"deviceName": "Room 1", "ts": 1}
            assert sorted(rooms.records(2), key=lambda record: record["deviceName"]) == [
                {"site": "North", "tier": "gold", "site id": "7", "humidity": 40, **device},
                {"site": "South", "humidity": 40, **device, "deviceName": "Room 2"},
            ], order
            assert sorted(meters.records(2), key=str) == [{"house": "1", "energy": 5}, {"house": "1", "humidity": 1}], (
                order
            )
            assert server.everything() == before, order


def test_a_scenario_with_the_names_of_another_is_refused_by_setup_and_teardown(server: Server) -> None:
    names = 'plugin = "P"\nplugin_token = "token-of-both"\nrule = "Both"\nrule_chain = "Both"\n'
    first, second = (
        parse_scenario(text.replace('topic = "TOPIC"\n', f'topic = "{topic}"\n{names}'), source=topic)
        for text, topic in ((ROOMS, f"first-{server.generation}"), (METERS, f"second-{server.generation}"))
    )
    with Platform.connect(server.settings) as platform:
        owner, intruder = (Side(platform, server.settings, scenario, []) for scenario in (first, second))
        owner.set_up()
        made = server.everything()
        for attempt in (intruder.set_up, intruder.tear_down):
            with pytest.raises(OtherTopic, match=rf"'Both' writes to the topic '{owner.topic}' instead of"):
                attempt()
        assert server.everything() == made
        state = platform.forwarding.inspect(intruder.spec)
        [problem] = forwarding_problems(platform, intruder.spec, state, server.settings)
        kind = "rule" if server.generation == "1" else "rule-chain"
        assert problem.code == f"{kind}-topic-differs"
        assert "give ours another name" in problem.fix
        assert owner.changes() == []
        owner.tear_down()
        intruder.set_up()
        assert intruder.changes() == []
        plan = Teardown(platform, second, intruder.spec).plan()
        assert plan.count(ChangeAction.DELETE) == len(plan.changes) - (server.generation == "4")
