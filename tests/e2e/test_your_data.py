"""The scenarios of docs/your-data.md, run as the page says: every result on the platform against an independent
computation from the topic."""

from __future__ import annotations

import contextlib
import math
import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pacifictool.kafka.records import read_records
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.local.launcher import SandboxProcess
from pacifictool.local.stack import LocalStack
from pacifictool.settings import KafkaEndpoint
from tests.support.command_line import CommandLine, variables_of
from tests.support.documents import ROOT
from tests.support.random_scenarios import Expected, expected
from tests.support.sandbox_clients import Tenant
from tests.support.snapshots import Snapshot
from tests.support.waiting import wait_until

EXAMPLES = ROOT / "examples"
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
LAST_MS = 99_999_999_999_999


@dataclass(frozen=True)
class PlatformServer:
    """A platform next to the stack's broker."""

    variables: Mapping[str, str]
    paging: str
    """Parameters that list all entities."""


def document_of(path: Path) -> dict[str, Any]:
    """The scenario as the independent computation reads it: with defaults, and times in seconds."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    defaults = {"device": False, "event_time": "kafka", "numbers_in_text": True, "attributes": [], "valid": {}}
    document["forwarding"] = defaults | document["forwarding"]
    for each in document["analytics"]:
        each.setdefault("group_by", [])
        each.setdefault("slide", each["window"])
        each.setdefault("ts", "end")
        each.setdefault("entity_kind", "asset")
        for key in ("window", "slide"):
            number, unit = re.fullmatch(r"(\d+)(\w+)", each[key]).groups()  # type: ignore[union-attr]
            each[key] = int(number) * SECONDS[unit]
    return document


def from_topic(stack: LocalStack, document: dict[str, Any]) -> Expected:
    records = read_records(KafkaEndpoint(stack.broker.bootstrap), document["forwarding"]["topic"])
    return expected(
        document,
        [(record.partition, record.offset, record.timestamp_ms or 0, record.value or b"") for record in records],
    )


def from_platform(tenant: Tenant, paging: str, wanted: Expected) -> dict[Any, float]:
    """All values that the platform has of the keys and entities that get results."""
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    for kind, entity, key, _ts in wanted.values:
        keys[kind, entity].add(key)
    ids = {
        (kind, entity["name"]): entity["id"]["id"]
        for kind in ("asset", "device")
        for entity in tenant.get(f"/api/tenant/{kind}s?{paging}")["data"]
    }
    values = {}
    for (kind, entity), results in keys.items():
        series = tenant.get(
            f"/api/plugins/telemetry/{kind.upper()}/{ids[kind, entity]}/values/timeseries?keys={','.join(sorted(results))}"
            f"&startTs=1&endTs={LAST_MS}&interval=0&limit=10000"
        )
        for key, points in series.items():
            values.update({(kind, entity, key, point["ts"]): float(point["value"]) for point in points})
    return values


@pytest.fixture
def platform_of(stack: LocalStack, tmp_path: Path, before: Snapshot) -> Iterator[Callable[[str], PlatformServer]]:
    """The stack's platform of 1.x, or one of 4.x next to its broker."""
    assert before  # what the test leaves on the stack's platform is gone after it
    with contextlib.ExitStack() as processes:

        def start(generation: str) -> PlatformServer:
            if generation == "1":
                return PlatformServer(variables_of(stack), "limit=1000")
            process = processes.enter_context(SandboxProcess(tmp_path / "platform", options=("--generation", "4")))
            variables = {"PACIFICTOOL_URL": process.url, "PACIFICTOOL_MQTT": f"127.0.0.1:{process.mqtt_port}"}
            return PlatformServer(variables_of(stack) | variables, "pageSize=1000&page=0")

        yield start


@pytest.mark.spark
@pytest.mark.parametrize(
    ("name", "generation", "fleet", "simulate", "entities"),
    [
        ("cold_rooms.toml", "4", 12, ("--rate", "20", "--duration", "6s"), {"North", "Harbour", "Airport"}),
        (
            "people_counters.toml",
            "1",
            6,
            ("--rate", "10", "--duration", "6s"),
            {"Main Street", "Station", "Mall", "All shops"},
        ),
        # A day and an hour of the two that the file has; two flats of each house.
        ("meters.toml", "1", 40, ("--count", "100"), {"Elm Street", "Elm Street 20", "Flat 001", "Flat 040"}),
        pytest.param(
            *("meters.toml", "1", 200, ("--count", "100"), {"Elm Street", "Elm Street 20", "Flat 001", "Flat 200"}),
            marks=pytest.mark.long,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_example_from_setup_to_results(
    name: str,
    generation: str,
    fleet: int,
    simulate: tuple[str, ...],
    entities: set[str],
    command_line: CommandLine,
    stack: LocalStack,
    platform_of: Callable[[str], PlatformServer],
) -> None:
    path, platform = EXAMPLES / name, platform_of(generation)
    of_fleet = ("--fleet", str(fleet), "-s", str(path), "-o", "json")

    def done(*arguments: str) -> Any:
        outcome = command_line(*arguments, environ=dict(platform.variables))
        assert outcome.code == 0, outcome.stderr
        return outcome.document

    admin, topic = KafkaAdmin(stack.broker.endpoint), document_of(path)["forwarding"]["topic"]
    admin.delete(topic)  # of the guide's page, perhaps: other tests share the broker
    wait_until(lambda: admin.describe(topic) is None, "the topic is deleted")
    assert done("setup", *of_fleet)["created"] > fleet
    sent = done("simulate", *simulate, "--seed", "7", *of_fleet)
    assert (sent["complete"], sent["lost"]) == (True, 0)
    counted = done("aggregate", "--available-now", "--starting-offsets", "earliest", "-s", str(path), "-o", "json")
    assert (counted["records"], counted["valid"], counted["lag"]) == (sent["acknowledged"], sent["acknowledged"], 0)

    document = document_of(path)
    wanted = from_topic(stack, document)
    assert not wanted.invalid
    assert entities <= {entity for _kind, entity, _key, _ts in wanted.values}
    actual = from_platform(Tenant(platform.variables["PACIFICTOOL_URL"]), platform.paging, wanted)
    assert actual.keys() == wanted.values.keys()
    differing = {
        place: (actual[place], value)
        for place, value in wanted.values.items()
        if not math.isclose(actual[place], value, rel_tol=max(1e-12, wanted.bounds[place]))
    }
    assert differing == {}

    done("teardown", "--yes", "--topic", *of_fleet)
