from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from pacifictool.kafka.records import read_records
from pacifictool.local.stack import LocalStack
from pacifictool.settings import KafkaEndpoint
from tests.support.command_line import CommandLine
from tests.support.sandbox_clients import Tenant
from tests.support.snapshots import WriteScenario, snapshot, with_name

GARBAGE = [b"not JSON", b'{"geoZone":"pipe Z0"}', b'{"geoZone":"pipe Z0","windSpeed":"gale"}', b"\xff\xfe"]


@pytest.mark.spark
def test_readings_travel_from_the_turbines_to_the_assets_and_garbage_is_kept(
    on_stack: CommandLine, stack: LocalStack, tenant: Tenant, write_scenario: WriteScenario, tmp_path: Path
) -> None:
    path = write_scenario("pipe", turbines=4, zones=2)
    path.write_text(path.read_text().replace('window = "10s"', 'window = "1s"'))
    scenario = str(path)
    checkpoint = str(tmp_path / "job")

    def ask(*arguments: str) -> Any:
        outcome = on_stack(*arguments, "-s", scenario, "-o", "json")
        assert outcome.code == 0, outcome.stderr
        return outcome.document

    ask("setup")
    sent = ask("simulate", "--count", "30", "--seed", "7")
    assert (sent["acknowledged"], sent["lost"], sent["complete"]) == (120, 0, True)
    producer = Producer({"bootstrap.servers": stack.broker.bootstrap})
    for value in GARBAGE:
        producer.produce("pipe", value=value)
    assert producer.flush(60) == 0

    arguments = ("aggregate", "--checkpoint", checkpoint, "--available-now", "--starting-offsets", "earliest")
    done = ask(*arguments)
    assert (done["records"], done["valid"], sum(done["rejects"].values()), done["lag"]) == (124, 120, 4, 0)

    kept = ask("rejects", "--checkpoint", checkpoint, "--all")
    assert kept["total"] == 4
    assert [letter["value"] for letter in kept["rejects"][:3]] == [value.decode() for value in GARBAGE[:3]]
    assert kept["rejects"][3]["value"] is None
    assert all(letter["topic"] == "pipe" and letter["reason"] for letter in kept["rejects"])
    table = on_stack("rejects", "--checkpoint", checkpoint, "-s", scenario).stdout
    assert table.startswith("4 invalid records")

    expected = _means(stack)
    assets = snapshot(stack.platform.url)["assets"]
    for zone in ("pipe Z0", "pipe Z1"):
        [asset] = with_name(assets, zone)
        values = f"/api/plugins/telemetry/ASSET/{asset['id']['id']}/values/timeseries"
        points = tenant.get(f"{values}?keys=windSpeed&startTs=1&endTs=99999999999999&interval=0&limit=1000")[
            "windSpeed"
        ]
        actual = {point["ts"]: float(point["value"]) for point in points}
        assert actual.keys() == expected[zone].keys()
        assert all(math.isclose(actual[end], mean, rel_tol=1e-9) for end, mean in expected[zone].items())

    # A checkpoint belongs to its topic.
    path = write_scenario("other", name="other.toml")
    lines = [line for line in path.read_text().splitlines() if not line.startswith(("plugin", "rule"))]
    path.write_text("\n".join(lines))  # with a rule of its own: that of the other scenario serves its topic
    other = str(path)
    assert on_stack("setup", "-s", other).code == 0
    refused = on_stack(*arguments, "-s", other, "-o", "json")
    assert (refused.code, refused.document["error"]["kind"]) == (1, "checkpoint-mismatch")
    message = refused.document["error"]["message"]
    assert "other" in message
    assert "pipe" in message
    assert "\n" not in message
    assert refused.document["error"]["hint"]
    assert "Traceback" not in refused.stderr


def _means(stack: LocalStack) -> dict[str, dict[int, float]]:
    """By zone and window end (ms): the mean of the topic's records, computed independently."""
    values: dict[str, dict[int, list[int]]] = {}
    for record in read_records(KafkaEndpoint(stack.broker.bootstrap), "pipe"):
        try:
            document = json.loads(record.value or b"")
        except ValueError:
            continue
        if isinstance(document.get("windSpeed"), int):
            assert record.timestamp_ms is not None
            windows = values.setdefault(document["geoZone"], {})
            windows.setdefault(record.timestamp_ms // 1000 * 1000 + 1000, []).append(document["windSpeed"])
    return {zone: {end: math.fsum(w) / len(w) for end, w in windows.items()} for zone, windows in values.items()}
