"""Another user of this machine can read nothing of a sandbox, a demo or a job, send them nothing and stop nothing.

Every port is found in /proc and tried by a process with another user id: as a browser, a device, a Kafka client, a
client of Spark's and py4j's protocols, and with random bytes. Job, platform and numbers must not change.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pacifictool.kafka.records import read_records
from pacifictool.settings import KafkaEndpoint, read_properties
from tests.support import other_user
from tests.support.command_line import kept_variables
from tests.support.demo_result import assert_held
from tests.support.four_analytics import MEAN_KEY, document_of, four_analytics
from tests.support.open_sockets import OpenSocket, family, open_sockets, socket_paths
from tests.support.oracle import compare_values, expected_of, read_platform, result_keys
from tests.support.other_user import DEMO_TOKEN, MARK, as_another_user, demo_keys
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.spark, pytest.mark.kafka]

TOPIC = "winds"
SCENARIO = four_analytics(TOPIC, devices=[("Turbine 1", "Zone A", 5), ("Turbine 2", "Zone B", 5)])
DOCUMENT = document_of(SCENARIO)
FUNCTION = """
[[analytics]]
name = "own"
group_by = ["geoZone"]
window = 2
function = "own:count"
entity = "{geoZone} own"
"""

EXPLAINED = {
    ("platform", "tcp"): 2,  # REST with the page, and MQTT
    ("broker", "tcp"): 2,  # clients, and the controller
    ("Spark", "tcp"): 3,  # py4j's gateway, the driver, its block manager
    ("simulate", "tcp"): 1,  # metrics
    ("watch", "tcp"): 1,  # the page
}
"""How many sockets each part may have. One that is not in this table is an attack surface that was not considered."""


@dataclass
class UserPrograms:
    """Programs of one user, in a folder that every user can enter."""

    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    roots: list[int] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def environ(self, more: Mapping[str, str]) -> dict[str, str]:
        return {
            **kept_variables(),
            "TMPDIR": str(self.folder / "tmp"),
            "PACIFICTOOL_STATE": str(self.state),
            "PACIFICTOOL_OUTPUT": "json",
            **more,
        }

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        """Starts a command under a umask that hides nothing."""
        name = arguments[0]
        with (self.folder / f"{name}.out").open("wb") as out, (self.folder / f"{name}.err").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "pacifictool", *arguments],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=self.environ(variables), cwd=self.folder, umask=0,
            )  # fmt: skip
        self.processes[name] = process
        self.roots.append(process.pid)
        return process

    def call(self, *arguments: str, **variables: str) -> Any:
        """Runs a command to its end; returns its document."""
        process = self.start(*arguments, **variables)
        code = process.wait(120)
        self.roots.remove(process.pid)
        assert code == 0, self.said(arguments[0])
        return self.document(arguments[0])

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.err").read_text()

    def document(self, name: str) -> Any:
        return json.loads((self.folder / f"{name}.out").read_text())

    def wait_for(self, condition: Callable[[], Any], what: str, seconds: float = 120) -> Any:
        def found_or_ended() -> Any:
            found = condition()
            for name, process in self.processes.items():
                assert found or process.poll() in (None, 0), f"{name} ended: {self.said(name)}"
            return found

        return wait_until(found_or_ended, lambda: f"{what}: {self.all_said()}", seconds)

    def all_said(self) -> str:
        return "\n".join(f"{name}: {self.said(name)[-2000:]}" for name in self.processes)

    def found_sockets(self) -> set[OpenSocket]:
        return open_sockets(family(self.roots))

    def end(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter: access below depends on the programs, not on pytest."""
    folder = Path(tempfile.mkdtemp(prefix="pacifictool-test-"))
    folder.chmod(0o755)
    (folder / "tmp").mkdir(mode=0o755)
    (folder / "tmp").chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Tried:
    """A sandbox, a running job, a fleet with metrics and a page; and what another user found when all were tried."""

    programs: UserPrograms
    sandbox: dict[str, Any]
    open_sockets: set[OpenSocket]
    socket_paths: list[str]
    report: dict[str, Any]

    def found(self, role: str) -> dict[str, list[str]]:
        """What succeeded, by port and attack."""
        ports = {opening.port for opening in self.open_sockets if opening.role == role}
        assert ports, f"no port of {role}"
        tried = {key: got for key, got in self.report["found"].items() if key.partition(" ")[0] in map(str, ports)}
        assert len(tried) == len(ports) * len(other_user.ATTACKS)
        return {key: got for key, got in tried.items() if got}


def _posted(url: str, key: str) -> Any:
    return read_platform(url, {"asset": {key}}).values


@pytest.fixture(scope="module")
def tried(open_folder: Path) -> Iterator[Tried]:
    programs = UserPrograms(open_folder)
    (open_folder / "scenario.toml").write_text(SCENARIO + FUNCTION)
    (open_folder / "own.py").write_text("def count(readings):\n    return {'called': len(readings)}\n")
    sandbox = programs.call("sandbox", "up", "--free-ports")
    try:
        programs.roots.append(sandbox["pid"])
        reached = {
            "PACIFICTOOL_URL": sandbox["url"],
            "PACIFICTOOL_MQTT": sandbox["mqtt"],
            "PACIFICTOOL_KAFKA": sandbox["kafka"],
            "PACIFICTOOL_SCENARIO": str(open_folder / "scenario.toml"),
        }
        programs.call("setup", **reached)
        programs.start("aggregate", "--starting-offsets", "earliest", **reached)
        programs.start("simulate", "--metrics", "0", **reached)
        programs.start("watch", "--web", "--no-open", **reached)
        for key in (MEAN_KEY, "called"):
            programs.wait_for(partial(_posted, sandbox["url"], key), f"a {key}")
        programs.wait_for(
            lambda: {"simulate", "watch"} <= {each.role for each in programs.found_sockets()}, "all ports"
        )
        found = programs.found_sockets()
        paths = socket_paths(family(programs.roots))
        report = as_another_user(
            {
                "sockets": paths,
                "ports": sorted(each.port for each in found if each.kind == "tcp"),
                "brokers": [each.port for each in found if each.role == "broker"],
                "token": DEMO_TOKEN,
                "topic": TOPIC,
                "folders": [str(programs.state), str(open_folder / "tmp")],
                "pids": [process.pid for process in family(programs.roots)],
            }
        )
        yield Tried(programs, sandbox, found, paths, report)
    finally:
        programs.end()
        programs.call("sandbox", "down")


def test_every_port_is_one_that_the_table_explains(tried: Tried) -> None:
    counted = Counter((opening.role, opening.kind) for opening in tried.open_sockets)
    unexplained = {key: number for key, number in counted.items() if number > EXPLAINED.get(key, 0)}
    assert unexplained == {}, tried.open_sockets
    assert counted.keys() >= {("platform", "tcp"), ("broker", "tcp"), ("simulate", "tcp"), ("watch", "tcp")}


@pytest.mark.parametrize("role", ["platform", "broker", "simulate", "watch"])
def test_another_user_gets_nothing_from_the_ports_of(role: str, tried: Tried) -> None:
    assert tried.found(role) == {}


@pytest.mark.parametrize("role", ["Spark", "job"])
def test_another_user_gets_nothing_from_the_job(role: str, tried: Tried) -> None:
    if any(opening.role == role for opening in tried.open_sockets):  # a job without any port is as good
        assert tried.found(role) == {}


def test_python_workers_listen_in_the_file_system_only(tried: Tried) -> None:
    assert tried.socket_paths  # and nobody else could connect: see the next test
    commands = {opening.role for opening in tried.open_sockets}
    assert not [command for command in commands if "pyspark" in command or "function_child" in command]


def test_another_user_reads_no_file_and_reaches_no_process(tried: Tried) -> None:
    assert tried.report["found"]["files"] == []


def test_the_password_of_kafka_is_in_no_command_line_and_in_no_log(tried: Tried) -> None:
    properties = read_properties(Path(tried.sandbox["kafka_config"]))
    password = properties["sasl.password"]
    assert len(tried.report["arguments"]) >= 8
    assert not any(password in line for line in tried.report["arguments"])
    logs = [
        *tried.programs.state.rglob("*.log"),
        *tried.programs.folder.glob("*.err"),
        *tried.programs.folder.glob("*.out"),
    ]
    assert any(path.name == "broker.log" for path in logs)
    assert [path for path in logs if password in path.read_text(errors="replace")] == []


def test_everything_goes_on_and_is_right_afterwards(tried: Tried) -> None:
    programs, url = tried.programs, tried.sandbox["url"]
    endpoint = KafkaEndpoint(tried.sandbox["kafka"], read_properties(Path(tried.sandbox["kafka_config"])))
    for name in ("aggregate", "simulate", "watch"):
        assert programs.processes[name].poll() is None, programs.said(name)
    assert programs.call("sandbox", "status")["running"] is True
    programs.processes["simulate"].terminate()
    programs.processes["simulate"].wait(60)
    assert programs.document("simulate")["lost"] == 0

    def differences() -> tuple[str, ...]:
        records = list(read_records(endpoint, TOPIC))
        posted = read_platform(url, result_keys(DOCUMENT))
        verdict = compare_values(records, expected_of(DOCUMENT, records), {}, posted)
        assert verdict.records > 50
        return verdict.differences

    until = time.monotonic() + 120
    while (left := differences()) and time.monotonic() < until:
        time.sleep(0.5)
    assert left == (), programs.said("aggregate")
    assert MARK.encode() not in b"".join(record.value or b"" for record in read_records(endpoint, TOPIC))
    assert MARK not in demo_keys(url)
    log = (programs.state / "sandbox" / "platform" / "sandbox.log").read_text()
    assert log.count(f"uid {other_user.UID}") == 1, log


# The parts of a demo are those that the tests above try; tests/e2e/test_demo.py plays it.
@pytest.mark.long
@pytest.mark.parametrize("generation", ["1", "4"])
def test_a_demo_that_another_user_tries_to_disturb_plays_to_its_end(generation: str, open_folder: Path) -> None:
    programs = UserPrograms(open_folder)
    began = time.time()
    demo = programs.start("demo", "--fast", "--generation", generation)
    try:
        programs.wait_for(lambda: "Spark" in {each.role for each in programs.found_sockets()}, "Spark")
        # Its ports come one after the other.
        time.sleep(3)
        found = programs.found_sockets()
        platform = {each.port for each in found if each.role == "platform"}
        url = next(
            f"http://127.0.0.1:{port}"
            for port in platform
            if other_user.talk(port, b"GET / HTTP/1.0\r\n\r\n")[:4] == b"HTTP"
        )
        target = {
            "ports": sorted(each.port for each in found if each.kind == "tcp"),
            "brokers": [each.port for each in found if each.role == "broker"],
            "token": DEMO_TOKEN,
            "topic": "weather-stations-data",
            "folders": [str(open_folder / "tmp")],
            "pids": [process.pid for process in family(programs.roots)],
        }
        report = as_another_user(target)
        if demo.poll() is None:
            with contextlib.suppress(OSError):
                assert MARK not in demo_keys(url)
        demo.wait(500)
    finally:
        programs.end()
    useful = {key: got for key, got in report["found"].items() if got}
    ours = {str(each.port) for each in found if each.role in ("platform", "broker")}
    assert {key: got for key, got in useful.items() if key == "files" or key.partition(" ")[0] in ours} == {}
    assert demo.returncode == 0, programs.said("demo")
    assert_held(programs.document("demo"), since=began)
    assert useful == {}
