"""Connections and credentials: where the platform, its MQTT port and Kafka are, and who we are there.

Precedence: flag > environment > ./pacifictool.toml > the file in the user's configuration folder > default. The
resolved values live in one frozen `Settings`; nothing below the command line reads `os.environ`.
"""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from pacifictool.errors import SettingsError, file_fault
from pacifictool.server_version import ServerVersion, parse_server_version

PROJECT_FILE = "pacifictool.toml"
DEFAULT_URL = "http://localhost:8080"
DEFAULT_USERNAME = "tenant@thingsboard.org"
DEFAULT_LOOPBACK_PASSWORD = "tenant"  # noqa: S105 - the platform's published demo password, used on loopback only
DEFAULT_KAFKA = "localhost:9092"

ENVIRONMENT: dict[str, tuple[str, ...]] = {
    "url": ("PACIFICTOOL_URL", "REST_URL"),
    "username": ("PACIFICTOOL_USERNAME", "REST_USERNAME"),
    "password": ("PACIFICTOOL_PASSWORD", "REST_PASSWORD"),
    "password_file": ("PACIFICTOOL_PASSWORD_FILE",),
    "api_key": ("PACIFICTOOL_API_KEY",),
    "api_key_file": ("PACIFICTOOL_API_KEY_FILE",),
    "server_version": ("PACIFICTOOL_SERVER_VERSION",),
    "mqtt": ("PACIFICTOOL_MQTT",),
    "kafka": ("PACIFICTOOL_KAFKA", "KAFKA_BOOTSTRAP_SERVERS"),
    "kafka_config": ("PACIFICTOOL_KAFKA_CONFIG",),
    "platform_kafka": ("PACIFICTOOL_PLATFORM_KAFKA",),
    "scenario": ("PACIFICTOOL_SCENARIO",),
    "jars_mirror": ("PACIFICTOOL_JARS_MIRROR",),
    "jars_folder": ("PACIFICTOOL_JARS_FOLDER",),
    "ca_file": ("PACIFICTOOL_CA_FILE",),
    "cert_file": ("PACIFICTOOL_CERT_FILE",),
    "key_file": ("PACIFICTOOL_KEY_FILE",),
}
"""Environment variables by setting; the first that is set and not empty wins. The second names are the tutorial's."""

SECRETS = ("password", "api_key")
FILE_KEYS = frozenset(ENVIRONMENT) - set(SECRETS) | {"output"}
"""Keys a configuration file may hold. Secrets stay out of it: name files with `password_file`, `api_key_file`."""

_PATHS = frozenset(
    {"scenario", "password_file", "api_key_file", "kafka_config", "jars_folder", "ca_file", "cert_file", "key_file"}
)


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process that we start: none of them needs our password or API key."""
    secret = {variable for name in SECRETS for variable in ENVIRONMENT[name]}
    return {name: value for name, value in environ.items() if name not in secret}


class Secret:
    """A text that never shows itself by accident; `reveal()` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files for TLS; verification is always on."""

    ca_file: Path | None = None
    """Certificates to trust instead of the system's."""
    cert_file: Path | None = None
    """Our own certificate, where the server asks for one (mutual TLS)."""
    key_file: Path | None = None
    """The key of `cert_file`, when it is not in the same file."""


@dataclass(frozen=True, slots=True)
class MqttEndpoint:
    """Where devices publish."""

    host: str
    port: int
    tls: bool = False
    tls_files: TlsFiles = TlsFiles()

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class KafkaEndpoint:
    """Kafka as our own clients reach it."""

    bootstrap: str
    config: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further properties by librdkafka names (`kafka.config` translates them for Java). May hold secrets."""

    def __str__(self) -> str:
        return self.bootstrap


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a command needs to know about its surroundings."""

    url: str
    username: str
    password: Secret | None
    """None: not known; `require_password` says what to do."""
    mqtt: MqttEndpoint
    kafka: KafkaEndpoint
    platform_kafka: str
    """Bootstrap servers as the *platform* reaches them; goes into the plugin's configuration."""
    scenario_path: Path | None = None
    tls_files: TlsFiles = TlsFiles()
    jars_mirror: str | None = None
    """A Maven repository to fetch jars from, instead of the central one."""
    jars_folder: Path | None = None
    """A local folder that holds the jars, for machines without a network."""
    api_key: Secret | None = None
    """Platform 4.3 and later: takes the place of user and password."""
    server_version: ServerVersion | None = None
    """None: the server is asked."""

    def require_password(self) -> Secret:
        """The password, or SettingsError when none was given."""
        if self.password is None:
            raise SettingsError(
                f"No password is known for {self.username} at {self.url}.",
                hint="Set PACIFICTOOL_PASSWORD, or name a file with --password-file (- reads standard input).",
            )
        return self.password


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine's loopback interface."""
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def parse_address(text: str, *, default_port: int, what: str) -> tuple[str, int]:
    """Splits "host", "host:port", "[::1]:port". Raises SettingsError naming `what`."""
    _refuse_credentials(text, what)
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
        valid = bool(host) and not (parts.path or parts.query or parts.fragment)
    except ValueError:
        valid = False
    if not valid or not _is_one_word(text):
        raise SettingsError(f"{what}: {text!r} is not an address.", hint="Write HOST or HOST:PORT.")
    return str(host), default_port if port is None else port


def _refuse_credentials(text: str, what: str) -> None:
    # Before anything else, so that no other complaint repeats them.
    if "@" in text:
        raise SettingsError(
            f"{what}: credentials do not belong into the address, where every process list shows them.",
            hint="Use --username and --password-file for the platform, --kafka-config for Kafka.",
        )


def _is_one_word(text: str) -> bool:
    return text.isprintable() and not any(char.isspace() for char in text)


def parse_mqtt(text: str, tls_files: TlsFiles = TlsFiles()) -> MqttEndpoint:
    """Turns "host", "host:1883", "mqtt://host" or "mqtts://host:8883" into an endpoint."""
    _refuse_credentials(text, "--mqtt")
    scheme, separator, rest = text.rpartition("://")
    if separator and scheme not in ("mqtt", "mqtts"):
        raise SettingsError(f"--mqtt: unknown scheme {scheme!r}.", hint="Use mqtt:// or mqtts:// (TLS), or none.")
    tls = scheme == "mqtts"
    host, port = parse_address(rest.rstrip("/"), default_port=8883 if tls else 1883, what="--mqtt")
    return MqttEndpoint(host, port, tls, tls_files)


def parse_kafka(text: str) -> str:
    """Checks and normalises a comma-separated list of Kafka addresses."""
    addresses = [part.strip() for part in text.split(",") if part.strip()]
    if not addresses:
        raise SettingsError("--kafka: no address given.", hint="Write HOST:PORT, several separated by commas.")
    normal = []
    for address in addresses:
        host, port = parse_address(address, default_port=9092, what="--kafka")
        normal.append(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    return ",".join(normal)


def parse_url(text: str) -> str:
    """Checks the platform's REST address and takes a trailing slash off."""
    _refuse_credentials(text, "--url")
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        valid = valid and not (parts.query or parts.fragment)
    except ValueError:
        valid = False
    if not valid or not _is_one_word(text):
        raise SettingsError(
            f"--url: {text!r} is not an http or https address.", hint=f"Write for example {DEFAULT_URL}."
        )
    return parts.geturl().rstrip("/")


def read_properties(path: Path) -> dict[str, str]:
    """Reads a Java-style properties file (key=value lines, # comments) of Kafka settings."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The Kafka configuration file {path} cannot be read: {file_fault(error)}.",
            hint="Check the path given with --kafka-config or PACIFICTOOL_KAFKA_CONFIG.",
        ) from error
    properties: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text[0] in "#!":
            continue
        key, separator, value = text.partition("=")
        if not separator or not key.strip():
            raise SettingsError(f"{path}, line {number}: expected key=value.", hint="One Kafka property a line.")
        properties[key.strip()] = value.strip()
    return properties


def user_config_file() -> Path:
    """The configuration file of the user, which need not exist."""
    return Path(platformdirs.user_config_dir("pacifictool", appauthor=False)) / "config.toml"


def read_config_file(path: Path) -> dict[str, Any]:
    """Reads pacifictool.toml; {} when there is none. Raises SettingsError with the line of a fault."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}.", hint="Mend the line that is named.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} cannot be read: {file_fault(error)}.", hint="Make it readable, or move it away."
        ) from error
    if "password" in document:
        raise SettingsError(
            f"{path}: a password does not belong into this file.", hint="Name a file of its own with password_file."
        )
    if "api_key" in document:
        raise SettingsError(
            f"{path}: an API key does not belong into this file.", hint="Name a file of its own with api_key_file."
        )
    if unknown := sorted(set(document) - FILE_KEYS - {"kafka_properties"}):
        raise SettingsError(f"{path}: unknown key {unknown[0]!r}.", hint=f"Known keys: {', '.join(sorted(FILE_KEYS))}.")
    return document


@dataclass(frozen=True, slots=True)
class Sources:
    """Where settings come from. A test hands in its own; the command line the real ones."""

    flags: Mapping[str, Any]
    """Options given on the command line by name; `kafka_properties` is the mapping of all -X options."""
    environ: Mapping[str, str]
    folder: Path
    user_file: Path
    read_stdin: Callable[[], str]


class _Lookup:
    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self.project_file = read_config_file(sources.folder / PROJECT_FILE)
        self.user_file = read_config_file(sources.user_file)

    def text(self, key: str) -> str | None:
        """The value of highest precedence for one setting."""
        value = self._sources.flags.get(key)
        if value is not None:
            return str(value)
        for variable in ENVIRONMENT.get(key, ()):
            if found := self._sources.environ.get(variable):
                return found
        for folder, document in (
            (self._sources.folder, self.project_file),
            (self._sources.user_file.parent, self.user_file),
        ):
            value = document.get(key)
            if value is None:
                continue
            if not isinstance(value, str):
                raise SettingsError(f"{key} in the configuration file must be a text.", hint="Put it in quotes.")
            # A path in a configuration file is meant from where that file stands.
            if key in _PATHS and value != "-":
                return str(folder / Path(value).expanduser())
            return value
        return None

    def path(self, key: str) -> Path | None:
        text = self.text(key)
        return None if text is None else Path(text).expanduser()


def resolve(sources: Sources) -> Settings:
    """Puts the settings together. Raises SettingsError for anything unusable."""
    lookup = _Lookup(sources)
    url = parse_url(lookup.text("url") or DEFAULT_URL)
    username = lookup.text("username") or DEFAULT_USERNAME
    tls_files = TlsFiles(lookup.path("ca_file"), lookup.path("cert_file"), lookup.path("key_file"))
    for option, path in (
        ("--ca-file", tls_files.ca_file),
        ("--cert-file", tls_files.cert_file),
        ("--key-file", tls_files.key_file),
    ):
        if path is not None and not path.is_file():
            raise SettingsError(f"{option}: there is no file {path}.", hint="Name a PEM file.")
    kafka = KafkaEndpoint(parse_kafka(lookup.text("kafka") or DEFAULT_KAFKA), _kafka_properties(sources, lookup))
    api_key = _api_key(sources, lookup)
    version = lookup.text("server_version")
    return Settings(
        url=url,
        username=username,
        password=None if api_key is not None else _password(sources, lookup, url, username),
        mqtt=_mqtt(sources, lookup, url, tls_files),
        kafka=kafka,
        platform_kafka=parse_kafka(lookup.text("platform_kafka") or kafka.bootstrap),
        scenario_path=lookup.path("scenario"),
        tls_files=tls_files,
        jars_mirror=lookup.text("jars_mirror"),
        jars_folder=lookup.path("jars_folder"),
        api_key=api_key,
        server_version=None if version is None else parse_server_version(version),
    )


def _mqtt(sources: Sources, lookup: _Lookup, url: str, tls_files: TlsFiles) -> MqttEndpoint:
    if text := lookup.text("mqtt"):
        return parse_mqtt(text, tls_files)
    host = sources.environ.get("MQTT_HOST") or urlsplit(url).hostname or "localhost"
    port_text = sources.environ.get("MQTT_PORT") or "1883"
    if not port_text.isdigit() or not 0 < int(port_text) < 65536:
        raise SettingsError(
            f"MQTT_PORT: {port_text!r} is not a port number.", hint="Give a number from 1 to 65535, or use --mqtt."
        )
    return MqttEndpoint(host, int(port_text), tls_files=tls_files)


def _kafka_properties(sources: Sources, lookup: _Lookup) -> dict[str, str]:
    properties: dict[str, str] = {}
    for document in (lookup.user_file, lookup.project_file):
        table = document.get("kafka_properties", {})
        if not isinstance(table, dict):
            raise SettingsError(
                "kafka_properties in the configuration file must be a table.",
                hint='Write for example: kafka_properties = { "security.protocol" = "SSL" }',
            )
        properties |= {key: str(value) for key, value in table.items()}
    if path := lookup.path("kafka_config"):
        properties |= read_properties(path)
    return properties | dict(sources.flags.get("kafka_properties") or {})


def _password(sources: Sources, lookup: _Lookup, url: str, username: str) -> Secret | None:
    given = _secret(sources, lookup, "password", "password")
    if given is not None:
        return given
    if is_loopback(urlsplit(url).hostname or "") and username == DEFAULT_USERNAME:
        return Secret(DEFAULT_LOOPBACK_PASSWORD)
    return None


def _api_key(sources: Sources, lookup: _Lookup) -> Secret | None:
    flags = sources.flags
    if flags.get("api_key_file") is not None:
        if flags.get("password_file") is not None:
            raise SettingsError(
                "--api-key-file and --password-file exclude each other.", hint="An API key needs no password."
            )
    elif flags.get("username") is not None or flags.get("password_file") is not None:
        # A user who is named on the command line is meant, whatever key lies in the environment.
        return None
    key = _secret(sources, lookup, "api_key", "API key")
    if key is not None and (not key.reveal().isascii() or any(char.isspace() for char in key.reveal())):
        raise SettingsError("The API key holds a blank or a character that no key has.", hint="It is one line, tb_….")
    return key


def _secret(sources: Sources, lookup: _Lookup, name: str, what: str) -> Secret | None:
    # An explicit file option beats the variable; a file named in a configuration file does not.
    from_environment = next((sources.environ[key] for key in ENVIRONMENT[name] if sources.environ.get(key)), None)
    path_text = lookup.text(f"{name}_file")
    if path_text is not None and (sources.flags.get(f"{name}_file") is not None or from_environment is None):
        return Secret(_read_secret(sources, path_text, what))
    return None if from_environment is None else Secret(from_environment)


def _read_secret(sources: Sources, path_text: str, what: str) -> str:
    if path_text == "-":
        text = sources.read_stdin()
    else:
        try:
            text = Path(path_text).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"The {what} file {path_text} cannot be read: {file_fault(error)}.",
                hint=f"Check the path given with --{what.lower().replace(' ', '-')}-file.",
            ) from error
    secret = text.rstrip("\r\n")
    if not secret:
        raise SettingsError(
            f"The {what} file is empty." if path_text != "-" else f"Standard input held no {what}.",
            hint=f"Put the {what} on its first line.",
        )
    return secret
