from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pacifictool.analytics.engine.spark import SparkRuntime, SparkSettings
from pacifictool.errors import AggregationError
from pacifictool.runtime.plain_paths import plain_path
from tests.support.waiting import SOON_SECONDS

pytestmark = pytest.mark.spark


def java_children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if "java" in child.name()]


def test_spark_starts_works_and_ends_within_two_seconds_twice(spark_settings: SparkSettings, tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    others = java_children()  # the broker that other tests of this worker share, for example
    for _ in range(2):
        runtime = SparkRuntime(spark_settings, tmp_path)
        assert runtime.java_context.parallelize([1, 2, 3]).count() == 3
        assert signal.getsignal(signal.SIGINT) is handler
        listening = [
            connection.laddr.ip
            for child in java_children()
            if child not in others
            for connection in child.net_connections()
            if connection.status == "LISTEN"
        ]
        assert listening
        assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
        started = time.monotonic()
        runtime.close()
        runtime.close()
        assert time.monotonic() - started < SOON_SECONDS
        assert java_children() == others
    assert not (tmp_path / "tmp" / "gateway").exists()
    assert {"PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET"}.isdisjoint(os.environ)


def test_a_java_that_does_not_start_is_reported_in_one_sentence(spark_settings: SparkSettings, tmp_path: Path) -> None:
    nonsense = replace(spark_settings, memory="nonsense")
    with SparkRuntime(nonsense, tmp_path) as runtime, pytest.raises(AggregationError, match="ended at once") as caught:
        _ = runtime.java_context
    assert "spark-jvm.log" in (caught.value.hint or "")
    nowhere = replace(spark_settings, java_home=tmp_path / "nowhere")
    with SparkRuntime(nowhere, tmp_path) as runtime, pytest.raises(AggregationError, match="did not start"):
        _ = runtime.java_context
    assert "nowhere" in (tmp_path / "spark-jvm.log").read_text(encoding="utf-8")


def test_the_reason_of_java_is_in_the_sentence(spark_settings: SparkSettings, tmp_path: Path) -> None:
    small = replace(spark_settings, memory="2m")
    with SparkRuntime(small, tmp_path) as runtime, pytest.raises(AggregationError, match="heap") as caught:
        _ = runtime.java_context
    assert "defect" not in str(caught.value)


@pytest.mark.parametrize(
    ("conf", "reason"),
    [
        ({"spark.eventLog.enabled": "true", "spark.eventLog.dir": "/nowhere/logs"}, "/nowhere/logs does not exist"),
        pytest.param({"spark.executor.heartbeatInterval": "abc"}, "abc", marks=pytest.mark.long),
    ],
)
def test_the_reason_of_spark_is_in_the_sentence(
    spark_settings: SparkSettings, tmp_path: Path, conf: dict[str, str], reason: str
) -> None:
    settings = replace(spark_settings, conf=conf)
    with SparkRuntime(settings, tmp_path) as runtime, pytest.raises(AggregationError, match=reason):
        _ = runtime.java_context


@pytest.mark.parametrize("name", ["ck#run %41 grün, ${x}: %i"])
def test_a_folder_may_have_any_name(spark_settings: SparkSettings, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    with SparkRuntime(spark_settings, folder) as runtime:
        assert runtime.java_context.parallelize([1, 2, 3]).count() == 3
        runtime.jvm.org.apache.log4j.LogManager.getLogger("test").error("a line")
        assert (folder / "spark.log").is_file()
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


PROGRAM = """
import sys, time
from pathlib import Path
from pacifictool.analytics.engine.spark import SparkRuntime, SparkSettings
java, folder, *jars = sys.argv[1:]
runtime = SparkRuntime(SparkSettings(Path(java), [Path(jar) for jar in jars], master="local[1]"), Path(folder))
print("launched", flush=True)
runtime.java_context
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs namespaces, which root has on Linux")
def test_spark_starts_for_a_user_id_without_a_name(spark_settings: SparkSettings, tmp_path: Path) -> None:
    unnamed = ("unshare", "--user", "--map-user=54321", "--map-group=54321", "env", "-u", "HOME")
    arguments = (str(spark_settings.java_home), str(tmp_path), *map(str, spark_settings.jars))
    ended = subprocess.run(
        [*unnamed, sys.executable, "-c", PROGRAM.replace("time.sleep(60)", ""), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.stdout.split() == ["launched", "ready"], ended.stderr


def jvms_of(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if f"-Djava.io.tmpdir={plain_path(folder) / 'tmp'}" in process.cmdline():
                found.append(process)
    return found


@pytest.mark.parametrize("stop_point", ["launched", pytest.param("ready", marks=pytest.mark.long)])
def test_the_jvm_ends_when_we_are_killed_even_if_its_folder_goes(
    spark_settings: SparkSettings, tmp_path: Path, stop_point: str
) -> None:
    command = [sys.executable, "-c", PROGRAM, str(spark_settings.java_home), str(tmp_path)]
    with subprocess.Popen([*command, *map(str, spark_settings.jars)], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        while program.stdout.readline().strip() != stop_point:
            pass
        time.sleep(0.5)
        jvms = jvms_of(tmp_path)
        program.kill()
        shutil.rmtree(tmp_path)
    assert jvms
    assert psutil.wait_procs(jvms, timeout=6)[1] == []
    assert jvms_of(tmp_path) == []


def test_a_jvm_that_ends_by_itself_leaves_the_clusters_reason(spark_settings: SparkSettings, tmp_path: Path) -> None:
    runtime = SparkRuntime(spark_settings, tmp_path)
    try:
        assert runtime.end_failure() is None
        (tmp_path / "spark.log").write_text(
            "2026-01-31T12:00:00.000Z ERROR StandaloneSchedulerBackend: Application has been killed. "
            "Reason: Master removed our application: FAILED\n",
            encoding="utf-8",
        )
        for jvm in jvms_of(tmp_path):
            jvm.kill()
        ended = runtime.end_failure()
        assert isinstance(ended, AggregationError)
        assert ended.message == "Spark's Java process has ended: Master removed our application: FAILED."
        assert "goes on where it stopped" in (ended.hint or "")
    finally:
        runtime.close()
    assert runtime.end_failure() is None


def test_the_drivers_ports_take_nothing_from_those_who_do_not_know_the_secret(
    spark_settings: SparkSettings, tmp_path: Path
) -> None:
    others = java_children()
    # The beginning of Java's serialisation, alone and as the body of one-way messages of Spark's protocol.
    serialised = b"\xac\xed\x00\x05sr\x00\x11java.util.HashMap" + bytes(100)
    one_way = struct.pack(">qbi", 13 + len(serialised), 9, len(serialised)) + serialised
    with SparkRuntime(spark_settings, tmp_path) as runtime:
        assert runtime.java_context.parallelize([1, 2, 3]).count() == 3
        conf = runtime.java_context.sc().conf()
        assert conf.get("spark.authenticate") == "true"
        (jvm,) = [child for child in java_children() if child not in others]
        ports = {each.laddr.port for each in jvm.net_connections() if each.status == psutil.CONN_LISTEN}
        assert int(conf.get("spark.driver.port")) in ports
        with contextlib.ExitStack() as opened:
            strangers = []
            for port in ports:
                for words in (serialised, one_way, one_way[:20], b"GET / HTTP/1.0\r\n\r\n", b"\x00" * 8):
                    stranger = opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
                    stranger.settimeout(0.3)
                    stranger.sendall(words)
                    strangers.append((port, stranger))
            for port, stranger in strangers:
                if port == int(conf.get("spark.driver.port")):
                    assert response_of(stranger) == b""
            # They do not keep it busy, either.
            before = sum(jvm.cpu_times()[:2])
            time.sleep(2)
            assert sum(jvm.cpu_times()[:2]) - before < 0.5
        assert runtime.java_context.parallelize([1, 2, 3]).count() == 3


def response_of(stranger: socket.socket) -> bytes:
    """What was received; nothing if the connection was ended or stays silent."""
    try:
        return stranger.recv(1000)
    except OSError:
        return b""


def test_only_a_master_that_nobody_else_reaches_keeps_the_driver_on_the_loopback_interface(
    spark_settings: SparkSettings,
) -> None:
    for master, expected in (
        ("local[2]", True),
        ("spark://127.0.0.1:7077", True),
        ("spark://localhost:7077", True),
        ("spark://127.0.0.1.example.com:7077", False),
        ("spark://head:7077", False),
        ("yarn", False),
    ):
        assert replace(spark_settings, master=master).is_on_loopback is expected
