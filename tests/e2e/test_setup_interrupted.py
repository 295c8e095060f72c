from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from pacifictool.errors import Interrupted
from pacifictool.local.launcher import SandboxProcess
from pacifictool.local.stack import LocalStack
from pacifictool.progress import ProgressTask, SilentReporter
from pacifictool.provisioning.apply import apply_plan
from pacifictool.provisioning.forwarding import forwarding_spec
from pacifictool.provisioning.setup import Provisioner
from pacifictool.rest import Platform, tutorial_rule
from pacifictool.scenario import load_scenario
from pacifictool.settings import Settings, Sources, resolve
from tests.support.command_line import CommandLine
from tests.support.sandbox_clients import Tenant
from tests.support.snapshots import Snapshot, WriteScenario, restore, snapshot, with_name

TURBINES = 60


@pytest.fixture
def slow_platform(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A slow platform, so that a set-up can be interrupted at a given point."""
    with SandboxProcess(tmp_path / "slow", options=("--rest-latency-seconds", "0.02")) as platform:
        yield platform


def _devices(tenant: Tenant) -> list[Any]:
    found: list[Any] = tenant.get("/api/tenant/devices?limit=1000&textSearch=killed")["data"]
    return found


def _has_attributes(tenant: Tenant, number: int) -> bool:
    found = [device for device in _devices(tenant) if device["name"].endswith(f" {number:05d}")]
    path = "/api/plugins/telemetry/DEVICE/{}/values/attributes/CLIENT_SCOPE"
    return bool(found) and bool(tenant.get(path.format(found[0]["id"]["id"])))


STOP_POINTS: dict[str, Callable[[Tenant], bool]] = {
    "plugin": lambda tenant: any("Spark" in plugin["name"] for plugin in tenant.get("/api/plugins")),
    "rule": lambda tenant: any(rule["name"] == tutorial_rule()["name"] for rule in tenant.get("/api/rules")),
    "devices": lambda tenant: len(_devices(tenant)) >= 5,
    "attributes": lambda tenant: _has_attributes(tenant, 2),
}


@pytest.mark.parametrize("stop_point", STOP_POINTS)
def test_a_setup_that_was_killed_is_finished_by_the_next_run(
    stop_point: str,
    stack: LocalStack,
    slow_platform: SandboxProcess,
    command_line: CommandLine,
    write_scenario: WriteScenario,
) -> None:
    scenario = str(write_scenario("killed", turbines=TURBINES, zones=3))
    environ = {
        "PACIFICTOOL_URL": slow_platform.url,
        "PACIFICTOOL_MQTT": f"127.0.0.1:{slow_platform.mqtt_port}",
        "PACIFICTOOL_KAFKA": stack.broker.bootstrap,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "pacifictool", "setup", "-q", "--workers", "2", "-s", scenario],
        env={**os.environ, **environ},
    )
    tenant = Tenant(slow_platform.url)
    deadline = time.monotonic() + 90
    try:
        while not STOP_POINTS[stop_point](tenant):
            assert process.poll() is None, "setup ended before the stop_point was met"
            assert time.monotonic() < deadline
    finally:
        process.kill()
        process.wait()
    half = {device["id"]["id"] for device in _devices(tenant)}
    assert not _has_attributes(tenant, TURBINES - 1)

    finished = command_line("setup", "-s", scenario, "-o", "json", environ=environ)
    assert finished.code == 0, finished.stderr
    made = snapshot(slow_platform.url)
    assert len(_devices(tenant)) == TURBINES
    assert half <= made["devices"].keys()
    assert sum(bool(attributes) for attributes in made["attributes"].values()) == TURBINES
    assert [rule["state"] for rule in with_name(made["rules"], tutorial_rule()["name"])] == ["ACTIVE"]

    again = command_line("setup", "-s", scenario, "-o", "json", environ=environ).document
    assert (again["created"], again["changed"]) == (0, 0)


class StoppingReporter(SilentReporter):
    """Sets `stop` as soon as a task begins whose description starts with `words`."""

    def __init__(self, words: str, stop: threading.Event) -> None:
        self._words = words
        self._stop = stop

    def task(
        self, description: str, total: float | None = None, unit: str = ""
    ) -> AbstractContextManager[ProgressTask]:
        if description.startswith(self._words):
            self._stop.set()
        return super().task(description, total, unit)


@pytest.fixture
def settings(stack: LocalStack, tmp_path: Path) -> Settings:
    return stack.settings(resolve(Sources({}, {}, tmp_path, tmp_path / "none", str)))


@pytest.mark.parametrize(
    "words", ["Topic", "Plugin", "Rule", "Creating devices", "Creating attributes", "Creating assets"]
)
def test_a_stop_ends_a_setup_at_the_next_step_and_the_next_run_finishes_it(
    words: str, stack: LocalStack, settings: Settings, write_scenario: WriteScenario
) -> None:
    before = snapshot(stack.platform.url)
    scenario = load_scenario(
        write_scenario("stopped", turbines=80, zones=2, topic=f"stopped-{words.replace(' ', '-')}")
    )
    spec = forwarding_spec(settings, scenario)
    stop = threading.Event()
    reporter = StoppingReporter(words, stop)

    def plan(platform: Platform, *, stoppable: bool) -> Any:
        extra: Any = {"reporter": reporter, "stop": stop} if stoppable else {}
        return Provisioner(platform, settings, scenario, spec, **extra).plan()

    try:
        with Platform.connect(settings) as platform:
            with pytest.raises(Interrupted):
                apply_plan(plan(platform, stoppable=True), reporter=reporter, stop=stop)
            left = plan(platform, stoppable=False)
            assert left.pending
            apply_plan(left)
            assert not plan(platform, stoppable=False).pending
    finally:
        restore(stack.platform.url, before)


def test_a_stop_while_comparing_ends_the_comparison_instead_of_planning_with_half_the_facts(
    stack: LocalStack, settings: Settings, write_scenario: WriteScenario
) -> None:
    before = snapshot(stack.platform.url)
    scenario = load_scenario(write_scenario("halfread", turbines=60))
    spec = forwarding_spec(settings, scenario)
    stop = threading.Event()
    try:
        with Platform.connect(settings) as platform:
            apply_plan(Provisioner(platform, settings, scenario, spec).plan())
            reporter = StoppingReporter("Reading attributes", stop)
            with pytest.raises(Interrupted):
                Provisioner(platform, settings, scenario, spec, reporter=reporter, stop=stop).plan()
    finally:
        restore(stack.platform.url, before)


def test_without_mqtt_nothing_is_made_at_all(
    on_stack: CommandLine, stack: LocalStack, before: Snapshot, write_scenario: WriteScenario
) -> None:
    scenario = str(write_scenario("nomqtt", turbines=3))
    refused = on_stack("setup", "--mqtt", "127.0.0.1:1", "-s", scenario, "-o", "json")
    assert (refused.code, refused.document["error"]["kind"]) == (1, "mqtt-error")
    assert snapshot(stack.platform.url) == before
    assert on_stack("setup", "-s", scenario).code == 0
