"""Where secrets must not appear: process lists, logs, checkpoints, results, messages, files that others may read."""

from __future__ import annotations

import json
import re
import sqlite3
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from pacifictool.kafka.config import librdkafka_properties
from pacifictool.kafka.topics import LOG_APPEND_TIME, KafkaAdmin
from pacifictool.local.launcher import SandboxProcess
from tests.support.command_line import CommandLine, kept_variables
from tests.support.demo_result import assert_held
from tests.support.process_monitor import Observation, files_below, look_at, observe, open_to_others, texts_in
from tests.support.sandbox_clients import Tenant
from tests.support.scenarios import tutorial_file
from tests.support.scripted_platform import EMPTY, Reply, Request, ScriptedPlatform
from tests.support.secure_kafka import PLAIN_PASSWORD, PLAIN_USER, SecureKafka
from tests.support.tls import Pki

JWT = re.compile(rb"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}")
PASSWORD = "rest-password-that-nobody-may-see"


def environment(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Everything that a command writes to a default place goes below `folder`."""
    temporary = folder / "tmp"
    temporary.mkdir()
    return {**kept_variables(), "TMPDIR": str(temporary), "PACIFICTOOL_STATE": str(folder / "state"), **more}


def jwts_below(folder: Path) -> list[str]:
    return [str(path) for path in files_below(folder) if JWT.search(path.read_bytes())]


class OneAssetPlatform:
    """A platform that accepts any password, creates any asset and records the tokens that it issued."""

    def __init__(self, server: ScriptedPlatform) -> None:
        self.server = server
        self.means: list[bytes] = []
        identifier = str(uuid4())
        asset = {
            "id": {"entityType": "ASSET", "id": identifier},
            "tenantId": {"entityType": "TENANT", "id": str(uuid4())},
            "createdTime": 1795476933092,
            "name": "Zone A",
            "type": "WeatherStation",
            "additionalInfo": None,
        }
        server.on("GET", "/api/plugins", Reply(json=[]))
        server.on("GET", "/api/tenant/assets", Reply(json=asset))
        server.on("POST", f"/api/plugins/telemetry/ASSET/{identifier}/timeseries/ANY", self._keep)

    def _keep(self, request: Request) -> Reply:
        self.means.append(request.body)
        return EMPTY

    def tokens(self) -> set[str]:
        return {
            request.headers["x-authorization"].removeprefix("Bearer ")
            for request in self.server.requests
            if "x-authorization" in request.headers
        }


@pytest.fixture
def platform() -> Iterator[OneAssetPlatform]:
    with ScriptedPlatform() as server:
        yield OneAssetPlatform(server)


def filled_topic(kafka: SecureKafka) -> str:
    topic = f"secrets-{uuid4().hex}"
    KafkaAdmin(kafka.tls()).create(topic, partitions=1, replication=1, timestamp_type=LOG_APPEND_TIME)
    producer = Producer(librdkafka_properties(kafka.tls()))
    for value in (b'{"geoZone":"Zone A", "windSpeed":31}', b"garbage"):
        producer.produce(topic, value)
    assert producer.flush(60) == 0
    return topic


@pytest.mark.spark
@pytest.mark.kafka
def test_an_aggregation_with_every_kind_of_secret_keeps_them_all(
    kafka: SecureKafka, platform: OneAssetPlatform, pki: Pki, tmp_path: Path
) -> None:
    """REST password and tokens, a SASL password and the key of a certificate, while it runs and afterwards."""
    files = pki.client("aggregator.example")
    assert files.key_file is not None
    endpoint = kafka.sasl("PLAIN", PLAIN_USER, PLAIN_PASSWORD)
    properties = kafka.pki.folder / "aggregator.properties"
    config = {
        **endpoint.config,
        "ssl.certificate.location": str(files.cert_file),
        "ssl.key.location": str(files.key_file),
    }
    properties.write_text("".join(f"{name}={value}\n" for name, value in config.items()))
    (tmp_path / "scenario.toml").write_text(tutorial_file(filled_topic(kafka)))
    escaped = PLAIN_PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
    secrets = [
        PASSWORD,
        PLAIN_PASSWORD,
        escaped,
        json.dumps(PLAIN_PASSWORD),
        files.key_file.read_text().splitlines()[1],
    ]

    observation = observe(
        [
            *("aggregate", "-s", "scenario.toml", "-o", "json", "--verbose", "--debug"),
            *("--url", platform.server.url, "--kafka", endpoint.bootstrap, "--kafka-config", str(properties)),
            *("--available-now", "--starting-offsets", "earliest", "--checkpoint", "checkpoint"),
        ],
        environ=environment(tmp_path, {"PACIFICTOOL_PASSWORD": PASSWORD}),
        folder=tmp_path,
        forbidden=secrets,
    )
    assert observation.code == 0, observation.stderr
    assert json.loads(observation.stdout)["rejects"] == {"not one valid JSON value": 1}
    assert len(platform.means) == 1
    assert platform.server.logins[0].json["password"] == PASSWORD
    tokens = platform.tokens()
    assert tokens

    shown = "\n".join([*observation.arguments, observation.stdout, observation.stderr])
    assert [secret for secret in [*secrets, *tokens] if secret in shown] == []
    assert any("java" in arguments for arguments in observation.arguments)
    assert observation.found == {}
    assert texts_in(tmp_path, [*secrets, *tokens]) == {}
    assert jwts_below(tmp_path) == []
    assert (tmp_path / "checkpoint" / "spark.log").exists()
    assert open_to_others(tmp_path / "checkpoint") == []
    assert observation.listening
    assert observation.beyond_loopback() == set()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Observation]:
    """The folder that `demo --keep` left, and what was seen of the demo while it ran."""
    folder = tmp_path_factory.mktemp("demo")
    began = time.time()
    observation = observe(
        ["demo", "--fast", "--keep", "--verbose", "-o", "json"],
        environ=environment(folder, {"PACIFICTOOL_PASSWORD": PASSWORD}),
        folder=folder,
        forbidden=[PASSWORD],
    )
    assert observation.code == 0, observation.stderr
    assert_held(json.loads(observation.stdout), since=began)
    (kept,) = (folder / "tmp").glob("pacifictool-*")
    return kept, observation


def device_tokens(platform_folder: Path) -> list[str]:
    """The access tokens that a sandbox keeps, without the published ones of its demo devices."""
    with sqlite3.connect(platform_folder / "sandbox.db") as database:
        columns = [
            (table, column)
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for _, column, *_ in database.execute(f'PRAGMA table_info("{table}")')
            if "token" in column or "credentials" in column
        ]
        found = {
            value
            for table, column in columns
            for (value,) in database.execute(f'SELECT "{column}" FROM "{table}"')
            if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9]{20}", value)
        }
    database.close()
    return sorted(found)


@pytest.mark.long
@pytest.mark.spark
def test_the_demo_shows_no_token_and_no_password(demo: tuple[Path, Observation]) -> None:
    kept, observation = demo
    tokens = device_tokens(kept / "platform")
    assert len(tokens) >= 3
    shown = "\n".join([*observation.arguments, observation.stdout, observation.stderr])
    assert [token for token in tokens if token in shown] == []
    assert PASSWORD not in shown
    assert observation.found == {}
    assert JWT.search(shown.encode()) is None
    assert jwts_below(kept) == []
    found = texts_in(kept, tokens)
    assert {Path(path).name for path in found.values()} <= {"sandbox.db", "sandbox.db-wal"}
    programs = "\n".join(observation.arguments)
    for part in ("pacifictool.sandbox", "kafka.Kafka", "org.apache.spark.api.python.PythonGatewayServer"):
        assert part in programs  # without it the checks above prove nothing


@pytest.mark.long
@pytest.mark.spark
def test_the_demo_listens_on_the_loopback_interface_only(demo: tuple[Path, Observation]) -> None:
    _, observation = demo
    assert len({port for _, _, port in observation.listening}) >= 5  # REST, MQTT, broker, controller, Spark's
    assert observation.beyond_loopback() == set()


@pytest.mark.long
@pytest.mark.spark
def test_what_the_demo_keeps_only_its_owner_can_read(demo: tuple[Path, Observation]) -> None:
    kept, _ = demo
    assert open_to_others(kept) == []
    # If someone moves the folder to where others have access, the files with secrets are still private.
    for name in ("platform/sandbox.db", "platform/signing.key", "kafka/server.properties"):
        assert stat.S_IMODE((kept / name).stat().st_mode) == 0o600, name
    for name in ("platform", "kafka", "job"):
        assert stat.S_IMODE((kept / name).stat().st_mode) == 0o700, name


def test_a_sandbox_in_a_folder_that_others_can_enter_keeps_what_is_in_it_to_itself(
    command_line: CommandLine, tmp_path: Path
) -> None:
    data = tmp_path / "shared"
    data.mkdir(mode=0o755)
    data.chmod(0o755)
    environ = environment(tmp_path, {})
    up = ("sandbox", "up", "--free-ports", "--data", str(data), "-o", "json")
    observation = observe(list(up), environ=environ, folder=tmp_path)
    try:
        assert observation.code == 0, observation.stderr
        state = json.loads(observation.stdout)
        reached = {
            "PACIFICTOOL_URL": state["url"],
            "PACIFICTOOL_MQTT": state["mqtt"],
            "PACIFICTOOL_KAFKA": state["kafka"],
            "PACIFICTOOL_KAFKA_CONFIG": state["kafka_config"],
        }
        assert command_line("setup", "-o", "json", environ=reached).code == 0
        from_outside = Observation()
        look_at(state["pid"], from_outside)
        assert from_outside.beyond_loopback() == set()
        assert len(from_outside.listening) >= 4
        assert open_to_others(data) == []
    finally:
        assert command_line("sandbox", "down", "--data", str(data)).code == 0
    assert open_to_others(data) == []
    assert jwts_below(data) == []


def commands_that_fail(sandbox: SandboxProcess, tmp_path: Path) -> dict[str, Sequence[str]]:
    return {
        "refused login": ("asset", "list"),
        "nobody there": ("asset", "list", "--url", "http://127.0.0.1:9"),
        "refused token": (
            *("simulate", "--device", "Wind Turbine 1", "--count", "1", "--token", PASSWORD),
            *("--mqtt", f"127.0.0.1:{sandbox.mqtt_port}"),
        ),
        "unknown Kafka property": ("aggregate", "--sink", "console", f"-Xsasl.pasword={PASSWORD}"),
        "not a pair": ("aggregate", "--sink", "console", "-X", PASSWORD),
        "SASL without a mechanism": (
            *("aggregate", "--sink", "console", "-Xsasl.mechanisms=GSSAPI"),
            *("-Xsasl.username=me", f"-Xsasl.password={PASSWORD}"),
        ),
        "credentials in the address": ("asset", "list", "--url", f"http://me:{PASSWORD}@127.0.0.1"),
        "credentials in the address of MQTT": ("simulate", "--mqtt", f"mqtt://me:{PASSWORD}@127.0.0.1"),
        "credentials in the address of Kafka": ("aggregate", "--kafka", f"me:{PASSWORD}@127.0.0.1:1"),
    }


PLAIN, DEBUG = (), ("--debug", "--verbose")
WITH_SPARK = ("unknown Kafka property", "SASL without a mechanism")
"""These start Spark before they fail, so one of the two ways to run them is `long`: what --debug adds can repeat a secret."""


@pytest.mark.parametrize(
    ("command", "debug"),
    [
        pytest.param(
            command,
            debug,
            id=f"{'debug' if debug else 'plain'}-{command}",
            marks=pytest.mark.long if command in WITH_SPARK and not debug else (),
        )
        for command in (
            "refused login",
            "nobody there",
            "refused token",
            "unknown Kafka property",
            "not a pair",
            "SASL without a mechanism",
            "credentials in the address",
            "credentials in the address of MQTT",
            "credentials in the address of Kafka",
        )
        for debug in (PLAIN, DEBUG)
    ],
)
def test_no_failure_repeats_a_secret(
    sandbox: SandboxProcess, command_line: CommandLine, tmp_path: Path, command: str, debug: tuple[str, ...]
) -> None:
    environ = {"PACIFICTOOL_URL": sandbox.url, "PACIFICTOOL_PASSWORD": PASSWORD}
    arguments = commands_that_fail(sandbox, tmp_path)[command]
    outcome = command_line(*arguments, *debug, "-o", "json", environ=environ)
    assert outcome.code in (1, 2)
    if command != "not a pair":  # whether --debug of a line that cannot be parsed applies is not guaranteed
        assert ("Traceback" in outcome.stderr) is bool(debug)
    assert PASSWORD not in outcome.stdout + outcome.stderr


def test_tokens_are_only_shown_to_who_asks_for_them(
    sandbox: SandboxProcess, tenant: Tenant, command_line: CommandLine
) -> None:
    environ = {"PACIFICTOOL_URL": sandbox.url, "PACIFICTOOL_MQTT": f"127.0.0.1:{sandbox.mqtt_port}"}
    name = f"Turbine of secrets {uuid4().hex}"
    _, token = tenant.device(name)
    for arguments in (
        ("device", "list"),
        ("device", "create", name),
        ("attributes", "set", name, "a=1"),
        ("attributes", "show", name),
        ("device", "delete", name, "--yes"),
    ):
        outcome = command_line(*arguments, "-o", "json", "--verbose", "--debug", environ=environ)
        assert outcome.code == 0, outcome
        assert token not in outcome.stdout + outcome.stderr
        assert JWT.search((outcome.stdout + outcome.stderr).encode()) is None
