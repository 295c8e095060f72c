from __future__ import annotations

import contextlib
import http.server
import importlib.metadata
import importlib.resources
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pacifictool.errors import JarsMissing, StorageFull
from pacifictool.progress import ProgressTask, Reporter, SilentReporter
from pacifictool.runtime.ivy import proxy_options
from pacifictool.runtime.jars import KAFKA_BROKER, SPARK_KAFKA, LockedJar, ensure_jars, jar_path, jar_set, missing_jars
from pacifictool.runtime.java import JavaRuntime
from pacifictool.runtime.truststore import STORE_PASSWORD, machine_certificates, write_truststore
from tests.support.recorders import RecordedTask, RecordingReporter
from tests.support.waiting import wait_until

NO_JAVA = JavaRuntime(Path("no-such-java"), 21, "21", "a test")
NOWHERE = "http://127.0.0.1:1"


class Mirror:
    """A Maven repository on loopback that serves a cache, and misbehaves for the given file names."""

    def __init__(self, root: Path) -> None:
        self.spoiled: dict[str, bytes] = {}
        self.spoil_once = False
        self.hanging: set[str] = set()
        self.asked: list[str] = []
        self.released = threading.Event()
        mirror = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments: object) -> None:
                super().__init__(*arguments, directory=str(root / "jars"))  # type: ignore[arg-type]

            def do_GET(self) -> None:
                name = self.path.rsplit("/", 1)[-1]
                mirror.asked.append(name)
                if name in mirror.hanging:
                    # Half of the file, then silence.
                    body = (root / "jars" / self.path.lstrip("/")).read_bytes()
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body[: len(body) // 2])
                    mirror.released.wait(60)
                elif name in mirror.spoiled:
                    body = mirror.spoiled.pop(name) if mirror.spoil_once else mirror.spoiled[name]
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                else:
                    super().do_GET()

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def mirror(shared_cache: Path) -> Iterator[Mirror]:
    served = Mirror(shared_cache)
    yield served
    served.close()


def spark_jars() -> tuple[LockedJar, ...]:
    return jar_set(SPARK_KAFKA).jars


def nothing_half_done(cache_dir: Path) -> bool:
    """Whether the cache contains only jars, each in its place and as locked, and no leftovers of a fetch."""
    places = {jar_path(jar, cache_dir): jar for name in (SPARK_KAFKA, KAFKA_BROKER) for jar in jar_set(name).jars}
    files = {path for path in (cache_dir / "jars").rglob("*") if path.is_file()}
    missing = {
        jar_path(jar, cache_dir) for name in (SPARK_KAFKA, KAFKA_BROKER) for jar in missing_jars(name, cache_dir)
    }
    return files <= places.keys() - missing and list((cache_dir / "fetching").iterdir()) == []


def test_the_lock_names_every_jar_by_coordinate_size_and_hash_and_no_address() -> None:
    text = importlib.resources.files("pacifictool").joinpath("resources/jars.lock.json").read_text()
    assert "://" not in text
    pyspark = importlib.metadata.version("pyspark")
    assert [str(jar.coordinate) for jar in spark_jars()] == [
        "org.apache.commons:commons-pool2:2.13.1",
        "org.apache.kafka:kafka-clients:3.9.2",
        f"org.apache.spark:spark-sql-kafka-0-10_2.13:{pyspark}",
        f"org.apache.spark:spark-token-provider-kafka-0-10_2.13:{pyspark}",
    ]
    broker = jar_set(KAFKA_BROKER)
    assert "org.apache.kafka:kafka_2.13:3.9.2" in {str(jar.coordinate) for jar in broker.jars}
    assert len({jar.coordinate for jar in broker.jars}) == len(broker.jars) >= 25
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in broker.jars + spark_jars())
    assert broker.size < 40_000_000


def test_jars_come_from_the_central_repository_and_then_need_neither_network_nor_java(
    wheel_java: JavaRuntime, tmp_path: Path
) -> None:
    reporter = RecordingReporter()
    jars = ensure_jars(SPARK_KAFKA, java=wheel_java, cache_dir=tmp_path, environ=os.environ, reporter=reporter)
    assert [jar.name for jar in jars] == [jar.coordinate.file_name for jar in spark_jars()]
    assert [jar.stat().st_size for jar in jars] == [jar.size for jar in spark_jars()]
    assert [(task.done, task.total) for task in reporter.tasks] == [(4, 4)]
    assert nothing_half_done(tmp_path)

    reporter = RecordingReporter()
    assert ensure_jars(SPARK_KAFKA, java=NO_JAVA, cache_dir=tmp_path, mirror=NOWHERE, reporter=reporter) == jars
    assert reporter.tasks == []


def test_a_mirror_is_used_and_only_what_is_missing_is_fetched(
    java: JavaRuntime, mirror: Mirror, tmp_path: Path
) -> None:
    ensure_jars(SPARK_KAFKA, java=java, cache_dir=tmp_path, mirror=mirror.url + "/")
    assert set(mirror.asked) == {jar.coordinate.file_name for jar in spark_jars()}
    mirror.asked.clear()
    reporter = RecordingReporter()
    jars = ensure_jars(KAFKA_BROKER, java=java, cache_dir=tmp_path, mirror=mirror.url, reporter=reporter)
    # Both sets share the client's jar.
    assert not [name for name in mirror.asked if name.startswith("kafka-clients")]
    assert [(task.done, task.total) for task in reporter.tasks] == [(len(jars), len(jars))]
    assert missing_jars(KAFKA_BROKER, tmp_path) == []
    assert nothing_half_done(tmp_path)


@pytest.mark.parametrize(
    "damage",
    ["other bytes", *(pytest.param(damage, marks=pytest.mark.long) for damage in ("cut short", "empty", "gone"))],
)
def test_a_damaged_jar_in_the_cache_is_fetched_again(
    java: JavaRuntime, shared_cache: Path, mirror: Mirror, tmp_path: Path, damage: str
) -> None:
    jars = ensure_jars(SPARK_KAFKA, java=NO_JAVA, cache_dir=tmp_path, folder=shared_cache)
    body = jars[0].read_bytes()
    if damage == "gone":
        jars[0].unlink()
    else:
        harm = {"other bytes": body[:-1] + bytes([body[-1] ^ 1]), "cut short": body[:-1], "empty": b""}
        jars[0].write_bytes(harm[damage])
    assert [jar.coordinate for jar in missing_jars(SPARK_KAFKA, tmp_path)] == [spark_jars()[0].coordinate]
    ensure_jars(SPARK_KAFKA, java=java, cache_dir=tmp_path, mirror=mirror.url)
    assert jars[0].read_bytes() == body
    assert set(mirror.asked) == {jars[0].name}


def test_a_jar_that_is_not_the_locked_one_is_refused_with_both_hashes(
    java: JavaRuntime, mirror: Mirror, tmp_path: Path
) -> None:
    jar = spark_jars()[1]
    mirror.spoiled[jar.coordinate.file_name] = b"not a jar"
    with pytest.raises(JarsMissing) as caught:
        ensure_jars(SPARK_KAFKA, java=java, cache_dir=tmp_path, mirror=mirror.url)
    message = caught.value.message
    assert jar.coordinate.file_name in message
    assert jar.sha256 in message
    assert mirror.url in message
    assert [missing.coordinate for missing in missing_jars(SPARK_KAFKA, tmp_path)] == [jar.coordinate]
    assert nothing_half_done(tmp_path)


def test_a_jar_spoiled_only_once_is_fetched_again(java: JavaRuntime, mirror: Mirror, tmp_path: Path) -> None:
    name = spark_jars()[0].coordinate.file_name
    mirror.spoiled[name] = b"not a jar"
    mirror.spoil_once = True
    ensure_jars(SPARK_KAFKA, java=java, cache_dir=tmp_path, mirror=mirror.url)
    assert mirror.asked.count(name) == 2


def test_without_a_network_and_a_cache_it_says_what_is_missing_why_and_what_to_do(
    java: JavaRuntime, tmp_path: Path
) -> None:
    with pytest.raises(JarsMissing) as caught:
        ensure_jars(KAFKA_BROKER, java=java, cache_dir=tmp_path, environ={"HTTPS_PROXY": NOWHERE})
    count = len(jar_set(KAFKA_BROKER).jars)
    assert f"{count} of {count} jars for the Kafka broker" in caught.value.message
    assert str(tmp_path) in caught.value.message
    assert "Connection refused" in caught.value.message
    assert "folder" in (caught.value.hint or "")
    assert len(caught.value.details["jars"]) == count
    assert nothing_half_done(tmp_path)


def test_a_mirror_without_the_jars_is_reported(java: JavaRuntime, mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(JarsMissing, match=r"it has no kafka-clients 3\.9\.2, or shows it only after a login"):
        ensure_jars(SPARK_KAFKA, java=java, cache_dir=tmp_path, mirror=f"{mirror.url}/not/here")


def test_a_transfer_that_breaks_off_is_reported_in_ivys_words(
    java: JavaRuntime, mirror: Mirror, tmp_path: Path
) -> None:
    mirror.hanging.add(spark_jars()[0].coordinate.file_name)
    mirror.released.set()
    with pytest.raises(JarsMissing, match=r"1 of 4 jars .*: (Premature EOF|Downloaded file size)"):
        ensure_jars(SPARK_KAFKA, java=java, cache_dir=tmp_path, mirror=mirror.url)


def test_a_mirror_that_falls_silent_is_given_up(
    java: JavaRuntime, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacifictool.runtime.jars.STALL_SECONDS", 6.0)
    name = spark_jars()[0].coordinate.file_name
    mirror.hanging.add(name)
    with pytest.raises(JarsMissing, match=r"1 of 4 jars .*: no data arrived for 6 s"):
        ensure_jars(SPARK_KAFKA, java=java, cache_dir=tmp_path, mirror=mirror.url)
    # What was received is kept for the next attempt.
    assert [jar.coordinate.file_name for jar in missing_jars(SPARK_KAFKA, tmp_path)] == [name]
    assert nothing_half_done(tmp_path)


@pytest.mark.parametrize("address", ["repo.example", "ftp://repo.example/maven", "https:///maven"])
def test_a_mirror_must_be_an_address(java: JavaRuntime, tmp_path: Path, address: str) -> None:
    with pytest.raises(JarsMissing, match="not an http, https or file URL"):
        ensure_jars(SPARK_KAFKA, java=java, cache_dir=tmp_path, mirror=address)


def test_a_password_in_the_mirrors_address_is_refused_and_not_shown(java: JavaRuntime, tmp_path: Path) -> None:
    with pytest.raises(JarsMissing) as caught:
        ensure_jars(SPARK_KAFKA, java=java, cache_dir=tmp_path, mirror="https://me:s3cret@repo.example/maven")
    assert "repo.example" in caught.value.message
    assert "s3cret" not in str(caught.value.as_document())


@pytest.mark.parametrize("layout", ["flat", "maven", "cache"])
def test_a_folder_serves_a_machine_without_a_network(shared_cache: Path, tmp_path: Path, layout: str) -> None:
    source = tmp_path / "usb stick"
    source.mkdir()
    for jar in spark_jars():
        relative = {
            "flat": jar.coordinate.file_name,
            "maven": jar.coordinate.maven_path,
            "cache": f"jars/{jar.coordinate.maven_path}",
        }[layout]
        (source / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(jar_path(jar, shared_cache), source / relative)
    reporter = RecordingReporter()
    jars = ensure_jars(
        SPARK_KAFKA, java=NO_JAVA, cache_dir=tmp_path / "cache", folder=source, mirror=NOWHERE, reporter=reporter
    )
    assert len(jars) == 4
    assert missing_jars(SPARK_KAFKA, tmp_path / "cache") == []
    assert [task.done for task in reporter.tasks] == [4]
    assert nothing_half_done(tmp_path / "cache")


def test_what_else_the_cache_folder_holds_stays_as_it_is(shared_cache: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "fetching" / "thesis").mkdir(parents=True)
    (cache / "fetching" / "thesis" / "text").write_text("the user's own")
    (cache / "fetching.lock").write_text("the user's own")
    (cache / "fetching" / "pacifictool-jars-abandoned").mkdir()
    ensure_jars(SPARK_KAFKA, java=NO_JAVA, cache_dir=cache, folder=shared_cache, mirror=NOWHERE)
    assert (cache / "fetching" / "thesis" / "text").read_text() == "the user's own"
    assert (cache / "fetching.lock").read_text() == "the user's own"
    assert [path.name for path in (cache / "fetching").iterdir()] == ["thesis"]


def test_a_folder_that_lacks_jars_or_holds_wrong_ones_is_reported(shared_cache: Path, tmp_path: Path) -> None:
    source = tmp_path / "folder"
    source.mkdir()
    for jar in spark_jars()[:3]:
        shutil.copy(jar_path(jar, shared_cache), source)
    last = spark_jars()[3].coordinate.file_name
    with pytest.raises(JarsMissing, match=rf"lacks 1 of 4 jars for Spark's Kafka connector: {last}"):
        ensure_jars(SPARK_KAFKA, java=NO_JAVA, cache_dir=tmp_path / "cache", folder=source)
    (source / last).write_bytes(b"not a jar")
    with pytest.raises(JarsMissing, match=rf"{last} .* is not the jar .* SHA-256 {spark_jars()[3].sha256} expected"):
        ensure_jars(SPARK_KAFKA, java=NO_JAVA, cache_dir=tmp_path / "cache", folder=source)
    assert nothing_half_done(tmp_path / "cache")


FETCH = """
import os, resource, sys
from pathlib import Path
from pacifictool.errors import PacificToolError
from pacifictool.runtime.jars import SPARK_KAFKA, ensure_jars
from pacifictool.runtime.java import find_java
java = find_java(os.environ)
if len(sys.argv) > 4:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), int(sys.argv[4])))
source = {"mirror": sys.argv[3]} if "://" in sys.argv[3] else {"folder": Path(sys.argv[3])}
print("up", flush=True)
try:
    ensure_jars(SPARK_KAFKA, java=java, cache_dir=Path(sys.argv[1]), **source)
except PacificToolError as error:
    sys.exit(f"{error.kind}: {error.message}")
"""


def test_two_that_fetch_at_once_do_not_disturb_each_other(
    tmp_path: Path, mirror: Mirror, run_python: Callable[..., subprocess.Popen[str]]
) -> None:
    programs = [run_python(FETCH, tmp_path, "-", mirror.url) for _ in range(2)]
    assert [program.wait(60) for program in programs] == [0, 0]
    assert missing_jars(SPARK_KAFKA, tmp_path) == []
    assert nothing_half_done(tmp_path)
    # The second one waited and found everything.
    names = [jar.coordinate.file_name for jar in spark_jars()]
    assert [mirror.asked.count(name) for name in names] == [1, 1, 1, 1]


@pytest.mark.parametrize("deadly", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_fetch_killed_in_the_middle_leaves_no_process_and_no_half_jar(
    tmp_path: Path,
    java: JavaRuntime,
    mirror: Mirror,
    run_python: Callable[..., subprocess.Popen[str]],
    processes_naming: Callable[[Path], list[str]],
    deadly: signal.Signals,
) -> None:
    hanging = spark_jars()[1]
    mirror.hanging.add(hanging.coordinate.file_name)
    program = run_python(FETCH, tmp_path, "-", mirror.url)
    wait_until(lambda: len(missing_jars(SPARK_KAFKA, tmp_path)) == 1, "three of the four jars")
    wait_until(lambda: bool(list((tmp_path / "fetching").rglob("*.part"))), "a half jar")
    program.send_signal(deadly)
    assert program.wait(60) != 0
    wait_until(lambda: not processes_naming(tmp_path), "the end of Ivy", 10)

    mirror.released.set()
    mirror.hanging.clear()
    mirror.asked.clear()
    ensure_jars(SPARK_KAFKA, java=java, cache_dir=tmp_path, mirror=mirror.url)
    assert set(mirror.asked) == {hanging.coordinate.file_name}
    assert nothing_half_done(tmp_path)


@pytest.mark.parametrize("source", ["mirror", "folder"])
def test_a_cache_without_space_is_reported_and_keeps_what_fitted(
    tmp_path: Path,
    shared_cache: Path,
    mirror: Mirror,
    run_python: Callable[..., subprocess.Popen[str]],
    source: str,
) -> None:
    # A limit on the size of files stands for the full disk: three of the jars fit, the client's 9 MB do not.
    given = mirror.url if source == "mirror" else shared_cache
    program = run_python(FETCH, tmp_path, "-", given, "1000000")
    output, _ = program.communicate(timeout=60)
    assert output.splitlines()[-1] == f"storage-full: No space is left for the jar cache in {tmp_path}."
    assert program.returncode == 1
    assert spark_jars()[1] in missing_jars(SPARK_KAFKA, tmp_path)
    assert nothing_half_done(tmp_path)


def test_a_full_disk_met_by_ourselves_is_reported(
    java: JavaRuntime, shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StorageFull, match="the jar cache"):
        ensure_jars(SPARK_KAFKA, java=java, cache_dir=tmp_path, folder=shared_cache)
    assert nothing_half_done(tmp_path)


def test_the_wait_for_another_fetch_is_reported(
    java: JavaRuntime, shared_cache: Path, mirror: Mirror, tmp_path: Path
) -> None:
    listening = RecordingReporter()

    def fetch(reporter: Reporter) -> None:
        ensure_jars(SPARK_KAFKA, java=java, cache_dir=tmp_path, mirror=mirror.url, reporter=reporter)

    mirror.hanging.add(spark_jars()[1].coordinate.file_name)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(fetch, SilentReporter())
        wait_until(lambda: len(missing_jars(SPARK_KAFKA, tmp_path)) == 1, "three of the four jars")
        second = threads.submit(fetch, listening)
        wait_until(lambda: listening.infos, "a message")
        mirror.hanging.clear()
        mirror.released.set()
        first.result()
        second.result()
    assert "Another pacifictool is fetching jars" in listening.infos[0]
    assert missing_jars(SPARK_KAFKA, tmp_path) == []


def test_proxies_of_the_environment_are_handed_to_java() -> None:
    assert proxy_options({}) == []
    assert proxy_options({"HTTPS_PROXY": "proxy.example:3128", "no_proxy": "intern.example, .corp"}) == [
        "-Dhttps.proxyHost=proxy.example",
        "-Dhttps.proxyPort=3128",
        "-Dhttp.nonProxyHosts=localhost|127.*|[::1]|intern.example|*.intern.example|corp|*.corp",
    ]
    options = proxy_options({"http_proxy": "http://me:p%40ss@proxy.example"})
    assert "-Dhttp.proxyPassword=p@ss" in options
    assert "-Dhttp.proxyPort=80" in options
    assert proxy_options({"all_proxy": "socks5://proxy.example"})[:2] == [
        "-DsocksProxyHost=proxy.example",
        "-DsocksProxyPort=1080",
    ]
    assert proxy_options({"http_proxy": "p:1", "no_proxy": "*"})[-1].endswith("|*")


def test_a_proxy_password_never_shows_in_the_process_list(
    java: JavaRuntime, mirror: Mirror, tmp_path: Path, processes_naming: Callable[[str | Path], list[str]]
) -> None:
    mirror.hanging.add(spark_jars()[0].coordinate.file_name)
    seen: list[str] = []

    class LookingTask(RecordedTask):
        def advance(self, amount: float = 1) -> None:
            super().advance(amount)
            seen.extend(processes_naming(tmp_path))
            options = next((tmp_path / "fetching").rglob("java-options"))
            assert "s3cret" in options.read_text()
            assert options.stat().st_mode & 0o077 == 0
            mirror.hanging.clear()
            mirror.released.set()

    class Looking(SilentReporter):
        def task(
            self, description: str, total: float | None = None, unit: str = ""
        ) -> AbstractContextManager[ProgressTask]:
            return contextlib.nullcontext(LookingTask(description, total))

    # no_proxy keeps the request for loopback away from the proxy, which does not exist.
    environ = {"http_proxy": "http://me:s3cret@127.0.0.1:1"}
    ensure_jars(SPARK_KAFKA, java=java, cache_dir=tmp_path, mirror=mirror.url, environ=environ, reporter=Looking())
    assert seen
    assert not [line for line in seen if "s3cret" in line]


def test_java_can_read_the_machines_certificates(wheel_java: JavaRuntime, tmp_path: Path) -> None:
    certificates = machine_certificates(os.environ)
    assert len(certificates) > 10
    store = tmp_path / "trust.jks"
    write_truststore(store, certificates)
    keytool = wheel_java.home / "bin" / "keytool"
    listed = subprocess.run(
        [keytool, "-list", "-keystore", store, "-storepass", STORE_PASSWORD], capture_output=True, text=True, check=True
    )
    assert f"Your keystore contains {len(certificates)} entries" in listed.stdout


def test_hashing_the_cached_jars_is_cheap(broker_jars: list[Path], shared_cache: Path) -> None:
    began = time.process_time()
    assert ensure_jars(KAFKA_BROKER, java=NO_JAVA, cache_dir=shared_cache) == broker_jars
    assert time.process_time() - began < 1.5
