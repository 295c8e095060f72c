"""The default sink, with and without a gateway on the platform, and the default checkpoint folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pacifictool.analytics.defaults import (
    GATEWAY,
    MANY_ZONES,
    REST,
    JobFolders,
    choose_sink,
    last_used_sink,
    zone_count,
)
from pacifictool.analytics.state.checkpoint import Checkpoint
from pacifictool.local.launcher import SandboxProcess
from pacifictool.rest import Platform, Session
from pacifictool.scenario import Scenario, parse_scenario, tutorial_scenario
from pacifictool.settings import Secret, Sources, resolve
from tests.support.recorders import RecordingReporter

NAME = "Analytics Gateway"
MANY = parse_scenario(f"[fleet]\nzones = {MANY_ZONES}\n", source="test")
FEW = parse_scenario(f"[fleet]\nzones = {MANY_ZONES - 1}\n", source="test")
Choose = Callable[[Scenario], str]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("choice"), options=("--generation", "4")) as sandbox:
        yield sandbox


@pytest.fixture
def platform(sandbox: SandboxProcess) -> Iterator[Platform]:
    with Platform(Session(sandbox.url, "tenant@thingsboard.org", Secret("tenant"))) as platform:
        yield platform
        device = platform.devices.find(NAME)
        if device is not None:
            platform.devices.delete(device.id)


@pytest.fixture
def reporter() -> RecordingReporter:
    return RecordingReporter()


@pytest.fixture
def choose(sandbox: SandboxProcess, tmp_path: Path, reporter: RecordingReporter) -> Choose:
    return lambda scenario: choose_sink(
        scenario,
        lambda name: tmp_path / name,
        lambda: Platform(Session(sandbox.url, "tenant@thingsboard.org", Secret("tenant"))),
        gateway_device=NAME,
        reporter=reporter,
    )


def begin_job(folder: Path, target: str, used: float) -> None:
    """Leaves in the folder what a job with that target leaves."""
    with Checkpoint(folder, "t") as checkpoint:
        checkpoint.check_identity({"topic": "t", "window_ms": 10_000, "value_key": "windSpeed", "target": target})
    os.utime(folder / "state.sqlite", (used, used))


def test_many_zones_go_through_the_gateway_that_setup_made(
    choose: Choose, platform: Platform, reporter: RecordingReporter
) -> None:
    platform.devices.create(NAME, "gateway", {"gateway": True})
    assert choose(MANY) == GATEWAY
    [said] = reporter.infos
    assert f"has {MANY_ZONES} zones, so the means go through the gateway 'Analytics Gateway'" in said
    assert "--sink rest" in said
    assert [choose(FEW), choose(tutorial_scenario())] == [REST, REST]
    assert len(reporter.infos) == 1


@pytest.mark.parametrize("additional_info", [None, {"gateway": False}])
def test_without_a_gateway_a_hint_is_given(
    choose: Choose, platform: Platform, reporter: RecordingReporter, additional_info: dict[str, bool] | None
) -> None:
    if additional_info is not None:
        platform.devices.create(NAME, "gateway", additional_info)
    assert choose(MANY) == REST
    assert "`pacifictool setup --gateway` creates a gateway" in reporter.infos[0]


def test_zones_that_are_called_like_turbines_stay_assets(choose: Choose, platform: Platform) -> None:
    platform.devices.create(NAME, "gateway", {"gateway": True})
    turbines = "".join(
        f'[[turbines]]\nname = "T{n}"\nzone = "T{n + 1}"\nwind_speed = 5\n' for n in range(MANY_ZONES)
    ).replace("wind_speed = 5", "wind_speed = { min = 1, max = 2 }")
    scenario = parse_scenario(turbines, source="test")
    assert (zone_count(scenario), choose(scenario)) == (MANY_ZONES, REST)


def test_a_job_stays_with_the_sink_that_it_began_with(
    choose: Choose, platform: Platform, reporter: RecordingReporter, tmp_path: Path
) -> None:
    platform.devices.create(NAME, "gateway", {"gateway": True})
    assert last_used_sink(tmp_path / REST, tmp_path / GATEWAY) is None
    begin_job(tmp_path / REST, "rest http://localhost:8080", used=2000)
    assert (choose(MANY), reporter.infos) == (REST, [])
    begin_job(tmp_path / GATEWAY, "gateway mqtt://localhost:1883 as Analytics Gateway", used=1000)
    assert choose(MANY) == REST
    os.utime(tmp_path / GATEWAY / "state.sqlite", (3000, 3000))
    assert choose(tutorial_scenario()) == GATEWAY
    assert "since its first run" in reporter.infos[-1]
    assert last_used_sink(tmp_path / REST, tmp_path / GATEWAY) == GATEWAY


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"target": 5}', '{"target": "kafka x"}'])
def test_a_note_that_says_nothing_of_these_sinks(choose: Choose, tmp_path: Path, text: str) -> None:
    (tmp_path / GATEWAY).mkdir()
    (tmp_path / GATEWAY / "job.json").write_text(text, encoding="utf-8")
    assert choose(tutorial_scenario()) == REST


def test_the_same_settings_find_the_same_folder_and_other_jobs_of_the_topic_come_after_it(tmp_path: Path) -> None:
    settings = resolve(Sources({}, {}, tmp_path, tmp_path / "none.toml", str))
    folders = JobFolders(settings, tutorial_scenario(), tmp_path)
    rest, gateway, console = (folders.default(sink) for sink in (REST, GATEWAY, "console"))
    assert {folder.parent for folder in (rest, gateway, console)} == {tmp_path / "jobs"}
    assert rest.name.startswith(f"{folders.scenario.kafka.topic}-rest-")
    assert rest == JobFolders(settings, tutorial_scenario(), tmp_path).default(REST, f"rest {settings.url}")
    assert (folders.default(), folders.of_topic()) == (rest, [rest])
    other = tmp_path / "jobs" / "elsewhere"
    for folder, target in ((gateway, "gateway mqtt://a as b"), (other, "kafka x")):
        with Checkpoint(folder, folders.scenario.kafka.topic) as checkpoint:
            identity = {"topic": folders.scenario.kafka.topic, "window_ms": 1, "value_key": "v", "target": target}
            checkpoint.check_identity(identity)
    assert (folders.default(), folders.of_topic()) == (gateway, [gateway, other])
