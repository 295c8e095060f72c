from __future__ import annotations

import io

import pytest
from rich.console import Console

from pacifictool.cli.checklist import Checklist, ChecklistStep, PlainLines
from pacifictool.cli.render import Messages
from pacifictool.demo.checks import DemoCheck
from pacifictool.demo.phases import PHASES
from pacifictool.demo.runner import steps


def checklist() -> Checklist:
    phases = {phase.check: phase for phase in PHASES}
    listed = [
        ChecklistStep(name, phases[name].title, phases[name].zone, phases[name].expected)
        if name in phases
        else ChecklistStep(name, name)
        for name in steps()
    ]
    return Checklist(io.StringIO(), "The tutorial", listed, colour=False, verbose=False)


def drawn(view: Checklist) -> dict[str, str]:
    """The lines as a person sees them, by their first words."""
    console = Console(file=io.StringIO(), width=100, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(view.render())
    return {line.strip(" ·✓✗⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")[:24].strip(): line.rstrip() for line in capture.get().splitlines()}


def test_the_checklist_shows_live_values_beside_what_is_expected() -> None:
    view = checklist()
    view.on_step("setup")
    view.info("created device Wind Turbine 1")
    lines = drawn(view)
    assert lines["created device Wind Turb"].strip() == "created device Wind Turbine 1"
    assert lines["Zone A with turbine 1 al"].startswith("·")

    view.on_step("spark")
    view.on_step("zone-a-turbine-1")
    with view.task("Wind Turbine 1 publishes", total=3, unit="windows") as task:
        task.update(completed=1, note="and 2 to come")
        view.on_mean("Zone A", 1_000, 32.25)
        view.on_mean("Zone B", 1_000, 99.0)
        view.on_numbers(counted=1234, per_second=29.6, rejected=0, lag=12)
        lines = drawn(view)
        assert "32.25  32 ├───●─────────┤ 33" in lines["Zone A with turbine 1 al"]
        assert "├─────────────┤" in lines["Zone B appears, with tur"]
        assert "1 of 3 windows and 2 to come" in lines["Wind Turbine 1 publishes"]
        assert "1,234 valid readings · 30/s · 12 behind · 0 invalid" in lines["1,234 valid readings · 3"]

    view.on_check(DemoCheck("zone-a-turbine-1", (32.0, 33.0), 32.75))
    view.on_step("zone-a-turbines-1-and-2")
    lines = drawn(view)
    assert lines["Zone A with turbine 1 al"].startswith("✓")
    assert "32.75" in lines["Zone A with turbine 1 al"]
    assert lines["setup"].startswith("✓")


@pytest.mark.parametrize(("actual", "gauge"), [(38.0, "39●├"), (42.0, "┤●41")])
def test_a_value_outside_stands_outside_and_fails_its_step(actual: float, gauge: str) -> None:
    view = checklist()
    view.on_step("zone-a-turbines-1-and-2")
    view.on_check(DemoCheck("zone-a-turbines-1-and-2", (39.0, 41.0), actual))
    view.finish()
    line = drawn(view)["Zone A with turbines 1 a"]
    assert line.startswith("✗")
    assert gauge in line


def test_a_check_without_a_line_of_its_own_belongs_to_the_step_that_runs() -> None:
    view = checklist()
    view.on_step("topic")
    view.on_check(DemoCheck("records-rejected", (0, 0), 2))
    assert drawn(view)["topic"].startswith("✗")


def test_warnings_stay_on_the_screen() -> None:
    stream = io.StringIO()
    Checklist(stream, "The tutorial", [ChecklistStep("a", "A")], colour=False, verbose=False).warning("Mind the gap.")
    assert stream.getvalue() == "Warning: Mind the gap.\n"


def test_without_a_terminal_every_check_is_a_line() -> None:
    stream = io.StringIO()
    view = PlainLines(Messages(stream, colour=False, verbose=True, quiet=False))
    view.on_step("setup")
    view.on_mean("Zone A", 1_795_477_550_000, 32.5)
    view.on_check(DemoCheck("zone-a-turbine-1", (32.0, 33.0), 32.5))
    view.on_check(DemoCheck("zone-b-created-by-the-job", expected=True, actual=False))
    assert stream.getvalue().splitlines() == [
        "Zone A: 32.5000 for the window ending 2026-11-23 23:45:50Z",
        "✓ zone-a-turbine-1: 32.5 (expected 32 to 33)",
        "✗ zone-b-created-by-the-job: no",
    ]
