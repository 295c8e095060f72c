from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pacifictool.kafka.records import read_records
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.local.stack import LocalStack
from pacifictool.models.config import UniformModel
from pacifictool.scenario import load_scenario
from pacifictool.settings import KafkaEndpoint
from tests.support.command_line import CommandLine, variables_of
from tests.support.snapshots import Snapshot, snapshot

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_every_example_is_run_by_some_test() -> None:
    tests = Path(__file__).parents[1]
    tested = "".join(path.read_text(encoding="utf-8") for path in tests.rglob("*.py"))
    examples = [path.name for path in EXAMPLES.iterdir() if path.is_file()]
    assert examples
    for name in examples:
        # Cases of several files are named by what these have in common.
        assert f'"{name}"' in tested or f'"{Path(name).stem}"' in tested, name


def environment(stack: LocalStack, folder: Path) -> dict[str, str]:
    """The environment of a script: it finds the stack and leaves nothing outside of `folder`."""
    return {
        **os.environ,
        **variables_of(stack),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PACIFICTOOL_STATE": str(folder / "state"),
        "TMPDIR": str(folder),
    }


def run_script(name: str, environ: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", EXAMPLES / name],
        env=environ,
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=500,
    )


@pytest.mark.spark
def test_the_tutorial_step_by_step(stack: LocalStack, before: Snapshot, tmp_path: Path) -> None:
    environ = environment(stack, tmp_path) | {"PHASE": "2s", "WINDOW": "1s"}
    done = run_script("tutorial.sh", environ, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "0 created, 0 changed, 10 unchanged" in done.stdout
    assert len(re.findall(r"Readings lost +0", done.stdout)) == 3
    valid = re.search(r"Valid +(\d+)", done.stdout)
    assert valid is not None
    assert int(valid[1]) >= 6 * 15  # 10 a second for 2 s from one, two and three turbines, less the start
    assert "0 invalid records" in done.stdout
    assert re.search(r"Zone A +WeatherStation", done.stdout)
    assert re.search(r"Zone B +WeatherStation", done.stdout)
    assert "deleted" in done.stdout
    assert snapshot(stack.platform.url) == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("tmp.")]


@pytest.mark.long
@pytest.mark.spark
def test_the_walk_over_a_server_of_ones_own(stack: LocalStack, before: Snapshot, tmp_path: Path) -> None:
    environ = environment(stack, tmp_path) | {"WINDOW": "2s", "SECONDS_OF_WIND": "4"}
    done = run_script("real_server.sh", environ, tmp_path)
    assert done.returncode == 0, done.stderr
    for hop in ("Written to Kafka", "Mean readable"):
        assert re.search(rf"✓ +{hop}", done.stdout), done.stdout
    assert re.search(r"Zone A .*Zone B ", done.stdout, re.DOTALL)
    assert (tmp_path / "report.html").stat().st_size > 1_000_000
    assert snapshot(stack.platform.url) == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("tmp.")]


def test_a_scenario_of_ones_own(on_stack: CommandLine, stack: LocalStack, before: Snapshot) -> None:
    path = EXAMPLES / "two_zones.toml"
    scenario = load_scenario(path)
    arguments = ("-s", str(path), "-o", "json")
    made = on_stack("setup", *arguments)
    assert (made.code, made.document["created"]) == (0, 1 + 2 + 4 + 4 + 2)
    sent = on_stack("simulate", "--count", "2", "--rate", "50", *arguments)
    assert (sent.code, sent.document["acknowledged"]) == (0, 8)
    endpoint = KafkaEndpoint(stack.broker.bootstrap)
    readings = [json.loads(record.value or b"") for record in read_records(endpoint, scenario.forwarding.topic)]
    assert sorted(reading["coast"] for reading in readings) == ["North coast"] * 4 + ["South coast"] * 4
    ranges = {
        coast: [model for device in devices if isinstance(model := device.telemetry["gust"], UniformModel)]
        for (coast,), devices in scenario.groups(scenario.analytics[0]).items()
    }
    assert all(any(r.min <= reading["gust"] <= r.max for r in ranges[reading["coast"]]) for reading in readings)
    assert on_stack("teardown", "--yes", "--topic", *arguments).code == 0
    assert snapshot(stack.platform.url) == before
    assert KafkaAdmin(endpoint).describe(scenario.forwarding.topic) is None
