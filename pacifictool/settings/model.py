"""Resolved settings: frozen values, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

from pacifictool.errors import SettingsError
from pacifictool.server_version import ServerVersion


class Secret:
    """A text that is never shown by accident; only `reveal()` returns it."""

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


class Level(IntEnum):
    """Kinds of sources, in order of trust."""

    FOLDER_FILE = 0
    """`pacifictool.toml` of the current folder: whoever wrote the folder's content wrote it, too."""
    USER_FILE = 1
    ENVIRONMENT = 2
    FLAG = 3
    DEFAULT = 4
    """Built in."""

    @property
    def label(self) -> str:
        """As JSON documents name it."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one setting came from."""

    level: Level
    name: str
    """The option, the variable or the file's path."""

    @property
    def is_folder(self) -> bool:
        """Whether the folder's file set it, and not the user."""
        return self.level is Level.FOLDER_FILE

    @property
    def is_users(self) -> bool:
        """Whether the user gave it: by option, variable or a file of their own."""
        return self.level in (Level.USER_FILE, Level.ENVIRONMENT, Level.FLAG)

    def __str__(self) -> str:
        return self.name


BUILT_IN = Origin(Level.DEFAULT, "default")
RUNNING_SANDBOX = Origin(Level.DEFAULT, "the running sandbox")
"""Of addresses, when none is configured and a sandbox of the user is running."""


@dataclass(frozen=True, slots=True)
class SourcedSetting:
    """One setting with its source, as `doctor` shows it."""

    name: str
    value: str | None
    """None where it is, or may hold, a secret."""
    origin: Origin

    def as_document(self) -> dict[str, Any]:
        source = {"kind": self.origin.level.label, "name": self.origin.name}
        return {"name": self.name, "value": self.value, "source": source}

    def __str__(self) -> str:
        return f"{self.name} = {'(not shown)' if self.value is None else self.value} (from {self.origin})"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files for TLS; verification is always on."""

    ca_file: Path | None = None
    """Certificates to trust instead of the system's."""
    cert_file: Path | None = None
    """Client certificate, where the server asks for one (mutual TLS)."""
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
    """Kafka as clients on this machine reach it."""

    bootstrap: str
    config: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further properties by librdkafka names (`kafka.config` translates them for Java). May hold secrets."""

    def __str__(self) -> str:
        return self.bootstrap


@dataclass(frozen=True, slots=True)
class Settings:
    """The resolved settings of a command: addresses, credentials and files."""

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
    """None: the version is detected."""
    sources: Mapping[str, SourcedSetting] = field(default_factory=dict, compare=False)
    """Each setting in effect with its source, by name; Kafka properties as `kafka_properties.NAME`."""

    def origin(self, name: str) -> Origin:
        """The source of a setting. Settings that a program created itself count as built in."""
        found = self.sources.get(name)
        return BUILT_IN if found is None else found.origin

    def require_password(self) -> Secret:
        """The password, or SettingsError when none was given."""
        if self.password is None:
            raise SettingsError(
                f"No password is known for {self.username} at {self.url}.",
                hint="Set PACIFICTOOL_PASSWORD, or name a file with --password-file (- reads standard input).",
            )
        return self.password
