"""Which server the contract is checked against: one that the environment names, or a sandbox."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import requests

from pacifictool.errors import SettingsError
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.local.launcher import SandboxProcess
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import KAFKA_BROKER, ensure_jars
from pacifictool.runtime.java import find_java
from pacifictool.runtime.kafka_broker import KafkaBroker
from pacifictool.settings import Settings, Sources, resolve
from tests.contract.api import Api
from tests.contract.versions import Version, parse_version

URL: Final = "PACIFICTOOL_CONTRACT_URL"
MQTT: Final = "PACIFICTOOL_CONTRACT_MQTT"
KAFKA: Final = "PACIFICTOOL_CONTRACT_KAFKA"
GENERATION: Final = "PACIFICTOOL_CONTRACT_GENERATION"
VERSION: Final = "PACIFICTOOL_CONTRACT_VERSION"
FIRST, FOURTH = 1, 4
"""Generations by their first version: 1.x, and 4.x as tests/contract/modern states it."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server under test. Its Kafka has the same address for the tests and for the server."""

    settings: Settings
    is_sandbox: bool

    @property
    def kafka_address(self) -> str:
        """The bootstrap servers in the plugin's configuration."""
        return self.settings.kafka.bootstrap


def named_server(folder: Path, environ: Mapping[str, str]) -> Server | None:
    """The server that the environment names, or None; `folder` is empty, so that no configuration file applies.

    Raises SettingsError when only a part of it is named, and KafkaUnreachable.
    """
    flags = {"url": environ.get(URL), "mqtt": environ.get(MQTT), "kafka": environ.get(KAFKA)}
    if not any(flags.values()):
        return None
    if not flags["url"] or not flags["kafka"]:
        raise SettingsError(
            f"A server for the contract tests needs {URL} and {KAFKA}.", hint="docs/contract-tests.md shows how."
        )
    if environ.get("PYTEST_XDIST_WORKER_COUNT", "1") != "1":
        # The limit of three rule deletions per minute applies to the server, not to a worker.
        raise SettingsError("The contract tests run against a real server in one process only: leave -n out.")
    sources = Sources(flags=flags, environ=environ, folder=folder, user_file=folder / "none", read_stdin=str)
    server = Server(resolve(sources), is_sandbox=False)
    KafkaAdmin(server.settings.kafka).check_reachable()
    return server


def named_generation(environ: Mapping[str, str]) -> int | None:
    """The generation of the server that the environment names, None without one. Raises SettingsError.

    The environment says it, or else a request that only newer servers accept without a login.
    """
    url, given = environ.get(URL), environ.get(GENERATION)
    if not url:
        return None
    if given:
        if given not in (str(FIRST), str(FOURTH)):
            raise SettingsError(f"{GENERATION} must be {FIRST} or {FOURTH}, not {given!r}.")
        return int(given)
    try:
        with requests.Session() as session:
            session.trust_env = False
            response = session.get(
                f"{url.rstrip('/')}/api/noauth/userPasswordPolicy", timeout=30, allow_redirects=False
            )
    except requests.RequestException as error:
        raise SettingsError(
            f"Which generation {url} is cannot be found out: {type(error).__name__}.",
            hint=f"Set {GENERATION} to 1 or 4.",
        ) from None
    return FOURTH if response.status_code == 200 else FIRST


@contextlib.contextmanager
def sandbox_server(folder: Path, environ: Mapping[str, str], generation: int = FIRST) -> Iterator[Server]:
    """A sandbox and a real broker, while the context lasts."""
    java = find_java(environ)
    jars = ensure_jars(KAFKA_BROKER, java=java, cache_dir=default_cache_dir(environ), environ=environ)
    broker = KafkaBroker(folder / "kafka", java=java, jars=jars)
    try:
        broker.start()
        with SandboxProcess(folder / "platform", options=("--generation", str(generation))) as sandbox:
            flags = {
                "url": sandbox.url,
                "mqtt": f"127.0.0.1:{sandbox.mqtt_port}",
                "kafka": broker.bootstrap,
                "username": "tenant@thingsboard.org",
            }
            sources = Sources(flags=flags, environ={}, folder=folder, user_file=folder / "none", read_stdin=str)
            yield Server(resolve(sources), is_sandbox=True)
    finally:
        broker.stop(graceful=False)


def version_of(api: Api, environ: Mapping[str, str], *, default: str | None) -> Version:
    """The version of the server under test: what the environment says, or the server itself, which it does from 3.3.3
    on; for an older one `default`. Raises SettingsError when none of these is known."""
    given = environ.get(VERSION)
    response = None if given else api.call("GET", "/api/system/info")
    if response is not None and response.status_code == 200:
        given = str(response.json()["version"])
    try:
        return parse_version(given or default or "")
    except ValueError:
        raise SettingsError(
            f"The server does not say which version it is, and {VERSION} is {given or 'not set'}.",
            hint=f"Set {VERSION}, for example to 2.5.6.",
        ) from None
