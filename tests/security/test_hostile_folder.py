"""A folder with a hostile pacifictool.toml: no code runs, no secret leaves, and the command ends with a usage error.

Each command is a process, forked from one, whose user file and environment hold secrets. The folder's file names servers that record
what arrives, and libraries that record who opens them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.command_line import Outcome, checkout_on_path, kept_variables
from tests.support.forked import Forked

PASSWORD, API_KEY, TOKEN, KAFKA_PASSWORD, STDIN = (
    f"{name}-that-must-not-leave" for name in ("password", "tb_api-key", "token", "kafka-password", "stdin")
)
SECRETS = (PASSWORD, API_KEY, TOKEN, KAFKA_PASSWORD, STDIN)
FAR_AWAY = "192.0.2.1"
"""An address for documentation (RFC 5737), which no machine has."""


class Listener:
    """A server that records connections and data, and never responds."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.received.append(b"")
            with connection:
                connection.settimeout(0.3)
                with contextlib.suppress(OSError):
                    while piece := connection.recv(65536):
                        self.received[-1] += piece

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Library:
    """A named pipe in place of a library: a process that opens it waits for a writer and is noticed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self.opened = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            try:
                # Succeeds only while somebody has the other end open.
                os.close(os.open(self.path, os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                continue
            self.opened = True

    def close(self) -> None:
        self._ended.set()
        self._thread.join()


@dataclass
class Hostile:
    """A folder with a hostile file, and a user who has secrets."""

    folder: Path
    home: Path
    listener: Listener
    library: Library
    programs: Forked
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def user_file(self) -> Path:
        return self.home / "pacifictool" / "config.toml"

    def run(self, *arguments: str, environ: dict[str, str] | None = None) -> Outcome:
        environ = self.environ | (environ or {})
        return self.programs.run(*arguments, folder=self.folder, environ=environ, stdin=STDIN)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forked]:
    """Programs of a Python that has imported what most commands need."""
    modules = (
        "confluent_kafka",
        "pacifictool.cli.main",
        "pacifictool.rest",
        "pacifictool.scenario",
        "pacifictool.settings",
    )
    with Forked(tmp_path_factory.mktemp("programs"), modules) as forked:
        yield forked


@pytest.fixture
def hostile(tmp_path: Path, programs: Forked) -> Iterator[Hostile]:
    folder, home = tmp_path / "folder", tmp_path / "home"
    (home / "pacifictool").mkdir(parents=True)
    folder.mkdir()
    (home / "outside").write_text(PASSWORD)
    (folder / ".credentials").write_text(PASSWORD)
    (folder / "lines").write_text(f"user\n{PASSWORD}\n")
    (folder / "own").write_text("the folder's own secret")
    (folder / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
    (folder / "link").symlink_to(home / "outside")
    (folder / "code.properties").write_text("plugin.library.paths=./code.so\n")
    (folder / "replay.toml").write_text(
        '[[devices]]\nname = "x"\ntelemetry = { windSpeed = { model = "replay", file = "../home/outside" } }\n'
    )
    (home / "user.properties").write_text(
        f"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=me\nsasl.password={KAFKA_PASSWORD}\n"
    )
    listener, library = Listener(), Library(folder / "code.so")
    environ = {
        **kept_variables(),
        **checkout_on_path(),
        "XDG_CONFIG_HOME": str(home),
        "PACIFICTOOL_STATE": str(tmp_path / "state"),
    }
    yield Hostile(folder, home, listener, library, programs, environ)
    library.close()
    listener.close()


@dataclass(frozen=True)
class Variant:
    """One hostile file. In its texts, LISTENER and HOME stand for the test's own."""

    file: str
    command: tuple[str, ...]
    tells: tuple[str, ...]
    """What the error must name besides the file."""
    environ: dict[str, str] = field(default_factory=dict)
    user_file: str = ""
    file_name: str = "pacifictool.toml"


DOCTOR, SETUP, LIST = ("doctor",), ("setup", "--dry-run"), ("device", "list")
AGGREGATE, SIMULATE = ("aggregate", "--sink", "console", "--available-now"), ("simulate", "--count", "1")
WATCH = ("watch", "--once")
IN_ENVIRONMENT = {"PACIFICTOOL_PASSWORD": PASSWORD}
USERS_SERVER = 'url = "http://127.0.0.1:1"\npassword_file = "HOME/outside"\n'
KAFKA_IN_ENVIRONMENT = {"PACIFICTOOL_KAFKA_CONFIG": "HOME/user.properties"}
KAFKA_OF_USER = f'[kafka_properties]\n"sasl.password" = "{KAFKA_PASSWORD}"\n"security.protocol" = "SASL_SSL"\n'


def properties(**pairs: str) -> str:
    lines = [f'"{name.replace("_", ".")}" = "{value}"' for name, value in pairs.items()]
    return "\n".join(['kafka = "LISTENER"', "[kafka_properties]", *lines, ""])


VARIANTS = {
    # Code
    "a library": Variant(properties(plugin_library_paths="./code.so"), DOCTOR, ("plugin.library.paths",)),
    "a library for the job": Variant(properties(plugin_library_paths="./code.so"), AGGREGATE, ("plugin.library.paths",)),
    "a library by a properties file": Variant(
        'kafka = "LISTENER"\nkafka_config = "code.properties"\n', DOCTOR, ("code.properties", "plugin.library.paths")
    ),
    "an engine of OpenSSL": Variant(
        properties(security_protocol="SSL", ssl_engine_location="./code.so"), DOCTOR, ("ssl.engine.location",)
    ),
    "a provider of OpenSSL": Variant(
        properties(security_protocol="SSL", ssl_providers="code"), WATCH, ("ssl.providers",)
    ),
    "a program for Kerberos": Variant(
        properties(
            security_protocol="SASL_PLAINTEXT", sasl_mechanism="GSSAPI", sasl_kerberos_kinit_cmd="touch code-ran"
        ),
        DOCTOR,
        ("sasl.kerberos.kinit.cmd",),
    ),
    "a shell in Kerberos's name": Variant(
        properties(
            security_protocol="SASL_PLAINTEXT", sasl_mechanism="GSSAPI", sasl_kerberos_principal="x; touch code-ran"
        ),
        DOCTOR,
        ("sasl.kerberos.principal",),
    ),
    "a login module of Java": Variant(
        properties(sasl_jaas_config="com.sun.security.auth.module.JndiLoginModule required;"),
        AGGREGATE,
        ("sasl.jaas.config", "sasl.username", "sasl.password"),
    ),
    "a class of Java": Variant(
        properties(sasl_client_callback_handler_class="evil.Code"), AGGREGATE, ("sasl.client.callback.handler.class",)
    ),
    "interceptors of Java": Variant(properties(interceptor_classes="evil.Code"), AGGREGATE, ("interceptor.classes",)),
    "reporters of Java": Variant(properties(metric_reporters="evil.Code"), AGGREGATE, ("metric.reporters",)),
    "configuration providers of Java": Variant(properties(config_providers="file"), AGGREGATE, ("config.providers",)),
    "jars from elsewhere": Variant('jars_mirror = "http://LISTENER"\n', AGGREGATE, ("PACIFICTOOL_JARS_MIRROR",)),
    "jars in the folder": Variant('jars_folder = "jars"\n', AGGREGATE, ("PACIFICTOOL_JARS_FOLDER",)),
    "a token's address": Variant(
        properties(sasl_oauthbearer_token_endpoint_url="file:///etc/hostname"),
        DOCTOR,
        ("sasl.oauthbearer.token.endpoint.url",),
    ),
    # The user's secrets
    "another server, password of the environment": Variant(
        'url = "http://LISTENER"\n', LIST, ("url", "PACIFICTOOL_PASSWORD", "--url"), IN_ENVIRONMENT
    ),
    "another server, password of the user's file": Variant(
        'url = "http://LISTENER"\n', SETUP, ("url", "password_file in HOME/pacifictool/config.toml"), {}, USERS_SERVER
    ),
    "another server, password on standard input": Variant(
        'url = "http://LISTENER"\n', (*LIST, "--password-file", "-"), ("url", "--password-file")
    ),
    "another server, API key of the environment": Variant(
        'url = "http://LISTENER"\n', LIST, ("url", "PACIFICTOOL_API_KEY"), {"PACIFICTOOL_API_KEY": API_KEY}
    ),
    "another server, tutorial's variables": Variant(
        'url = "http://LISTENER"\n', DOCTOR, ("url", "REST_PASSWORD"), {"REST_PASSWORD": PASSWORD}
    ),
    "another user": Variant(
        'username = "other@example.org"\n',
        LIST,
        ("username", "PACIFICTOOL_PASSWORD"),
        IN_ENVIRONMENT | {"PACIFICTOOL_URL": "http://LISTENER"},
    ),
    "another authority": Variant('ca_file = "ca.pem"\n', LIST, ("ca_file", "PACIFICTOOL_PASSWORD"), IN_ENVIRONMENT),
    "tokens of the user's devices": Variant('mqtt = "LISTENER"\n', SIMULATE, ("mqtt", "password_file"), {}, USERS_SERVER),
    "tokens of a local server's devices": Variant(f'mqtt = "{FAR_AWAY}"\n', SIMULATE, ("mqtt", "access tokens")),
    "a token that the user gives": Variant(
        'mqtt = "LISTENER"\n', (*SIMULATE, "--device", "Wind Turbine 1"), ("mqtt", "PACIFICTOOL_TOKEN"),
        {"PACIFICTOOL_TOKEN": TOKEN},
    ),
    "another Kafka": Variant('kafka = "LISTENER"\n', DOCTOR, ("kafka", "sasl.password"), KAFKA_IN_ENVIRONMENT),
    "another Kafka for the platform": Variant(
        'platform_kafka = "LISTENER"\n', DOCTOR, ("platform_kafka", "sasl.password"), KAFKA_IN_ENVIRONMENT
    ),
    "Kafka without TLS": Variant(
        '[kafka_properties]\n"security.protocol" = "SASL_PLAINTEXT"\n',
        WATCH,
        ("security.protocol",),
        {"PACIFICTOOL_KAFKA": "LISTENER"},
        KAFKA_OF_USER,
    ),
    "another authority for Kafka": Variant(
        '[kafka_properties]\n"ssl.ca.location" = "ca.pem"\n',
        AGGREGATE,
        ("ssl.ca.location", "sasl.password"),
        {"PACIFICTOOL_KAFKA": "LISTENER"},
        KAFKA_OF_USER,
    ),
    "Kafka without verification": Variant(
        properties(enable_ssl_certificate_verification="false"), DOCTOR, ("enable.ssl.certificate.verification",)
    ),
    # The user's files
    "a file outside as password": Variant(
        'url = "http://LISTENER"\npassword_file = "HOME/outside"\n', LIST, ("password_file", "outside of the folder")
    ),
    "a file above as password": Variant(
        'url = "http://LISTENER"\npassword_file = "../home/outside"\n', LIST, ("password_file", "outside of the folder")
    ),
    "a link as password": Variant(
        'url = "http://LISTENER"\napi_key_file = "link"\n', LIST, ("api_key_file", "outside of the folder")
    ),
    "a hidden file as password": Variant(
        'url = "http://LISTENER"\npassword_file = ".credentials"\n', LIST, ("password_file", "hidden")
    ),
    "a whole file as password": Variant(
        'url = "http://LISTENER"\npassword_file = "lines"\n', LIST, ("more than one line",)
    ),
    "standard input as password": Variant(
        'url = "http://LISTENER"\npassword_file = "-"\n', LIST, ("password_file", "outside of the folder")
    ),
    "a key outside": Variant(
        properties(security_protocol="SSL", ssl_key_location="HOME/outside"), DOCTOR, ("ssl.key.location",)
    ),
    "a scenario that replays a file outside": Variant(
        'scenario = "replay.toml"\n', SIMULATE, ("replay.toml", "outside of", "pacifictool.toml")
    ),
    "a scenario outside": Variant('scenario = "../home/outside"\n', SETUP, ("scenario", "outside of the folder")),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_no_code_runs_no_secret_leaves_and_the_exit_code_is_2(name: str, hostile: Hostile) -> None:
    variant = VARIANTS[name]

    def filled(text: str) -> str:
        return text.replace("LISTENER", hostile.listener.address).replace("HOME", str(hostile.home))

    (hostile.folder / "pacifictool.toml").write_text(filled(variant.file))
    hostile.user_file.write_text(filled(variant.user_file))
    outcome = hostile.run(*variant.command, environ={key: filled(value) for key, value in variant.environ.items()})

    assert outcome.code == 2, outcome
    assert not hostile.library.opened
    assert not (hostile.folder / "code-ran").exists()
    assert hostile.listener.received == []
    shown = outcome.stdout + outcome.stderr
    assert not any(secret in shown for secret in SECRETS)
    assert "Traceback" not in shown
    if name != "a whole file as password":
        assert str(hostile.folder) in outcome.stderr
    for words in variant.tells:
        assert filled(words) in outcome.stderr


def test_there_are_enough_variants() -> None:
    assert len(VARIANTS) >= 20


def test_what_the_listener_and_the_library_see_is_worth_something(hostile: Hostile) -> None:
    """Both notice what the variants try if it is not refused."""
    script = "from confluent_kafka import Producer; Producer({'plugin.library.paths': './code.so'})"
    opened = subprocess.Popen([sys.executable, "-c", script], cwd=hostile.folder, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if hostile.library.opened:
                break
            threading.Event().wait(0.1)
        assert hostile.library.opened
    finally:
        opened.kill()
        opened.wait()
    url = f"http://{hostile.listener.address}"
    assert hostile.run("device", "list", "--url", url, environ=IN_ENVIRONMENT).code == 1
    assert any(PASSWORD.encode() in received for received in hostile.listener.received)


def test_a_file_that_others_can_write_is_refused(hostile: Hostile) -> None:
    file = hostile.folder / "pacifictool.toml"
    file.write_text("")
    for mode, who in ((0o664, "its group"), (0o646, "everybody"), (0o666, "everybody")):
        file.chmod(mode)
        outcome = hostile.run("device", "list")
        assert outcome.code == 2
        assert f"can be written by {who}" in outcome.stderr
        assert f"chmod go-w {file}" in outcome.stderr.replace("\n", "")


def test_a_link_in_the_place_of_the_file_is_refused(hostile: Hostile) -> None:
    elsewhere = hostile.home / "file.toml"
    elsewhere.write_text("")
    (hostile.folder / "pacifictool.toml").symlink_to(elsewhere)
    outcome = hostile.run("device", "list")
    assert outcome.code == 2
    assert "symbolic link" in outcome.stderr


def test_a_pipe_in_the_place_of_the_file_is_not_waited_for(hostile: Hostile) -> None:
    os.mkfifo(hostile.folder / "pacifictool.toml")
    outcome = hostile.run("device", "list")
    assert outcome.code == 2
    assert "not a regular file" in outcome.stderr


@pytest.mark.parametrize(
    "pairs",
    [
        ("plugin.library.paths=./code.so",),
        ("security.protocol=SSL", "ssl.engine.location=./code.so"),
        ("sasl.kerberos.kinit.cmd=touch code-ran",),
        ("interceptor.classes=evil.Code",),
    ],
    ids=lambda pairs: pairs[-1],
)
def test_no_source_may_load_code(pairs: tuple[str, ...], hostile: Hostile) -> None:
    options = [word for pair in pairs for word in ("-X", pair)]
    (hostile.home / "code.properties").write_text("\n".join(pairs))
    in_file = "".join('"{}" = "{}"\n'.format(*pair.split("=")) for pair in pairs)
    named = {"PACIFICTOOL_KAFKA_CONFIG": str(hostile.home / "code.properties")}
    kafka = ("doctor", "--kafka", hostile.listener.address)
    outcomes = [hostile.run(*kafka, *options), hostile.run(*kafka, environ=named)]
    hostile.user_file.write_text(f"[kafka_properties]\n{in_file}")
    outcomes.append(hostile.run(*kafka))
    for outcome, where in zip(outcomes, ("-X", "code.properties", str(hostile.user_file)), strict=True):
        assert outcome.code == 2, outcome
        assert where in outcome.stderr
        assert pairs[-1].split("=")[0] in outcome.stderr
    assert not hostile.library.opened
    assert not (hostile.folder / "code-ran").exists()
    assert hostile.listener.received == []


def test_a_folders_own_secret_goes_where_the_folder_says(hostile: Hostile) -> None:
    file = hostile.folder / "pacifictool.toml"
    file.write_text(f'url = "http://{hostile.listener.address}"\nusername = "me"\npassword_file = "own"\n')
    assert hostile.run("device", "list").code == 1
    assert any(b"the folder's own secret" in received for received in hostile.listener.received)


@pytest.mark.kafka
def test_python_files_of_the_folder_are_not_imported(hostile: Hostile) -> None:
    """The sandbox is a process of Python's, which would look for modules in the current folder first."""
    package = hostile.folder / "pacifictool"
    package.mkdir()
    (package / "__init__.py").write_text("open('code-ran', 'w')")
    (hostile.folder / "starlette.py").write_text("open('code-ran', 'w')")
    command = [sys.executable, "-P", "-m", "pacifictool", "sandbox", "up", "--free-ports", "--data", "data"]
    environ = hostile.environ
    try:
        subprocess.run(command, cwd=hostile.folder, env=environ, capture_output=True, timeout=300, check=True)
    finally:
        down = [*command[:5], "down", "--data", "data"]
        subprocess.run(down, cwd=hostile.folder, env=environ, capture_output=True, timeout=300, check=False)
    assert not (hostile.folder / "code-ran").exists()
