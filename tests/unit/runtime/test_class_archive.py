from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from pacifictool.runtime import find_java
from pacifictool.runtime.class_archive import ClassArchive

JAVA_HOME = find_java(os.environ).home


@pytest.fixture
def class_list(tmp_path: Path) -> Path:
    """What a JVM writes down that does next to nothing."""
    path = tmp_path / "classes"
    command = [str(JAVA_HOME / "bin" / "java"), "-Xshare:off", f"-XX:DumpLoadedClassList={path}", "-version"]
    subprocess.run(command, check=True, capture_output=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write("java/util/concu")  # and is still writing
    return path


def archive(tmp_path: Path, jar: bytes = b"") -> ClassArchive:
    jars = tmp_path / "jars"
    jars.mkdir(exist_ok=True)
    one = tmp_path / "one.jar"
    if not one.exists() or one.read_bytes() != jar:
        one.write_bytes(jar)
    return ClassArchive(tmp_path / "archives", java_home=JAVA_HOME, class_path=[one, jars / "*"])


def test_an_archive_is_made_once_and_then_used(tmp_path: Path, class_list: Path) -> None:
    first = archive(tmp_path)
    assert first.options(class_list) == [f"-XX:DumpLoadedClassList={class_list}"]
    build = first.build(class_list)
    assert build is not None
    with build:
        assert archive(tmp_path).build(class_list) is None, "somebody is at it"
        assert build.wait(60) == 0, build.tail()
    [option] = first.options(class_list)
    name, _, path = option.partition("=")
    assert name == "-XX:SharedArchiveFile"
    assert Path(path).stat().st_size > 1_000_000
    # With -Xshare:on the JVM refuses to start unless the archive serves.
    java = [str(JAVA_HOME / "bin" / "java"), "-Xshare:on", option, "-cp", first.class_path, "-version"]
    subprocess.run(java, check=True, capture_output=True)
    assert archive(tmp_path).build(class_list) is None, "it is there"
    assert archive(tmp_path, b"another").options(class_list)[0].startswith("-XX:DumpLoadedClassList"), "another jar"


def test_one_that_is_stopped_leaves_nothing_behind_that_is_used(tmp_path: Path, class_list: Path) -> None:
    first = archive(tmp_path)
    build = first.build(class_list)
    assert build is not None
    build.stop(0)
    assert first.options(class_list)[0].startswith("-XX:DumpLoadedClassList")
    again = first.build(class_list)
    assert again is not None
    with again:
        assert again.wait(60) == 0, again.tail()
    assert first.options(class_list)[0].startswith("-XX:SharedArchiveFile")


def test_archives_of_other_jars_do_not_pile_up(tmp_path: Path, class_list: Path) -> None:
    folder = tmp_path / "archives"
    folder.mkdir()
    foreign = ["another-program.jsa", "spark-notes.jsa", "spark-notes.log"]
    for age, name in enumerate([*(f"spark-{letter * 16}.jsa" for letter in "abc"), *foreign]):
        (folder / name).write_bytes(b"")
        os.utime(folder / name, (time.time() - age, time.time() - age))
    build = archive(tmp_path).build(class_list)
    assert build is not None
    build.stop(0)
    left = {path.name for path in folder.iterdir() if not path.name.endswith((".lock", ".jsa.new"))}
    assert left >= {*foreign, f"spark-{'a' * 16}.jsa", f"spark-{'b' * 16}.jsa"}
    assert f"spark-{'c' * 16}.jsa" not in left


def test_a_cache_that_cannot_hold_it_is_left_alone(
    tmp_path: Path, class_list: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    assert archive(tmp_path).build(class_list) is None
    monkeypatch.undo()
    (tmp_path / "archives").rmdir()
    (tmp_path / "archives").write_text("a file in the way")
    began = time.monotonic()
    assert archive(tmp_path).build(class_list) is None
    assert time.monotonic() - began < 5
    assert archive(tmp_path).build(tmp_path / "no such list") is None
