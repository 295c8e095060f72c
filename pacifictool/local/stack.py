"""A Kafka broker and a local platform: what a run needs if there is no server."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pacifictool.errors import SandboxError
from pacifictool.local.broker_login import write_broker_login
from pacifictool.local.launcher import SandboxProcess
from pacifictool.private_files import write_private
from pacifictool.progress import SILENT, Reporter
from pacifictool.runtime.cache import writing
from pacifictool.runtime.jars import KAFKA_BROKER, ensure_jars
from pacifictool.runtime.java import find_java
from pacifictool.runtime.kafka_broker import KafkaBroker
from pacifictool.runtime.log_files import bound_log
from pacifictool.runtime.own_folder import SANDBOX, claim
from pacifictool.settings import (
    DEFAULT_LOOPBACK_PASSWORD,
    DEFAULT_USERNAME,
    MqttEndpoint,
    Secret,
    Settings,
)

HOST = "127.0.0.1"
PAGE_FILE = "page.json"
LOG_FILE = "sandbox.log"
"""What the background process prints, see `daemon.py`."""
KAFKA_CONFIG_FILE, KAFKA_JAVA_CONFIG_FILE = "kafka-client.properties", "kafka-client-java.properties"
BROKER_LOGIN_FILE = "broker-login.json"
LOGIN_FILES = (BROKER_LOGIN_FILE, KAFKA_CONFIG_FILE, KAFKA_JAVA_CONFIG_FILE)


@dataclass(frozen=True, slots=True)
class StackPorts:
    """Ports on the loopback interface; 0 means any free one."""

    http: int = 0
    mqtt: int = 0
    kafka: int = 0


@dataclass(frozen=True, slots=True)
class StackPage:
    """A page for the platform's `/`: the name of the function that creates it, and its options.

    The stack adds the addresses of broker and MQTT port as `kafka` and `mqtt`; see `local.page`.
    """

    name: str
    options: Mapping[str, Any]


class LocalStack:
    """A broker and a platform with their data in `data_dir`. Both end with this process, however it ends."""

    def __init__(
        self,
        data_dir: Path,
        *,
        cache_dir: Path,
        environ: Mapping[str, str],
        ports: StackPorts = StackPorts(),
        generation: int = 1,
        page: StackPage | None = None,
        jars_mirror: str | None = None,
        jars_folder: Path | None = None,
        shared: bool = False,
        reporter: Reporter = SILENT,
    ) -> None:
        """`generation` 1 behaves like 1.x servers, 4 like 4.x. `page` is what the platform shows at `/`.

        Only this user and root can connect, to Kafka with a password; `shared`: all users of the machine, without one.

        Finds Java and fetches the broker's jars when they are not cached; starts nothing yet.

        Raises JavaMissing, JarsMissing, StorageFull, RuntimeMissing, and ForeignFolder before any change to a folder.
        """
        with writing(data_dir, "the data of the sandbox"):
            claim(data_dir, SANDBOX)
        java = find_java(environ)
        reporter.detail(f"Using Java {java.full_version} ({java.source})")
        jars = ensure_jars(
            KAFKA_BROKER,
            java=java,
            cache_dir=cache_dir,
            mirror=jars_mirror,
            folder=jars_folder,
            environ=environ,
            reporter=reporter,
        )
        self.broker = KafkaBroker(data_dir / "kafka", java=java, jars=jars, port=ports.kafka, asks_login=not shared)
        self.platform = SandboxProcess(
            data_dir / "platform",
            http_port=ports.http,
            mqtt_port=ports.mqtt,
            options=(
                *("--generation", str(generation)),
                *(("--share",) if shared else ("--broker-login", str(data_dir / BROKER_LOGIN_FILE))),
                *self._page_arguments(data_dir / PAGE_FILE, page),
            ),
        )
        self._data_dir = data_dir
        self._shared = shared
        self._reporter = reporter

    def start(self) -> None:
        """Starts both at once. Raises BrokerFailed, SandboxError, PortInUse; then neither runs."""
        self._write_logins()
        try:
            with ThreadPoolExecutor(2, thread_name_prefix="sandbox") as pool:
                starts = [pool.submit(self.broker.start, self._reporter), pool.submit(self.platform.start)]
                for start in starts:
                    start.result()
            self._write_logins()
            self._write_page_options()
        except BaseException:
            self.stop()
            raise

    def stop(self, *, graceful: bool = True) -> None:
        """Stops both. Without `graceful` at once, for data that is not needed any more."""
        self.platform.stop()
        self.broker.stop(graceful=graceful)

    def _page_arguments(self, path: Path, page: StackPage | None) -> tuple[str, ...]:
        self._page, self._page_path = page, path
        return () if page is None else ("--page", page.name, "--page-options", str(path))

    def _write_page_options(self) -> None:
        if self._page is not None:
            mqtt = f"localhost:{self.platform.mqtt_port}"
            document = {**self._page.options, "kafka": self.broker.bootstrap, "mqtt": mqtt}
            if self.kafka_config is not None:
                document["kafka_config"] = str(self.kafka_config)
            write_private(self._page_path, json.dumps(document) + "\n")

    @property
    def kafka_config(self) -> Path | None:
        """The properties file for clients of the broker, with librdkafka's names; None: they need none."""
        return None if self._shared else self._data_dir / KAFKA_CONFIG_FILE

    def _write_logins(self) -> None:
        """Called before the start, for plugins that are active, and after it, when the port is known."""
        with writing(self._data_dir, "the sandbox's data"):
            self._data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.broker.prepare_login()
        login, folder = self.broker.login, self._data_dir
        if login is None:
            for name in LOGIN_FILES:
                (folder / name).unlink(missing_ok=True)
            return
        with writing(folder, "the sandbox's data"):
            write_broker_login(folder / BROKER_LOGIN_FILE, self.broker.port, login.client_properties())
            for name, properties in (
                (KAFKA_CONFIG_FILE, login.client_properties()),
                (KAFKA_JAVA_CONFIG_FILE, login.java_properties()),
            ):
                write_private(folder / name, "".join(f"{key}={value}\n" for key, value in properties.items()))

    def watch(self, stop: threading.Event) -> None:
        """Returns when `stop` is set. Raises BrokerFailed or SandboxError if one of the two ends unexpectedly."""
        while not stop.wait(0.5):
            self.broker.check()
            for log in (self.broker.log_path, self.platform.log_path, self._data_dir / LOG_FILE):
                bound_log(log)
            if not self.platform.is_running():
                raise SandboxError(
                    "The sandbox platform ended unexpectedly.", hint=f"See its log: {self.platform.log_path}"
                )

    def settings(self, base: Settings) -> Settings:
        """`base`, pointed at this stack."""
        return dataclasses.replace(
            base,
            url=self.platform.url,
            username=DEFAULT_USERNAME,
            password=Secret(DEFAULT_LOOPBACK_PASSWORD),
            mqtt=MqttEndpoint(HOST, self.platform.mqtt_port),
            kafka=self.broker.endpoint,
            platform_kafka=self.broker.bootstrap,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Only the data of a run without an error may be needed later.
        self.stop(graceful=error is None)
