from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pacifictool.aggregation.spark import SparkRuntime, SparkSettings
from pacifictool.errors import AggregationError

pytestmark = pytest.mark.spark


def java_children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if "java" in child.name()]


def test_a_session_starts_works_and_ends_within_two_seconds_twice(
    spark_settings: SparkSettings, tmp_path: Path
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    for _ in range(2):
        runtime = SparkRuntime(spark_settings, tmp_path)
        assert runtime.session.range(100).count() == 100
        assert signal.getsignal(signal.SIGINT) is handler
        listening = [
            connection.laddr.ip
            for child in java_children()
            for connection in child.net_connections()
            if connection.status == "LISTEN"
        ]
        assert listening
        assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
        started = time.monotonic()
        runtime.close()
        runtime.close()
        assert time.monotonic() - started < 2.0
        assert java_children() == []
    assert not (tmp_path / "tmp" / "gateway").exists()
    assert {"PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET"}.isdisjoint(os.environ)


def test_a_java_that_does_not_start_is_told_in_one_sentence(spark_settings: SparkSettings, tmp_path: Path) -> None:
    with pytest.raises(AggregationError, match="ended at once") as caught:
        _ = SparkRuntime(replace(spark_settings, memory="nonsense"), tmp_path).session
    assert "spark-jvm.log" in (caught.value.hint or "")
    with pytest.raises(AggregationError, match="did not start"):
        SparkRuntime(replace(spark_settings, java_home=tmp_path / "nowhere"), tmp_path)


PROGRAM = """
import sys, time
from pathlib import Path
from pacifictool.aggregation.spark import SparkRuntime, SparkSettings
java, folder, *jars = sys.argv[1:]
runtime = SparkRuntime(SparkSettings(Path(java), [Path(jar) for jar in jars], master="local[1]"), Path(folder))
runtime.session
print("ready", runtime._process.pid, flush=True)
time.sleep(60)
"""


def test_the_jvm_ends_when_we_are_killed(spark_settings: SparkSettings, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        str(spark_settings.java_home),
        str(tmp_path),
        *map(str, spark_settings.jars),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        word, pid = program.stdout.readline().split()
        jvm = psutil.Process(int(pid))
        program.kill()
    assert word == "ready"
    assert psutil.wait_procs([jvm], timeout=5)[1] == []
