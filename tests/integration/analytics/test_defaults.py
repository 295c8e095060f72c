"""The default sink, with and without a gateway on the platform, and the default checkpoint folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pacifictool.analytics.defaults import (
    GATEWAY,
    MANY_GROUPS,
    REST,
    JobFolders,
    choose_sink,
    group_count,
    last_used_sink,
)
from pacifictool.analytics.state.checkpoint import Checkpoint
from pacifictool.local.launcher import SandboxProcess
from pacifictool.models.config import ConstantModel
from pacifictool.rest import Platform, Session
from pacifictool.scenario import DeviceSpec, Scenario, tutorial_scenario
from pacifictool.settings import Secret, Sources, resolve
from tests.support.recorders import RecordingReporter
from tests.support.scenarios import mean_rules

NAME = "Analytics Gateway"


def with_groups(count: int) -> Scenario:
    """A scenario with a fleet of this many groups and no devices of its own."""
    tutorial = tutorial_scenario()
    assert tutorial.fleet is not None
    return tutorial.model_copy(update={"devices": (), "fleet": tutorial.fleet.model_copy(update={"groups": count})})


MANY = with_groups(MANY_GROUPS)
FEW = with_groups(MANY_GROUPS - 1)
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
    """What a job with that target leaves in its folder."""
    with Checkpoint(folder, "t", mean_rules()) as checkpoint:
        checkpoint.check_identity({"topic": "t", "target": target})
    os.utime(folder / "state.sqlite", (used, used))


def test_many_zones_go_through_the_gateway_that_setup_made(
    choose: Choose, platform: Platform, reporter: RecordingReporter
) -> None:
    platform.devices.create(NAME, "gateway", {"gateway": True})
    assert choose(MANY) == GATEWAY
    [said] = reporter.infos
    assert f"has {MANY_GROUPS} groups, so the results go through the gateway 'Analytics Gateway'" in said
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
    speed = ConstantModel(model="constant", value=5)
    turbines = tuple(
        DeviceSpec(name=f"T{n}", attributes={"geoZone": f"T{n + 1}"}, telemetry={"windSpeed": speed})
        for n in range(MANY_GROUPS)
    )
    scenario = tutorial_scenario().model_copy(update={"devices": turbines})
    assert (group_count(scenario), choose(scenario)) == (MANY_GROUPS, REST)


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
    assert rest.name.startswith(f"{folders.scenario.forwarding.topic}-rest-")
    assert rest == JobFolders(settings, tutorial_scenario(), tmp_path).default(REST, f"rest {settings.url}")
    assert (folders.default(), folders.of_topic()) == (rest, [rest])
    other = tmp_path / "jobs" / "elsewhere"
    for folder, target in ((gateway, "gateway mqtt://a as b"), (other, "kafka x")):
        with Checkpoint(folder, folders.scenario.forwarding.topic, mean_rules()) as checkpoint:
            identity = {"topic": folders.scenario.forwarding.topic, "target": target}
            checkpoint.check_identity(identity)
    assert (folders.default(), folders.of_topic()) == (gateway, [gateway, other])
