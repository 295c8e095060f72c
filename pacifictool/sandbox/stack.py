"""Everything a run needs when there is no server at hand: a Kafka broker and the local platform, side by side."""

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
from pacifictool.reporting import SILENT, Reporter
from pacifictool.runtime import KAFKA_BROKER, KafkaBroker, ensure_jars, find_java
from pacifictool.runtime.cache import writing
from pacifictool.runtime.own_folder import SANDBOX, claim
from pacifictool.sandbox.launcher import SandboxProcess
from pacifictool.settings import (
    DEFAULT_LOOPBACK_PASSWORD,
    DEFAULT_USERNAME,
    KafkaEndpoint,
    MqttEndpoint,
    Secret,
    Settings,
)

HOST = "127.0.0.1"
PAGE_FILE = "page.json"


@dataclass(frozen=True, slots=True)
class StackPorts:
    """Ports on the loopback interface; 0 means any free one."""

    http: int = 0
    mqtt: int = 0
    kafka: int = 0


@dataclass(frozen=True, slots=True)
class StackPage:
    """A page for the platform's `/`: the name of the function that makes it, and what that needs to know.

    The stack adds where the broker is, as `kafka`; see `sandbox.page`.
    """

    name: str
    options: Mapping[str, Any]


class LocalStack:
    """A broker and a platform in `data_dir`. Both end with this process, however it ends."""

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
        reporter: Reporter = SILENT,
    ) -> None:
        """`generation` 1 behaves like 1.x servers, 4 like 4.x. `page` is what the platform shows at `/`.

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
        self.broker = KafkaBroker(data_dir / "kafka", java=java, jars=jars, port=ports.kafka)
        self.platform = SandboxProcess(
            data_dir / "platform",
            http_port=ports.http,
            mqtt_port=ports.mqtt,
            options=("--generation", str(generation), *self._page_arguments(data_dir / PAGE_FILE, page)),
        )
        self._reporter = reporter

    def start(self) -> None:
        """Starts both at once. Raises BrokerFailed, SandboxError, PortInUse; then neither runs."""
        try:
            with ThreadPoolExecutor(2, thread_name_prefix="sandbox") as pool:
                starts = [pool.submit(self.broker.start, self._reporter), pool.submit(self.platform.start)]
                for start in starts:
                    start.result()
            self._write_page_options()
        except BaseException:
            self.stop()
            raise

    def stop(self, *, graceful: bool = True) -> None:
        """Stops both. Without `graceful` at once, for data that nobody will want again."""
        self.platform.stop()
        self.broker.stop(graceful=graceful)

    def _page_arguments(self, path: Path, page: StackPage | None) -> tuple[str, ...]:
        self._page, self._page_path = page, path
        return () if page is None else ("--page", page.name, "--page-options", str(path))

    def _write_page_options(self) -> None:
        if self._page is not None:
            document = {**self._page.options, "kafka": self.broker.bootstrap}
            temporary = self._page_path.with_suffix(".new")
            temporary.write_text(json.dumps(document) + "\n", encoding="utf-8")
            temporary.replace(self._page_path)

    def watch(self, stop: threading.Event) -> None:
        """Returns when `stop` is set. Raises BrokerFailed or SandboxError when one of the two ends by itself."""
        while not stop.wait(0.5):
            self.broker.check()
            if not self.platform.is_running():
                raise SandboxError(
                    "The sandbox platform ended by itself.", hint=f"Its log tells why: {self.platform.log_path}"
                )

    def settings(self, base: Settings) -> Settings:
        """`base`, pointed at this stack."""
        return dataclasses.replace(
            base,
            url=self.platform.url,
            username=DEFAULT_USERNAME,
            password=Secret(DEFAULT_LOOPBACK_PASSWORD),
            mqtt=MqttEndpoint(HOST, self.platform.mqtt_port),
            kafka=KafkaEndpoint(self.broker.bootstrap),
            platform_kafka=self.broker.bootstrap,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Only a run that is over without a fault may leave data that someone looks at later.
        self.stop(graceful=error is None)
