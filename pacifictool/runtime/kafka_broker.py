"""A real Apache Kafka broker on the loopback interface: one process in KRaft mode, without Docker or ZooKeeper."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import socket
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from pacifictool.errors import BrokerFailed, PacificToolError, PortInUse
from pacifictool.progress import SILENT, Reporter
from pacifictool.runtime.broker_settings import broker_settings, properties_text
from pacifictool.runtime.cache import disk_is_full, storage_full, writing
from pacifictool.runtime.java import UTF8_FILE_NAMES, JavaRuntime
from pacifictool.runtime.kafka_login import KafkaLogin
from pacifictool.runtime.own_folder import BROKER, claim
from pacifictool.runtime.plain_paths import plain_path
from pacifictool.runtime.ports import LOOPBACK, check_port_free, free_ports
from pacifictool.runtime.processes import ManagedProcess
from pacifictool.settings import KafkaEndpoint

if TYPE_CHECKING:
    from confluent_kafka.admin import TopicMetadata

START_SECONDS = 60.0
STOP_SECONDS = 15.0
_PORT_ATTEMPTS = 3
_LOCK_SECONDS = 5.0
_POLL_SECONDS = 0.03
_RESPONSE_SECONDS = 1.0
"""Timeout of one readiness check. Signals, and the broker's exit, are only noticed between two checks."""

# Inside the data folder.
_STORAGE = "topics"
_TEMPORARY = "tmp"
_LOCK = "lock"
_PROPERTIES = "server.properties"

_LOG_LIMIT_BYTES = 10_000_000
_LOG_TAIL_BYTES = 1_000_000
_NO_SETTINGS: Mapping[str, str] = MappingProxyType({})

# Measured on 2 cores, Java 17: ready 1.5 s after the call instead of 1.8 s, formatting included, and 1 M records of 67
# bytes take no longer from one producer (0.8 s); the resident set is a fifth smaller.
_JVM_OPTIONS = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError")

# At its usual level the broker logs 650 lines per start. What remains are the milestones and every error.
_LOG_OPTIONS = {
    "showDateTime": "true",
    "dateTimeFormat": "yyyy-MM-dd HH:mm:ss.SSS",
    "defaultLogLevel": "warn",
    "log.kafka.server.KafkaRaftServer": "info",
    "log.kafka.server.BrokerServer": "info",
}

_ERROR_LINE = re.compile(r"\b(?:ERROR|FATAL)\b")
_EXCEPTION_LINE = re.compile(
    r"^(?:Caused by: |Exception in thread \S+ )?((?:[\w$]+\.)+[\w$]*(?:Exception|Error))(?:: (.*))?$"
)
_ADDRESS_IN_USE = ("Address already in use", "BindException")


class KafkaBroker:
    """Kafka 3.9 as broker and controller in one process, reachable at 127.0.0.1 only.

    `data_dir` holds everything: the topics, the configuration, which is written at each start, and the log. A port of 0
    means any free one, chosen at the first start and kept by this object. A later broker on the same `data_dir` has all
    topics and records, whatever its ports. `extra` overrides or adds broker settings.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        java: JavaRuntime,
        jars: Sequence[Path],
        port: int = 0,
        controller_port: int = 0,
        heap: str = "512m",
        environ: Mapping[str, str] | None = None,
        extra: Mapping[str, str] = _NO_SETTINGS,
        asks_login: bool = False,
    ) -> None:
        """Starts nothing. `asks_login`: only clients with the password kept in `data_dir` have access.

        `jars` come from `ensure_jars("kafka-broker", …)`; `environ` None: this process's.
        """
        self.data_dir = data_dir.absolute()
        self.port = port
        self.controller_port = controller_port
        self._wanted_ports = (port, controller_port)
        self._java = java
        self._class_path = ":".join(str(plain_path(jar.parent) / jar.name) for jar in jars)
        self._heap = heap
        self._environ = environ
        self._extra = dict(extra)
        self._asks_login = asks_login
        self._login: KafkaLogin | None = None
        self._process: ManagedProcess | None = None
        self._log_start = 0
        self._lock = -1

    @property
    def bootstrap(self) -> str:
        """The address for clients, "127.0.0.1:PORT"; set once started."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def login(self) -> KafkaLogin | None:
        """How clients get in; None when everybody does. Known once prepared or started."""
        return self._login

    def prepare_login(self) -> None:
        """Makes `login` known before the start. Raises StorageFull, RuntimeMissing."""
        if self._asks_login:
            with writing(self.data_dir, "the data of the Kafka broker"):
                claim(self.data_dir, BROKER)
                self._login = KafkaLogin.kept_in(self.data_dir)

    @property
    def endpoint(self) -> KafkaEndpoint:
        """What our own clients connect with; known once started."""
        return KafkaEndpoint(self.bootstrap, {} if self._login is None else self._login.client_properties())

    @property
    def log_path(self) -> Path:
        """The broker's log of this and earlier starts."""
        return self.data_dir / "broker.log"

    def is_running(self) -> bool:
        return self._process is not None and self._process.is_running()

    def start(self, reporter: Reporter = SILENT) -> None:
        """Starts the broker and returns when it responds to metadata requests; does nothing if it is running.

        Raises BrokerFailed (with the broker's reason and its log), PortInUse, StorageFull, ForeignFolder,
        RuntimeMissing.
        """
        if self.is_running():
            return
        self._choose_ports()
        with reporter.task("Starting Kafka"), self._data_to_ourselves():
            for attempt in range(1, _PORT_ATTEMPTS + 1):
                self._prepare()
                try:
                    self._launch()
                    self._wait_until_ready()
                    break
                except PortInUse:
                    self.stop(graceful=False)
                    # Another program took the port meanwhile. Only a port that was chosen here can be replaced.
                    if attempt == _PORT_ATTEMPTS or 0 not in self._wanted_ports:
                        raise
                    self.port, self.controller_port = self._wanted_ports
                    self._choose_ports()
                except BaseException:
                    self.stop(graceful=False)
                    raise
        reporter.detail(f"Kafka listens on {self.bootstrap}; log: {self.log_path}")

    def stop(self, graceful: bool = True) -> None:  # noqa: FBT001, FBT002 - the one thing there is to say about a stop
        """Stops the broker, writing everything to disk first unless `graceful` is False. Can be repeated."""
        if self._process is not None:
            self._process.stop(STOP_SECONDS if graceful else 0)
            self._process = None

    def check(self) -> None:
        """Raises BrokerFailed or StorageFull when a broker that was started has exited."""
        if self._process is not None and not self._process.is_running():
            raise self._failure("ended unexpectedly")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @contextlib.contextmanager
    def _data_to_ourselves(self) -> Iterator[None]:
        """Makes sure that no other broker runs on the data folder, and none can start while this one runs.

        Kafka locks the folder only after a second broker has written to the metadata, and the first one then hangs when
        it is stopped (observed with 3.9.2). This lock is on an open file that the broker's process inherits, so that
        the kernel releases it when the broker has exited, however that happens.
        """
        with writing(self.data_dir, "the data of the Kafka broker"):
            claim(self.data_dir, BROKER)
            lock = os.fdopen(os.open(self.data_dir / _LOCK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "w")
        with lock:
            # The supervisor gives the broker of a killed program some seconds to exit.
            deadline = time.monotonic() + _LOCK_SECONDS
            while not _try_lock(lock.fileno()):
                if time.monotonic() > deadline:
                    raise BrokerFailed(
                        f"The Kafka broker in {self.data_dir} cannot start: another broker uses this data folder.",
                        hint="Stop the other one, or choose another folder.",
                        log=str(self.log_path),
                    )
                time.sleep(0.1)
            self._lock = lock.fileno()
            yield

    def _choose_ports(self) -> None:
        chosen = iter(free_ports(2))
        for port, what in ((self.port, "the Kafka broker"), (self.controller_port, "the Kafka controller")):
            if port:
                check_port_free(port, what)
        self.port = self.port or next(chosen)
        self.controller_port = self.controller_port or next(chosen)

    def _prepare(self) -> None:
        """Writes the configuration; formats the storage when it is new."""
        self.prepare_login()
        with writing(self.data_dir, "the data of the Kafka broker"):
            # Native libraries of the compression codecs are unpacked here, not in a shared folder.
            (self.data_dir / _TEMPORARY).mkdir(exist_ok=True, mode=0o700)
            if self.log_path.exists() and self.log_path.stat().st_size > _LOG_LIMIT_BYTES:
                self.log_path.replace(self.log_path.with_suffix(".log.1"))
            properties = self.data_dir / _PROPERTIES
            # `extra` may hold keys and passwords.
            properties.touch(mode=0o600)
            properties.chmod(0o600)
            settings = broker_settings(_STORAGE, self.port, self.controller_port, self._login, self._extra)
            properties.write_text(properties_text(settings), encoding="utf-8")
        self._log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        # The formatter writes this file last, and atomically: if it exists, the storage is complete.
        if not (self.data_dir / _STORAGE / "meta.properties").exists():
            cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            # An id that begins with a dash would read as an option.
            with self._run_java(
                "128m", "kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "-c", _PROPERTIES
            ) as formatter:
                if formatter.wait(START_SECONDS) != 0:
                    raise self._failure("could not prepare its storage")

    def _launch(self) -> None:
        self._process = self._run_java(self._heap, "kafka.Kafka", _PROPERTIES)

    def _run_java(self, heap: str, main: str, *arguments: str) -> ManagedProcess:
        return ManagedProcess(
            [
                *UTF8_FILE_NAMES,
                self._java.java,
                f"-Xmx{heap}",
                *_JVM_OPTIONS,
                # Paths are relative to the working folder: Kafka would split an absolute one at its commas.
                f"-Djava.io.tmpdir={_TEMPORARY}",
                *(f"-Dorg.slf4j.simpleLogger.{name}={value}" for name, value in _LOG_OPTIONS.items()),
                "-cp",
                self._class_path,
                main,
                *arguments,
            ],
            log_path=self.log_path,
            environ=self._environ,
            cwd=self.data_dir,
            pass_fds=(self._lock,),
        )

    def _wait_until_ready(self) -> None:
        # Imported here: loading librdkafka takes 50 ms that commands without a broker need not spend.
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        # The user for clients is made known first, with the broker's own login.
        login = {} if self._login is None else self._login.broker_client_properties()
        while self._process.is_running():
            if self._listens():
                # A new client for each check: after a late response, a client uses the advertised address.
                client = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0, **login})
                with contextlib.suppress(KafkaException):
                    metadata = client.list_topics(timeout=_RESPONSE_SECONDS)
                    if metadata.brokers and _has_leaders(metadata.topics.values()):
                        if login == self.endpoint.config:
                            return
                        assert self._login is not None
                        self._login.register(client)
                        login = dict(self.endpoint.config)
                        continue
            if time.monotonic() > deadline:
                raise self._failure(f"did not respond within {START_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)
        raise self._failure("exited while it started")

    def _listens(self) -> bool:
        try:
            socket.create_connection((LOOPBACK, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def _failure(self, what: str) -> PacificToolError:
        log = self._log_of_this_start()
        if disk_is_full(self.data_dir, log):
            return storage_full(self.data_dir, "the data of the Kafka broker")
        if any(word in log for word in _ADDRESS_IN_USE):
            return PortInUse(
                f"Port {self.port} or {self.controller_port} for the Kafka broker is taken by another program.",
                hint="Stop that program, or choose other ports (0: any free ones).",
                port=self.port,
            )
        return BrokerFailed(
            f"The Kafka broker in {self.data_dir} {what}: {_reason(log).rstrip('.')}.",
            hint=f"See its log: {self.log_path}",
            log=str(self.log_path),
        )

    def _log_of_this_start(self) -> str:
        try:
            with self.log_path.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                start = self._log_start if self._log_start <= size else 0  # it has begun again (bound_log)
                log.seek(max(start, size - _LOG_TAIL_BYTES))
                return log.read().decode("utf-8", errors="replace")
        except OSError:
            return ""


def _has_leaders(topics: Iterable[TopicMetadata]) -> bool:
    """Whether every partition can be read and written; after a restart that takes longer than the first response."""
    return all(partition.leader >= 0 for topic in topics for partition in topic.partitions.values())


def _try_lock(file: int) -> bool:
    from filelock import lock_descriptor

    try:
        return lock_descriptor(file, blocking=False)
    except OSError:
        return True  # A file system without locks.


def _reason(log: str) -> str:
    """The most informative line: the deepest cause named last, else the last error, else the last line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    causes = [match for line in lines if (match := _EXCEPTION_LINE.match(line))]
    if causes:
        name, message = causes[-1].groups()
        short_name = name.rsplit(".", 1)[-1]
        return f"{short_name}: {message}" if message else short_name
    errors = [line for line in lines if _ERROR_LINE.search(line)]
    return (errors or lines or ["its log is empty"])[-1]
