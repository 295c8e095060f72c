"""The worked cases of docs/your-analytics.md from setup to results and alarms, with shorter windows, through a kill -9 of
job and platform; every number against a computation from the topic that shares no code with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pacifictool.local.stack import LocalStack
from pacifictool.scenario import load_scenario
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.recording import record
from tests.support.analytics_rig import EXAMPLES, TIMEOUT_SECONDS, AnalyticsRig, Values
from tests.support.waiting import wait_until
from tests.support.worked_cases import Reading, blight_alarm, blight_means, solar, turbulence, windows

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

StartRig = Callable[..., AnalyticsRig]

GENERATIONS = ["1", pytest.param("4", marks=pytest.mark.long)]
OTHER_GENERATION_FIRST = [pytest.param("1", marks=pytest.mark.long), "4"]


@pytest.fixture
def start_rig(stack: LocalStack, tmp_path: Path) -> Iterator[StartRig]:
    with ExitStack() as rigs:

        def start(
            name: str, generation: str, replace: dict[str, str], *, before: Callable[[Path], None] = lambda _: None
        ) -> AnalyticsRig:
            before(tmp_path)
            return rigs.enter_context(AnalyticsRig(tmp_path, stack.broker.bootstrap, name, generation, replace))

        yield start


def differing(actual: Values, wanted: Values) -> dict[Any, tuple[float | None, float | None]]:
    """Values that are missing, too many, or not the same."""
    return {
        place: (actual.get(place), wanted.get(place))
        for place in sorted(actual.keys() | wanted.keys())
        if place not in actual
        or place not in wanted
        or not math.isclose(actual[place], wanted[place], rel_tol=1e-6, abs_tol=1e-9)
    }


def wait_for_values(rig: AnalyticsRig, expected: Callable[[list[Reading]], Values]) -> Values:
    """Returns when the platform has exactly what is expected of the topic's readings."""
    wanted = expected(rig.readings())
    wait_until(
        lambda: not differing(rig.values(wanted), wanted),
        lambda: f"{differing(rig.values(wanted), wanted)}\n{rig.job and rig.job.said}",
        TIMEOUT_SECONDS,
    )
    return wanted


def play(rig: AnalyticsRig, seconds: int, *fleet: str, until: Callable[[], object]) -> None:
    """From setup to the end of the simulation, with a crash of job and platform as soon as `until` is true."""
    rig.run("setup", *fleet)
    job = rig.start_job()
    job.wait_to_say("open windows")
    simulation = rig.start("simulate", "--duration", f"{seconds}s", "--seed", "7", *fleet)
    wait_until(until, lambda: f"{job.said}\n{simulation.said}", TIMEOUT_SECONDS)
    assert simulation.is_running()
    rig.crash()
    rig.start_job()
    outcome = simulation.wait()
    assert outcome.code == 0, outcome.stderr
    assert outcome.document["lost"] == 0


def end(rig: AnalyticsRig) -> dict[str, Any]:
    """The summary of the job, ended with Ctrl-C."""
    assert rig.job is not None
    outcome = rig.job.interrupt()
    assert outcome.code == 130, outcome.stderr
    summary: dict[str, Any] = outcome.document
    return summary


@pytest.mark.parametrize("generation", OTHER_GENERATION_FIRST)
def test_late_blight_raises_an_alarm_on_the_parcel_and_clears_it(generation: str, start_rig: StartRig) -> None:
    # Windows of a second instead of five; it rains from second 5 to second 60.
    rig = start_rig(
        "late_blight", generation, {'window = "5s"': 'window = "1s"', '"20s", lasts = "80s"': '"5s", lasts = "55s"'}
    )

    def expected(readings: list[Reading]) -> Values:
        return {
            ("asset", parcel, key, end_ms): value
            for (parcel, end_ms), means in blight_means(readings, 1000).items()
            for key, value in means.items()
        }

    play(rig, 80, until=lambda: any(alarm.is_active for alarm in rig.alarms("asset", "Potatoes South")))
    wait_for_values(rig, expected)
    means = blight_means(rig.readings(), 1000)
    assert len(blight_alarm(means, "Potatoes South", 1000)) > 10
    wait_until(
        lambda: (alarms := rig.alarms("asset", "Potatoes South")) and not any(alarm.is_active for alarm in alarms),
        lambda: rig.alarms("asset", "Potatoes South"),
        TIMEOUT_SECONDS,
    )
    assert {(alarm.type, alarm.severity) for alarm in rig.alarms("asset", "Potatoes South")} == {
        ("Late blight", "CRITICAL")
    }
    assert blight_alarm(means, "Potatoes North", 1000) == []
    assert rig.alarms("asset", "Potatoes North") == []
    end(rig)


@pytest.mark.long  # the test below shows the values, and late blight that a crash changes none
@pytest.mark.parametrize("generation", ["1", "4"])
def test_turbulence_of_each_anemometer_on_a_device_of_its_own(generation: str, start_rig: StartRig) -> None:
    # Five seconds that slide by one instead of ten minutes that slide by one.
    rig = start_rig("turbulence", generation, {'"10m"\nslide = "1m"': '"5s"\nslide = "1s"'})

    def expected(readings: list[Reading]) -> Values:
        return {
            ("device", f"{device}_10m", key, end_ms): value
            for (device, end_ms), part in windows(readings, "deviceName", 5000, 1000).items()
            for key, value in turbulence(part).items()
        }

    def has_results() -> bool:
        return len(rig.values({("device", "Sonic 1_10m", "tke", 0): 0.0})) > 3

    play(rig, 60, "--fleet", "2", until=has_results)
    wanted = wait_for_values(rig, expected)
    assert len({(entity, end_ms) for _, entity, _, end_ms in wanted}) > 2 * 50
    assert end(rig)["open_windows"] == 0


@pytest.mark.parametrize("generation", GENERATIONS)
def test_turbulence_of_ten_minutes_from_recorded_times(generation: str, start_rig: StartRig) -> None:
    # The example's own windows, from a recording of fifteen minutes that is replayed sixty times as fast.
    text = (EXAMPLES / "turbulence.toml").read_text(encoding="utf-8")
    replay = '{ model = "replay", file = "wind.csv", time_column = "ts", speed = 60 }'
    rig = start_rig(
        "turbulence",
        generation,
        {
            "device = true": 'device = true\nevent_time = "reading"',
            'slide = "1m"': 'slide = "1m"\nlateness = "10m"',
            text[text.index("[fleet]") :]: f"""
[fleet]
name = "Sonic {{number}}"
telemetry = {{ u = {replay}, v = {replay}, w = {replay}, T = {replay} }}
""",
        },
        before=lambda folder: record_wind(folder / "wind.csv"),
    )

    def expected(readings: list[Reading]) -> Values:
        return {
            ("device", f"{device}_10m", key, end_ms): value
            for (device, end_ms), part in windows(readings, "deviceName", 600_000, 60_000).items()
            for key, value in turbulence(part).items()
        }

    rig.run("setup", "--fleet", "1")
    assert rig.run("simulate", "--fleet", "1").document["lost"] == 0
    summary = rig.run("aggregate", "--starting-offsets", "earliest", "--available-now").document
    assert summary["records"] == summary["valid"] == 15 * 60 * 20
    wanted = wait_for_values(rig, expected)
    assert len({end_ms for *_, end_ms in wanted}) == 15 + 9
    assert max(value for (_, _, key, _), value in wanted.items() if key == "count") == 12_000


def record_wind(file: Path) -> None:
    """Fifteen minutes of one anemometer."""
    devices = load_scenario(EXAMPLES / "turbulence.toml").with_fleet(1).devices
    record(devices, FleetOptions(duration_seconds=900, seed=3), file, start_ms=1_795_477_200_000)


@pytest.mark.long
@pytest.mark.parametrize("generation", ["1", "4"])
def test_solar_modules_against_their_panel(generation: str, start_rig: StartRig) -> None:
    # Windows of two seconds instead of thirty.
    rig = start_rig("solar", generation, {'window = "30s"': 'window = "2s"'})

    def expected(readings: list[Reading]) -> Values:
        return {
            (kind, entity, key, end_ms): value
            for (panel, end_ms), part in windows(readings, "panel", 2000).items()
            for (kind, entity), values in solar(part, panel)[0].items()
            for key, value in values.items()
        }

    def is_weak(module: str) -> bool:
        return any(alarm.is_active for alarm in rig.alarms("device", module))

    play(rig, 60, "--fleet", "20", until=lambda: is_weak("Module 09") and is_weak("Module 18"))
    wait_for_values(rig, expected)
    last = dict(sorted(windows(rig.readings(), "panel", 2000)))
    weak = {
        module
        for (panel, end_ms), part in windows(rig.readings(), "panel", 2000).items()
        if end_ms == last[panel]
        for module in solar(part, panel)[1]
    }
    modules = [device.name for device in rig.scenario.with_fleet(20).devices]
    wait_until(
        lambda: {module for module in modules if is_weak(module)} == weak,
        lambda: {module: rig.alarms("device", module) for module in modules},
        TIMEOUT_SECONDS,
    )
    end(rig)
