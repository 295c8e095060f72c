from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from pacifictool.doctor.checks import CheckContext, CheckResult, CheckStatus, DoctorCheck
from pacifictool.doctor.machine import MACHINE_CHECKS
from pacifictool.runtime.jars import SPARK_KAFKA, jar_path, jar_set

MakeContext = Callable[..., CheckContext]
RunCheck = Callable[[Sequence[DoctorCheck], str, CheckContext], list[CheckResult]]


def test_a_java_home_without_java_is_a_warning(make_context: MakeContext, run_check: RunCheck, tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "JAVA_HOME": str(tmp_path)}
    [result] = run_check(MACHINE_CHECKS, "java", make_context(environ=environ))
    assert result.status is CheckStatus.WARNING
    assert str(tmp_path) in result.text
    assert "JAVA_HOME" in (result.fix or "")


def test_a_spark_that_does_not_match_the_connector_is_fixed_by_installing_the_right_one(
    make_context: MakeContext, run_check: RunCheck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "pyspark-4.1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: pyspark\nVersion: 4.1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    context = make_context()
    [result] = run_check(MACHINE_CHECKS, "spark", context)
    assert result.status is CheckStatus.FAILED
    assert "4.1.0" in result.text
    wanted = (result.fix or "").removeprefix(f"{sys.executable} -m pip install pyspark==")
    # What pip would leave behind.
    shutil.move(installed, tmp_path / f"pyspark-{wanted}.dist-info")
    (tmp_path / f"pyspark-{wanted}.dist-info" / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: pyspark\nVersion: {wanted}\n"
    )
    [result] = run_check(MACHINE_CHECKS, "spark", context)
    assert result.status is CheckStatus.OK


def test_jars_that_are_not_cached_yet_are_a_warning_with_their_size(
    make_context: MakeContext, run_check: RunCheck, tmp_path: Path
) -> None:
    results = run_check(MACHINE_CHECKS, "jars", make_context(cache_dir=tmp_path))
    assert [(result.name, result.status) for result in results] == [
        ("jars-spark-kafka", CheckStatus.WARNING),
        ("jars-kafka-broker", CheckStatus.WARNING),
    ]
    assert "4 of 4" in results[0].text
    assert "10 MB" in results[0].text
    assert "pacifictool aggregate" in (results[0].fix or "")
    context = make_context(cache_dir=tmp_path)
    context.settings = dataclasses.replace(context.settings, url="https://iot.example.com")
    (result,) = run_check(MACHINE_CHECKS, "jars", context)  # who has a server needs no sandbox
    assert result.name == "jars-spark-kafka"


def test_a_damaged_jar_is_noticed(make_context: MakeContext, run_check: RunCheck, tmp_path: Path) -> None:
    jar = jar_set(SPARK_KAFKA).jars[0]
    path = jar_path(jar, tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\0" * jar.size)
    result, _ = run_check(MACHINE_CHECKS, "jars", make_context(cache_dir=tmp_path))
    assert "4 of 4" in result.text


def test_a_folder_that_cannot_be_written_is_fixed_by_choosing_another(
    make_context: MakeContext, run_check: RunCheck, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    broken = make_context(state_dir=tmp_path / "file" / "state")
    cache, state = run_check(MACHINE_CHECKS, "disk", broken)
    assert cache.status is CheckStatus.OK
    assert state.status is CheckStatus.FAILED
    assert str(tmp_path / "file") in state.text
    assert state.fix == "Choose another folder: PACIFICTOOL_STATE=FOLDER"
    _, state = run_check(MACHINE_CHECKS, "disk", make_context(state_dir=tmp_path / "elsewhere" / "state"))
    assert state.status is CheckStatus.OK
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("free", "status"),
    [(50_000_000, CheckStatus.FAILED), (500_000_000, CheckStatus.WARNING), (5_000_000_000, CheckStatus.OK)],
)
def test_a_disk_that_fills_up_is_reported_in_time(
    free: int, status: CheckStatus, make_context: MakeContext, run_check: RunCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(total=10**12, used=0, free=free))
    for result in run_check(MACHINE_CHECKS, "disk", make_context()):
        assert result.status is status
        assert (result.fix is None) == (status is CheckStatus.OK)
